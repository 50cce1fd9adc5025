"""A falling ball, to be caught."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, UInt8

from jaxvision.checks import check_count
from jaxvision.rl.environment import Environment, EnvParams, EnvState
from jaxvision.rl.registry import register
from jaxvision.rl.spaces import Box


class CatchState(EnvState):
    """The row and the column of the ball, from the upper left, and the column of the paddle."""

    ball_row: Any
    ball_column: Any
    paddle: Any


class CatchParams(EnvParams):
    """The ball ends every episode before time would."""


@register("Catch")
class Catch(Environment):
    """Catch as in bsuite: a ball falls by a row a step; the reward is 1 if it is caught, else -1.

    Actions move the paddle in the last row to the left (0), not at all (1), or to the right (2).
    Observations are images of one channel, with 255 where ball and paddle are.

    Reference: Osband et al., Behaviour suite for reinforcement learning, ICLR 2020,
    arXiv:1908.03568.
    """

    def __init__(self, rows: int = 10, columns: int = 5) -> None:
        """Sets the size.

        Args:
            rows: At least 2.
            columns: At least 1.

        Raises:
            ValueError: The board is too small.
        """
        check_count("rows", rows)
        check_count("columns", columns)
        if rows < 2:
            raise ValueError(f"a board needs 2 rows at least, got {rows}")
        self.rows = rows
        self.columns = columns

    @property
    def default_params(self) -> CatchParams:
        """The constants."""
        return CatchParams()

    @property
    def num_actions(self) -> int:
        """To the left, not at all, to the right."""
        return 3

    def observation_space(self, params: CatchParams) -> Box:
        """An image."""
        del params
        return Box(0, 255, (self.rows, self.columns, 1), jnp.uint8)

    def reset_env(self, key: Key[Array, ""], params: CatchParams) -> tuple[Array, CatchState]:
        """Lets a ball fall from the top, anywhere; the paddle is in the middle."""
        del params
        column = jax.random.randint(key, (), 0, self.columns)
        state = CatchState(jnp.int32(0), jnp.int32(0), column, jnp.int32(self.columns // 2))
        return self._observe(state), state

    def step_env(
        self, key: Key[Array, ""], state: CatchState, action: Array, params: CatchParams
    ) -> tuple[Array, CatchState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Moves the paddle, and lets the ball fall by a row."""
        del key, params
        paddle = jnp.clip(state.paddle + action - 1, min=0, max=self.columns - 1)
        row = state.ball_row + 1
        state = CatchState(state.time + 1, row, state.ball_column, paddle)
        down = row == self.rows - 1
        caught = jnp.where(paddle == state.ball_column, jnp.float32(1), -1)
        return self._observe(state), state, jnp.where(down, caught, 0), down, {}

    def render(self, state: CatchState, params: CatchParams) -> UInt8[Array, "height width 3"]:
        """Draws the board, 16 pixels a cell."""
        del params
        large = jnp.kron(self._observe(state)[..., 0], jnp.ones((16, 16), jnp.uint8))
        return jnp.repeat(large[..., None], 3, axis=-1)

    def _observe(self, state: CatchState) -> UInt8[Array, "rows columns 1"]:
        rows, columns = jnp.arange(self.rows)[:, None], jnp.arange(self.columns)[None, :]
        ball = (rows == state.ball_row) & (columns == state.ball_column)
        paddle = (rows == self.rows - 1) & (columns == state.paddle)
        return (255 * (ball | paddle)[..., None]).astype(jnp.uint8)
