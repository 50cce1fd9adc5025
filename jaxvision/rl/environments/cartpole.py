"""CartPole: a pole on a cart, to be kept upright."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, UInt8

from jaxvision.rl import drawing
from jaxvision.rl.environment import Environment, EnvParams, EnvState
from jaxvision.rl.registry import register
from jaxvision.rl.spaces import Box


class CartPoleState(EnvState):
    """Position (m), velocity (m/s), angle from upright (rad), and its rate (rad/s)."""

    x: Any
    x_dot: Any
    theta: Any
    theta_dot: Any


class CartPoleParams(EnvParams):
    """Constants in SI units; `half_length` is that of the pole, `tau` the duration of a step."""

    max_steps_in_episode: Any = 500
    gravity: Any = 9.8
    mass_cart: Any = 1.0
    mass_pole: Any = 0.1
    half_length: Any = 0.5
    force: Any = 10.0
    tau: Any = 0.02
    max_angle: Any = 12 * math.pi / 180
    max_x: Any = 2.4

    def check(self) -> None:
        """Raises ValueError if a constant is out of range."""
        super().check()
        self._check_positive("mass_cart", "mass_pole", "half_length", "tau", "max_angle", "max_x")


@register("CartPole-v1")
class CartPole(Environment):
    """CartPole-v1 as in Gymnasium: a reward of 1 for every step, until the pole falls.

    The episode also terminates if the cart leaves the track. Actions push the cart to the left (0)
    or right (1). Observations are position, velocity, angle, and the rate of the angle.

    Reference: Barto, Sutton and Anderson, Neuronlike adaptive elements that can solve difficult
    learning control problems, IEEE Transactions on Systems, Man, and Cybernetics 13, 1983.
    """

    action_names = ("left", "right")
    observation_names = ("position", "velocity", "angle", "rate of the angle")

    @property
    def default_params(self) -> CartPoleParams:
        """The constants of Gymnasium."""
        return CartPoleParams()

    @property
    def num_actions(self) -> int:
        """Left and right."""
        return 2

    def observation_space(self, params: CartPoleParams) -> Box:
        """Position, velocity, angle, and the rate of the angle."""
        inf = float("inf")
        high = jnp.array([2 * params.max_x, inf, 2 * params.max_angle, inf])
        return Box(-high, high, (4,))

    def reset_env(self, key: Key[Array, ""], params: CartPoleParams) -> tuple[Array, CartPoleState]:
        """Starts near the upright position."""
        del params
        x, x_dot, theta, theta_dot = jax.random.uniform(key, (4,), float, -0.05, 0.05)
        state = CartPoleState(jnp.int32(0), x, x_dot, theta, theta_dot)
        return _observe(state), state

    def step_env(
        self, key: Key[Array, ""], state: CartPoleState, action: Array, params: CartPoleParams
    ) -> tuple[Array, CartPoleState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Simulates `tau` seconds by Euler's method."""
        del key
        force = jnp.where(action == 1, params.force, -params.force)
        cos, sin = jnp.cos(state.theta), jnp.sin(state.theta)
        mass = params.mass_cart + params.mass_pole
        moment = params.mass_pole * params.half_length
        push = (force + moment * jnp.square(state.theta_dot) * sin) / mass
        theta_acc = (params.gravity * sin - cos * push) / (
            params.half_length * (4 / 3 - params.mass_pole * jnp.square(cos) / mass)
        )
        x_acc = push - moment * theta_acc * cos / mass
        state = CartPoleState(
            time=state.time + 1,
            x=state.x + params.tau * state.x_dot,
            x_dot=state.x_dot + params.tau * x_acc,
            theta=state.theta + params.tau * state.theta_dot,
            theta_dot=state.theta_dot + params.tau * theta_acc,
        )
        fallen = (jnp.abs(state.x) > params.max_x) | (jnp.abs(state.theta) > params.max_angle)
        return _observe(state), state, jnp.float32(1), fallen, {}

    def render(
        self, state: CartPoleState, params: CartPoleParams
    ) -> UInt8[Array, "height width 3"]:
        """Draws cart, pole and track."""
        edge = params.max_x + 0.4
        canvas = drawing.Canvas.blank((-edge, -0.5), (edge, 1.5), height=160)
        canvas = canvas.segment((-edge, 0.0), (edge, 0.0), 0.02, drawing.GRAY)
        low, high = (state.x - 0.25, -0.15), (state.x + 0.25, 0.15)
        canvas = canvas.rectangle(low, high, drawing.INK)
        length = 2 * params.half_length
        tip = (state.x + length * jnp.sin(state.theta), 0.1 + length * jnp.cos(state.theta))
        canvas = canvas.segment((state.x, 0.1), tip, 0.1, drawing.VERMILLION)
        return canvas.disc((state.x, 0.1), 0.05, drawing.LIGHT).image()


def _observe(state: CartPoleState) -> Float[Array, "4"]:
    numbers = (state.x, state.x_dot, state.theta, state.theta_dot)
    return jnp.stack(numbers).astype(jnp.float32)
