import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import rl
from jaxvision.rl.environments import Pong

STAY, UP, DOWN = range(3)


@functools.cache
def pong():
    """A small environment, its constants, how a game begins on the host, and its step."""
    environment, params = rl.make("Pong", size=40)
    key = jax.random.key(0)
    begin = quick.jit(lambda key: environment.reset(key, params)[1])
    step = quick.jit(lambda state, action: environment.step_env(key, state, action, params))
    return environment, params, jax.device_get(begin(key)), step


def court(**ball):
    """A state with the ball as given."""
    numbers = {name: np.float32(value) for name, value in ball.items()}
    return pong()[2].replace(**numbers)


def advance(state, action=STAY):
    return jax.device_get(pong()[-1](state, np.int32(action)))


@functools.cache
def episodes(policy):
    """Plays 32 games against an opponent of any skill."""
    environment, params = rl.make("Pong", size=16)

    @quick.jit
    def play(skill, key):
        envs = rl.vectorize(environment, 32, params.replace(opponent_skill=skill))
        return rl.run_episodes(Seeing(envs), policy, key)

    return play


def scores(policy, *, skill):
    return jax.device_get(episodes(policy)(np.float32(skill), jax.random.key(0)))


class Seeing:
    """Environments that show numbers in place of pixels, for players written by hand."""

    def __init__(self, envs):
        self.envs = envs
        self.num_envs, self.action_space = envs.num_envs, envs.action_space
        self.observation_space = rl.Box(-jnp.inf, jnp.inf, (5,))

    def reset(self, key):
        _, state = self.envs.reset(key)
        return look(state), state

    def step(self, key, state, actions):
        _, state, *rest = self.envs.step(key, state, actions)
        return look(state), state, *rest


def look(state):
    numbers = (state.time, state.x, state.x_dot, state.y, state.player)
    return jnp.stack([number.astype(jnp.float32) for number in numbers], axis=-1)


def at_random(observations, key):
    return jax.random.randint(key, observations.shape[:1], 0, 3)


def follow(observations, key):
    """Meets the ball now with the upper and now with the lower part of the paddle."""
    del key
    time, _, x_dot, y, player = observations.T
    aim = jnp.where(jnp.sin(time / 40) > 0, 0.06, -0.06)
    way = jnp.where(x_dot > 0, y + aim - player, 0.5 - player)
    return jnp.where(way > 0.03, UP, jnp.where(way < -0.03, DOWN, STAY))


def test_a_ball_flies_straight_and_off_the_walls():
    state = court(x=0.5, y=0.5, x_dot=0.03, y_dot=0.01)
    _, state, reward, _, _ = advance(state)
    np.testing.assert_allclose([state.x, state.y, reward], [0.53, 0.51, 0], rtol=1e-6)
    state = court(x=0.5, y=0.97, x_dot=0.03, y_dot=0.04)
    _, state, _, _, _ = advance(state)
    np.testing.assert_allclose([state.y, state.y_dot], [2 * 0.985 - 1.01, -0.04], rtol=1e-5)


def test_a_paddle_throws_the_ball_back_the_steeper_the_further_from_its_middle():
    slopes = []
    for offset in (-0.9, 0.0, 0.9):
        y = 0.5 + offset * 0.095
        state = court(x=0.91, y=y, x_dot=0.05, y_dot=0.0, player=0.5)
        _, state, reward, _, _ = advance(state)
        np.testing.assert_allclose(state.x_dot, -0.055, rtol=1e-5)  # faster by a tenth
        assert reward == 0
        slopes.append(float(-state.y_dot / state.x_dot))
    np.testing.assert_allclose(slopes, [-0.675, 0.0, 0.675], atol=1e-4)


def test_a_fast_ball_does_not_pass_through_a_paddle():
    state = court(x=0.86, y=0.5, x_dot=0.08, y_dot=0.0, player=0.5)
    _, state, reward, _, _ = advance(state)
    assert state.x_dot < 0
    assert reward == 0
    np.testing.assert_allclose(state.x_dot, -0.08)  # no faster than `max_speed`


