"""Pong, from pixels."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, UInt8

from jaxvision.checks import check_count, check_share
from jaxvision.rl import drawing
from jaxvision.rl.environment import Environment, EnvParams, EnvState
from jaxvision.rl.registry import register
from jaxvision.rl.spaces import Box


class PongState(EnvState):
    """Position and velocity of the ball, heights of the paddles' centers, and points.

    Lengths are in heights of the court, whose lower left corner is (0, 0) and upper right (1, 1).
    """

    x: Any
    y: Any
    x_dot: Any
    y_dot: Any
    player: Any
    opponent: Any
    points: Any
    opponent_points: Any


class PongParams(EnvParams):
    """Constants; lengths are in heights of the court, speeds in heights per step.

    Attributes:
        opponent_skill: Speed of the opponent's paddle, as a share of the ball's greatest vertical
            speed: 0 stands still, 1 reaches every ball.
        points: Number of points that wins the episode.
        speed: Horizontal speed of the ball after a serve.
        speed_up: Factor of the horizontal speed at every hit, up to `max_speed`.
        max_slope: Vertical over horizontal speed of a ball that the end of a paddle has hit.
        paddle_speed: Speed of the player's paddle; by default the ball's greatest vertical speed,
            so that every ball can be reached.
        half_paddle: Half the length of both paddles.
        half_ball: Half the width of the square ball.
    """

    max_steps_in_episode: Any = 10_000
    opponent_skill: Any = 0.5
    points: Any = 21
    speed: Any = 0.05
    speed_up: Any = 1.1
    max_speed: Any = 0.08
    max_slope: Any = 0.75
    paddle_speed: Any = 0.06
    half_paddle: Any = 0.08
    half_ball: Any = 0.015

    def check(self) -> None:
        """Raises ValueError if a constant is out of range."""
        super().check()
        check_count("points", self.points)
        check_share("opponent_skill", self.opponent_skill)
        self._check_positive("speed", "max_speed", "speed_up", "max_slope", "paddle_speed")
        for name in ("half_paddle", "half_ball"):
            if not 0 < getattr(self, name) < 0.5:
                raise ValueError(f"{name} must be between 0 and 0.5, got {getattr(self, name)}")
        farthest = max(self.speed, self.max_speed) * max(1, self.max_slope)
        if not farthest <= 0.5:
            raise ValueError(
                "in a step the ball may move by half of the court at most, and moves by "
                f"{farthest:g} with speed={self.speed}, max_speed={self.max_speed}, "
                f"max_slope={self.max_slope}"
            )


_PLAYER_X, _OPPONENT_X = 0.94, 0.06  # x of the paddles' faces, which the ball hits
_PADDLE_DEPTH = 0.03


@register("Pong")
class Pong(Environment):
    """Pong against a paddle that follows the ball: a reward of 1 for a point won, -1 for one lost.

    Actions keep the right paddle in place (0), or move it up (1) or down (2). The point at which
    the ball hits a paddle decides its new direction, and every hit makes it faster. The side that
    lost a point receives the next serve. An episode ends when one side has 21 points. Observations
    are single gray frames of the court, `size` by `size` pixels; to see motion, stack several
    (`FrameStack`).
    """

    action_names = ("stay", "up", "down")

    def __init__(self, size: int = 84) -> None:
        """Sets the size of the frames.

        Args:
            size: Height and width in pixels, at least 16.

        Raises:
            ValueError: The size is so small that the ball would hardly be visible.
        """
        check_count("size", size, of="pixels")
        if size < 16:
            raise ValueError(f"frames must have 16 pixels a side at least, got {size}")
        self.size = size

    @property
    def default_params(self) -> PongParams:
        """The default constants."""
        return PongParams()

    @property
    def num_actions(self) -> int:
        """In place, up and down."""
        return 3

    def observation_space(self, params: PongParams) -> Box:
        """A gray image."""
        del params
        return Box(0, 255, (self.size, self.size, 1), jnp.uint8)

    def reset_env(self, key: Key[Array, ""], params: PongParams) -> tuple[Array, PongState]:
        """Serves to a random side."""
        side_key, key = jax.random.split(key)
        side = jnp.where(jax.random.bernoulli(side_key), jnp.float32(1), -1)
        half = jnp.float32(0.5)
        zero = jnp.int32(0)
        state = PongState(zero, half, half, half, half, half, half, zero, zero)
        state = _serve(key, state, side, params)
        return self._observe(state, params), state

    def step_env(
        self, key: Key[Array, ""], state: PongState, action: Array, params: PongParams
    ) -> tuple[Array, PongState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Moves both paddles, then the ball."""
        move = jnp.where(action == 1, 1.0, jnp.where(action == 2, -1.0, 0.0))
        player = _within(state.player + move * params.paddle_speed, params)
        opponent = _follow(state, params)
        state = state.replace(time=state.time + 1, player=player, opponent=opponent)
        state, reward = _fly(state, params)
        points = state.points + (reward > 0)
        opponent_points = state.opponent_points + (reward < 0)
        state = state.replace(points=points, opponent_points=opponent_points)
        served = _serve(key, state, -reward, params)
        state = jax.tree.map(lambda new, old: jnp.where(reward != 0, new, old), served, state)
        over = jnp.maximum(points, opponent_points) >= params.points
        return self._observe(state, params), state, reward, over, {}

    def render(self, state: PongState, params: PongParams) -> UInt8[Array, "height width 3"]:
        """Draws the court and, above it, the points of both sides as bars."""
        canvas = drawing.Canvas.blank((0.0, 0.0), (1.0, 1.1), height=220, color=drawing.INK)
        canvas = canvas.segment((0.0, 1.0), (1.0, 1.0), 0.01, drawing.GRAY)
        for low, high in _shapes(state, params):
            canvas = canvas.rectangle(low, high, drawing.WHITE)
        for points, color, left in (
            (state.opponent_points, drawing.ORANGE, 0.02),
            (state.points, drawing.GREEN, 0.52),
        ):
            length = 0.46 * points / params.points
            canvas = canvas.rectangle((left, 1.04), (left + length, 1.06), color)
        return canvas.image()

    def _observe(self, state: PongState, params: PongParams) -> UInt8[Array, "size size 1"]:
        """Draws the ball and the paddles; the value of a pixel is how much of it they cover."""
        edges = jnp.arange(self.size + 1) / self.size
        frame = jnp.zeros((self.size, self.size))
        for low, high in _shapes(state, params):
            across = _cover(edges, low[0], high[0])
            down = _cover(edges, 1 - high[1], 1 - low[1])
            frame = jnp.maximum(frame, down[:, None] * across[None, :])
        return jnp.round(255 * frame).astype(jnp.uint8)[..., None]


