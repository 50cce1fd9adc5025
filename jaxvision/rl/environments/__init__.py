"""Environments written in JAX; importing this package registers them for `make`."""

from jaxvision.rl.environments.acrobot import Acrobot
from jaxvision.rl.environments.cartpole import CartPole
from jaxvision.rl.environments.catch import Catch
from jaxvision.rl.environments.gridworld import FIVE_BY_FIVE, FOUR_BY_FOUR, GridWorld
from jaxvision.rl.environments.mountain_car import MountainCar
from jaxvision.rl.environments.pong import Pong

__all__ = [
    "FIVE_BY_FIVE",
    "FOUR_BY_FOUR",
    "Acrobot",
    "CartPole",
    "Catch",
    "GridWorld",
    "MountainCar",
    "Pong",
]
