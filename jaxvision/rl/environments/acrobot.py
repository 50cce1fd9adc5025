"""Acrobot: two links that hang from a joint, to be swung up by the torque between them."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, UInt8

from jaxvision.rl import drawing
from jaxvision.rl.environment import Environment, EnvParams, EnvState
from jaxvision.rl.registry import register
from jaxvision.rl.spaces import Box


class AcrobotState(EnvState):
    """Angle of the first link from hanging, of the second from the first, and both rates."""

    theta1: Any
    theta2: Any
    theta1_dot: Any
    theta2_dot: Any


class AcrobotParams(EnvParams):
    """Constants in SI units, with two equal links.

    `center` is the distance of a link's center of mass from its joint, `dt` the duration of a step.
    """

    max_steps_in_episode: Any = 500
    length: Any = 1.0
    mass: Any = 1.0
    center: Any = 0.5
    inertia: Any = 1.0
    gravity: Any = 9.8
    max_rate1: Any = 4 * math.pi
    max_rate2: Any = 9 * math.pi
    dt: Any = 0.2

    def check(self) -> None:
        """Raises ValueError if a constant is out of range."""
        super().check()
        self._check_positive("length", "mass", "center", "inertia", "max_rate1", "max_rate2", "dt")


@register("Acrobot-v1")
class Acrobot(Environment):
    """Acrobot-v1 as in Gymnasium: a reward of -1 for every step, until the tip is above the line.

    Actions apply a torque of -1, 0 or 1 newton meter between the links. Observations are cosine and
    sine of both angles, and both rates.

    Reference: Sutton, Generalization in reinforcement learning: successful examples using sparse
    coarse coding, NIPS 1996; the dynamics are those of Sutton and Barto's book.
    """

    action_names = ("torque -1", "torque 0", "torque 1")
    observation_names = (
        "cosine of angle 1",
        "sine of angle 1",
        "cosine of angle 2",
        "sine of angle 2",
        "rate of angle 1",
        "rate of angle 2",
    )

    @property
    def default_params(self) -> AcrobotParams:
        """The constants of Gymnasium."""
        return AcrobotParams()

    @property
    def num_actions(self) -> int:
        """The torques -1, 0 and 1."""
        return 3

    def observation_space(self, params: AcrobotParams) -> Box:
        """Cosines and sines of the angles, and their rates."""
        high = jnp.array([1.0, 1.0, 1.0, 1.0, params.max_rate1, params.max_rate2])
        return Box(-high, high, (6,))

    def reset_env(self, key: Key[Array, ""], params: AcrobotParams) -> tuple[Array, AcrobotState]:
        """Starts almost hanging and almost at rest."""
        del params
        numbers = jax.random.uniform(key, (4,), float, -0.1, 0.1)
        state = AcrobotState(jnp.int32(0), *numbers)
        return _observe(state), state

    def step_env(
        self, key: Key[Array, ""], state: AcrobotState, action: Array, params: AcrobotParams
    ) -> tuple[Array, AcrobotState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Simulates `dt` seconds by one step of the classical Runge-Kutta method."""
        del key
        start = (state.theta1, state.theta2, state.theta1_dot, state.theta2_dot)
        torque = (action - 1).astype(state.theta1.dtype)
        theta1, theta2, rate1, rate2 = _runge_kutta(
            lambda point: _derivatives(point, torque, params), start, params.dt
        )
        state = AcrobotState(
            time=state.time + 1,
            theta1=_wrap(theta1),
            theta2=_wrap(theta2),
            theta1_dot=jnp.clip(rate1, min=-params.max_rate1, max=params.max_rate1),
            theta2_dot=jnp.clip(rate2, min=-params.max_rate2, max=params.max_rate2),
        )
        risen = -jnp.cos(state.theta1) - jnp.cos(state.theta2 + state.theta1) > 1
        return _observe(state), state, jnp.where(risen, jnp.float32(0), -1), risen, {}

    def render(self, state: AcrobotState, params: AcrobotParams) -> UInt8[Array, "height width 3"]:
        """Draws both links and the line."""
        reach = 2.2 * params.length
        canvas = drawing.Canvas.blank((-reach, -reach), (reach, reach), height=200)
        canvas = canvas.segment((-reach, params.length), (reach, params.length), 0.02, drawing.GRAY)
        elbow = (params.length * jnp.sin(state.theta1), -params.length * jnp.cos(state.theta1))
        angle = state.theta1 + state.theta2
        tip = (elbow[0] + params.length * jnp.sin(angle), elbow[1] - params.length * jnp.cos(angle))
        canvas = canvas.segment((0.0, 0.0), elbow, 0.16, drawing.BLUE)
        canvas = canvas.segment(elbow, tip, 0.16, drawing.BLUE)
        canvas = canvas.disc((0.0, 0.0), 0.1, drawing.ORANGE)
        return canvas.disc(elbow, 0.1, drawing.ORANGE).image()


Point = tuple[Array, ...]


def _derivatives(point: Point, torque: Array, params: AcrobotParams) -> Point:
    """The rates and accelerations of both angles."""
    theta1, theta2, rate1, rate2 = point
    mass, length, center = params.mass, params.length, params.center
    cos2, sin2 = jnp.cos(theta2), jnp.sin(theta2)
    d1 = (
        mass * center**2
        + mass * (length**2 + center**2 + 2 * length * center * cos2)
        + 2 * params.inertia
    )
    d2 = mass * (center**2 + length * center * cos2) + params.inertia
    phi2 = mass * center * params.gravity * jnp.cos(theta1 + theta2 - math.pi / 2)
    phi1 = (
        -mass * length * center * jnp.square(rate2) * sin2
        - 2 * mass * length * center * rate2 * rate1 * sin2
        + (mass * center + mass * length) * params.gravity * jnp.cos(theta1 - math.pi / 2)
        + phi2
    )
    acceleration2 = (
        torque + d2 / d1 * phi1 - mass * length * center * jnp.square(rate1) * sin2 - phi2
    ) / (mass * center**2 + params.inertia - jnp.square(d2) / d1)
    acceleration1 = -(d2 * acceleration2 + phi1) / d1
    return rate1, rate2, acceleration1, acceleration2


def _runge_kutta(derivatives: Any, start: Point, dt: float) -> Point:
    def ahead(slope: Point, time: float) -> Point:
        return tuple(value + time * rate for value, rate in zip(start, slope, strict=True))

    first = derivatives(start)
    second = derivatives(ahead(first, dt / 2))
    third = derivatives(ahead(second, dt / 2))
    fourth = derivatives(ahead(third, dt))
    slopes = zip(first, second, third, fourth, strict=True)
    return ahead(tuple((a + 2 * b + 2 * c + d) / 6 for a, b, c, d in slopes), dt)


def _wrap(angle: Array) -> Array:
    """Wraps an angle to -pi to pi."""
    return angle - 2 * math.pi * jnp.round(angle / (2 * math.pi))


def _observe(state: AcrobotState) -> Float[Array, "6"]:
    numbers = (
        jnp.cos(state.theta1),
        jnp.sin(state.theta1),
        jnp.cos(state.theta2),
        jnp.sin(state.theta2),
        state.theta1_dot,
        state.theta2_dot,
    )
    return jnp.stack(numbers).astype(jnp.float32)
