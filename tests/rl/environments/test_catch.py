import jax
import numpy as np
import pytest
import quick

from jaxvision import rl
from jaxvision.rl.environments import Catch


def play(environment, params, choose):
    """One episode; `choose` sees the state."""
    key = jax.random.key(3)
    step = quick.jit(lambda state, action: environment.step_env(key, state, action, params))
    observation, state = jax.device_get(quick.jit(environment.reset)(key, params))
    seen, rewards = [observation], []
    for _ in range(environment.rows):
        results = jax.device_get(step(state, np.int32(choose(state))))
        observation, state, reward, terminated, _ = results
        seen.append(observation)
        rewards.append(float(reward))
        if terminated:
            break
    return seen, rewards


def test_the_paddle_that_follows_the_ball_catches_it():
    environment, params = rl.make("Catch")
    seen, rewards = play(
        environment, params, lambda state: 1 + np.sign(state.ball_column - state.paddle)
    )
    assert rewards == [0.0] * 8 + [1.0]
    for row, image in enumerate(seen[:-1]):
        assert image.dtype == np.uint8
        assert (image == 255).sum() == 2
        assert image[row].any()
        assert image[-1].any()
    assert (seen[-1] == 255).sum() == 1  # the ball is on the paddle


def test_the_paddle_that_flees_misses():
    environment, params = rl.make("Catch", columns=7, rows=5)
    _, rewards = play(environment, params, lambda state: 0 if state.ball_column > 3 else 2)
    assert rewards == [0.0] * 3 + [-1.0]


def test_the_ball_falls_everywhere():
    environment, params = rl.make("Catch")

    @quick.jit
    def columns(key):
        keys = jax.random.split(key, 500)
        _, states = jax.vmap(environment.reset_env, (0, None))(keys, params)
        return states.ball_column

    assert np.bincount(columns(jax.random.key(0)), minlength=5).min() > 70


def test_render_shows_the_board():
    environment, params = rl.make("Catch")

    @quick.jit
    def draw(key):
        observation, state = environment.reset(key, params)
        return observation, environment.render(state, params)

    observation, image = jax.device_get(draw(jax.random.key(0)))
    assert image.shape == (160, 80, 3)
    np.testing.assert_array_equal(image[8::16, 8::16, 0], observation[..., 0])


@pytest.mark.parametrize(
    ("size", "message"),
    [({"rows": 1}, "a board needs 2 rows at least, got 1"), ({"columns": 0}, "columns must be")],
)
def test_boards_that_are_too_small(size, message):
    with pytest.raises(ValueError, match=message):
        Catch(**size)