def _cover(edges: Float[Array, "ends"], low: Any, high: Any) -> Float[Array, "pixels"]:
    """The share of each pixel between two points."""
    overlap = jnp.minimum(edges[1:], high) - jnp.maximum(edges[:-1], low)
    return jnp.clip(overlap, min=0) * (len(edges) - 1)


def _shapes(state: PongState, params: PongParams) -> list[tuple[Any, Any]]:
    """The lower left and upper right corners of the ball and the paddles."""
    ball, half = params.half_ball, params.half_paddle
    return [
        ((state.x - ball, state.y - ball), (state.x + ball, state.y + ball)),
        ((_PLAYER_X, state.player - half), (_PLAYER_X + _PADDLE_DEPTH, state.player + half)),
        (
            (_OPPONENT_X - _PADDLE_DEPTH, state.opponent - half),
            (_OPPONENT_X, state.opponent + half),
        ),
    ]


def _within(paddle: Array, params: PongParams) -> Array:
    """Keeps a paddle inside the court."""
    return jnp.clip(paddle, min=params.half_paddle, max=1 - params.half_paddle)


def _follow(state: PongState, params: PongParams) -> Array:
    """Moves the opponent's paddle: after a ball that approaches it, else back to the middle."""
    comes = state.x_dot < 0
    target = jnp.where(comes, state.y, 0.5)
    reach = params.opponent_skill * params.max_speed * params.max_slope
    return _within(
        state.opponent + jnp.clip(target - state.opponent, min=-reach, max=reach), params
    )


def _serve(key: Key[Array, ""], state: PongState, side: Array, params: PongParams) -> PongState:
    """Serves the ball from the middle to the player (side 1) or to the opponent (-1)."""
    height_key, slope_key = jax.random.split(key)
    y = jax.random.uniform(height_key, (), jnp.float32, 0.25, 0.75)
    slope = jax.random.uniform(slope_key, (), jnp.float32, -0.5, 0.5)
    return state.replace(
        x=jnp.float32(0.5),
        y=y,
        x_dot=side * params.speed,
        y_dot=slope * params.max_slope * params.speed,
    )


def _fly(state: PongState, params: PongParams) -> tuple[PongState, Float[Array, ""]]:
    """Moves the ball by a step, off walls and paddles; the reward is for a point if one was won."""
    ball = params.half_ball
    right = state.x_dot > 0
    face = jnp.where(right, _PLAYER_X - ball, _OPPONENT_X + ball)
    paddle = jnp.where(right, state.player, state.opponent)
    x, y = state.x + state.x_dot, state.y + state.y_dot
    # Share of the step after which the ball reaches the face of the paddle ahead of it.
    time = (face - state.x) / state.x_dot
    reaches = (time >= 0) & (time <= 1)
    height, _ = _reflect(state.y + time * state.y_dot, ball)
    offset = (height - paddle) / (params.half_paddle + ball)
    hit = reaches & (jnp.abs(offset) <= 1)
    speed = jnp.minimum(params.max_speed, jnp.abs(state.x_dot) * params.speed_up)
    x_dot = jnp.where(hit, jnp.where(right, -speed, speed), state.x_dot)
    y_dot = jnp.where(hit, offset * params.max_slope * speed, state.y_dot)
    x = jnp.where(hit, face + (1 - time) * x_dot, x)
    y = jnp.where(hit, height + (1 - time) * y_dot, y)
    y, bounced = _reflect(y, ball)
    y_dot = jnp.where(bounced, -y_dot, y_dot)
    reward = jnp.where(x > 1 + ball, -1, jnp.where(x < -ball, 1, jnp.float32(0)))
    return state.replace(x=x, y=y, x_dot=x_dot, y_dot=y_dot), reward


def _reflect(y: Array, ball: float) -> tuple[Array, Array]:
    """Reflects a height at the walls; also returns whether it did."""
    low, high = ball, 1 - ball
    bounced = (y < low) | (y > high)
    return jnp.where(y < low, 2 * low - y, jnp.where(y > high, 2 * high - y, y)), bounced
