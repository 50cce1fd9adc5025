"""Replay memories on the devices."""

from jaxvision.rl.replay.prioritized import PrioritizedReplay
from jaxvision.rl.replay.stream import Transitions
from jaxvision.rl.replay.uniform import Replay, UniformReplay

__all__ = ["PrioritizedReplay", "Replay", "Transitions", "UniformReplay"]
