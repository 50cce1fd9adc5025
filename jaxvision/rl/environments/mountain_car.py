"""MountainCar: a car too weak to climb its hill without a run-up."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, UInt8

from jaxvision.rl import drawing
from jaxvision.rl.environment import Environment, EnvParams, EnvState
from jaxvision.rl.registry import register
from jaxvision.rl.spaces import Box


class MountainCarState(EnvState):
    """Position and velocity."""

    position: Any
    velocity: Any


class MountainCarParams(EnvParams):
    """Constants; the valley repeats every 2 pi / 3 units of length, and time is in steps."""

    max_steps_in_episode: Any = 200
    min_position: Any = -1.2
    max_position: Any = 0.6
    max_velocity: Any = 0.07
    goal_position: Any = 0.5
    goal_velocity: Any = 0.0
    force: Any = 0.001
    gravity: Any = 0.0025

    def check(self) -> None:
        """Raises ValueError if a constant is out of range."""
        super().check()
        self._check_positive("max_velocity")
        if not self.min_position < self.max_position:
            raise ValueError(
                "min_position must be less than max_position, got "
                f"{self.min_position} and {self.max_position}"
            )


@register("MountainCar-v0")
class MountainCar(Environment):
    """MountainCar-v0 as in Gymnasium: a reward of -1 for every step, until the car is on the hill.

    Actions accelerate to the left (0), not at all (1), or to the right (2). Observations are
    position and velocity.

    Reference: Moore, Efficient memory-based learning for robot control, Cambridge 1990.
    """

    action_names = ("left", "coast", "right")
    observation_names = ("position", "velocity")

    @property
    def default_params(self) -> MountainCarParams:
        """The constants of Gymnasium."""
        return MountainCarParams()

    @property
    def num_actions(self) -> int:
        """Left, not at all, and right."""
        return 3

    def observation_space(self, params: MountainCarParams) -> Box:
        """Position and velocity."""
        low = jnp.array([params.min_position, -params.max_velocity])
        high = jnp.array([params.max_position, params.max_velocity])
        return Box(low, high, (2,))

    def reset_env(
        self, key: Key[Array, ""], params: MountainCarParams
    ) -> tuple[Array, MountainCarState]:
        """Starts at rest near the bottom."""
        del params
        position = jax.random.uniform(key, (), float, -0.6, -0.4)
        state = MountainCarState(jnp.int32(0), position, jnp.zeros_like(position))
        return _observe(state), state

    def step_env(
        self,
        key: Key[Array, ""],
        state: MountainCarState,
        action: Array,
        params: MountainCarParams,
    ) -> tuple[Array, MountainCarState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Simulates one step; the wall on the left stops the car."""
        del key
        velocity = state.velocity + (action - 1) * params.force
        velocity = velocity - jnp.cos(3 * state.position) * params.gravity
        velocity = jnp.clip(velocity, min=-params.max_velocity, max=params.max_velocity)
        position = jnp.clip(
            state.position + velocity, min=params.min_position, max=params.max_position
        )
        velocity = jnp.where((position == params.min_position) & (velocity < 0), 0, velocity)
        state = MountainCarState(state.time + 1, position, velocity)
        arrived = (position >= params.goal_position) & (velocity >= params.goal_velocity)
        return _observe(state), state, jnp.float32(-1), arrived, {}

    def render(
        self, state: MountainCarState, params: MountainCarParams
    ) -> UInt8[Array, "height width 3"]:
        """Draws the hill, the flag and the car."""

        def height(position: Any) -> Array:
            return 0.45 * jnp.sin(3 * position) + 0.55

        canvas = drawing.Canvas.blank(
            (params.min_position, 0.0), (params.max_position, 1.3), height=200
        )
        ends = jnp.linspace(params.min_position, params.max_position, 41)
        for left, right in itertools.pairwise(ends):
            canvas = canvas.segment(
                (left, height(left)), (right, height(right)), 0.01, drawing.GRAY
            )
        foot = params.goal_position, height(params.goal_position)
        canvas = canvas.segment(foot, (foot[0], foot[1] + 0.2), 0.01, drawing.INK)
        canvas = canvas.rectangle(
            (foot[0], foot[1] + 0.13), (foot[0] + 0.08, foot[1] + 0.2), drawing.ORANGE
        )
        center = state.position, height(state.position) + 0.04
        return canvas.disc(center, 0.04, drawing.VERMILLION).image()


def _observe(state: MountainCarState) -> Float[Array, "2"]:
    return jnp.stack((state.position, state.velocity)).astype(jnp.float32)