@pytest.mark.parametrize(("x", "x_dot", "reward"), [(0.99, 0.05, -1), (0.01, -0.05, 1)])
def test_a_ball_that_is_missed_is_a_point_and_is_served_to_the_loser(x, x_dot, reward):
    state = court(x=x, y=0.1, x_dot=x_dot, y_dot=0.0, player=0.9, opponent=0.9)
    _, state, given, terminated, _ = advance(state)
    assert given == reward
    assert not terminated
    assert (int(state.points), int(state.opponent_points)) == ((1, 0) if reward > 0 else (0, 1))
    np.testing.assert_allclose(state.x, 0.5)
    assert np.sign(state.x_dot) == -reward


def test_21_points_end_the_episode():
    state = court(x=0.01, y=0.1, x_dot=-0.05, y_dot=0.0, opponent=0.9)
    for points, over in ((19, False), (20, True)):
        assert advance(state.replace(points=np.int32(points)))[3] == over


def test_the_player_moves_and_stays_inside():
    state = court(player=0.5)
    for action, to in ((STAY, 0.5), (UP, 0.56), (DOWN, 0.44)):
        np.testing.assert_allclose(advance(state, action)[1].player, to)
    for _ in range(20):
        _, state, *_ = advance(state, UP)
    np.testing.assert_allclose(state.player, 1 - pong()[1].half_paddle)


def test_frames_show_ball_and_paddles_by_how_much_they_cover():
    params = pong()[1]
    state = court(x=0.5, y=0.25, x_dot=0.0, y_dot=0.0, player=0.8, opponent=0.3)
    frame, *_ = advance(state)
    frame = np.float64(frame[..., 0]) / 255
    assert frame.shape == (40, 40)
    ball, paddle = (2 * params.half_ball) ** 2, 2 * params.half_paddle * 0.03
    np.testing.assert_allclose(frame.sum() / 1600, ball + 2 * paddle, rtol=0.01)
    rows = np.arange(40) + 0.5
    middle = frame[:, 15:25]
    np.testing.assert_allclose(1 - (middle.sum(1) @ rows) / middle.sum() / 40, 0.25, atol=0.005)
    right = frame[:, 35:]
    np.testing.assert_allclose(1 - (right.sum(1) @ rows) / right.sum() / 40, 0.8, atol=0.005)


@pytest.mark.slow
def test_skill_decides_who_wins():
    returns, lengths = scores(at_random, skill=0.5)
    assert returns.mean() < -19
    assert 200 < lengths.mean() < 800
    returns, _ = scores(follow, skill=0.0)
    assert returns.min() > 15
    returns, _ = scores(follow, skill=0.5)
    assert returns.mean() > 12


def test_the_perfect_opponent_loses_no_point():
    envs = rl.vectorize("Pong", 16, size=16, opponent_skill=1.0)

    @quick.jit
    def play(key):
        def step(state, key):
            _, state, rewards, *_ = envs.step(key, state, follow(look(state), key))
            return state, rewards

        _, state = envs.reset(key)
        return jax.lax.scan(step, state, jax.random.split(key, 2_000))[1]

    assert jax.device_get(play(jax.random.key(0))).max() == 0


def test_render_shows_the_points():
    environment, params, state, _ = pong()
    draw = quick.jit(lambda state: environment.render(state, params))
    none, three = (
        jax.device_get(draw(state.replace(points=np.int32(points)))) for points in (0, 3)
    )
    assert none.shape == (220, 200, 3)
    changed = (none != three).any(-1)
    assert changed[:20].any()
    assert not changed[20:].any()


def test_frames_that_are_too_small():
    with pytest.raises(ValueError, match="16 pixels a side at least, got 8"):
        Pong(size=8)
