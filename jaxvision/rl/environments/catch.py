"""Catch: a falling ball, to be caught."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, UInt8

from jaxvision.checks import check_count
from jaxvision.rl.environment import Environment, EnvParams, EnvState
from jaxvision.rl.registry import register
from jaxvision.rl.spaces import Box


class CatchState(EnvState):
    """Row and column of the ball, from the upper left, and column of the paddle."""

    ball_row: Any
    ball_column: Any
    paddle: Any


class CatchParams(EnvParams):
    """Constants; an episode ends when the ball reaches the last row."""


@register("Catch")
class Catch(Environment):
    """Catch as in bsuite: a ball falls one row per step; the reward is 1 if it is caught, else -1.

    Actions move the paddle in the last row to the left (0), not at all (1), or to the right (2).
    Observations are images of one channel, 255 at the ball and the paddle.

    Reference: Osband et al., Behaviour suite for reinforcement learning, ICLR 2020,
    arXiv:1908.03568.
    """

    action_names = ("left", "stay", "right")

    def __init__(self, rows: int = 10, columns: int = 5) -> None:
        """Sets the size of the board.

        Args:
            rows: Number of rows, at least 2.
            columns: Number of columns.

        Raises:
            ValueError: A number is too small.
        """
        check_count("rows", rows)
        check_count("columns", columns)
        if rows < 2:
            raise ValueError(f"a board needs 2 rows at least, got {rows}")
        self.rows = rows
        self.columns = columns

    @property
    def default_params(self) -> CatchParams:
        """The default constants."""
        return CatchParams()

    @property
    def num_actions(self) -> int:
        """Left, not at all, and right."""
        return 3

    def observation_space(self, params: CatchParams) -> Box:
        """An image."""
        del params
        return Box(0, 255, (self.rows, self.columns, 1), jnp.uint8)

    def reset_env(self, key: Key[Array, ""], params: CatchParams) -> tuple[Array, CatchState]:
        """Starts with the ball in a random column of the top row, and the paddle in the middle."""
        del params
        column = jax.random.randint(key, (), 0, self.columns)
        state = CatchState(jnp.int32(0), jnp.int32(0), column, jnp.int32(self.columns // 2))
        return self._observe(state), state

    def step_env(
        self, key: Key[Array, ""], state: CatchState, action: Array, params: CatchParams
    ) -> tuple[Array, CatchState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Moves the paddle, and the ball down by one row."""
        del key, params
        paddle = jnp.clip(state.paddle + action - 1, min=0, max=self.columns - 1)
        row = state.ball_row + 1
        state = CatchState(state.time + 1, row, state.ball_column, paddle)
        down = row == self.rows - 1
        caught = jnp.where(paddle == state.ball_column, jnp.float32(1), -1)
        return self._observe(state), state, jnp.where(down, caught, 0), down, {}

    def render(self, state: CatchState, params: CatchParams) -> UInt8[Array, "height width 3"]:
        """Draws the board, with 16 by 16 pixels for each cell."""
        del params
        large = jnp.kron(self._observe(state)[..., 0], jnp.ones((16, 16), jnp.uint8))
        return jnp.repeat(large[..., None], 3, axis=-1)

    def _observe(self, state: CatchState) -> UInt8[Array, "rows columns 1"]:
        rows, columns = jnp.arange(self.rows)[:, None], jnp.arange(self.columns)[None, :]
        ball = (rows == state.ball_row) & (columns == state.ball_column)
        paddle = (rows == self.rows - 1) & (columns == state.paddle)
        return (255 * (ball | paddle)[..., None]).astype(jnp.uint8)
