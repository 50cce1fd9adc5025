import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import rl
from jaxvision.rl.environments import Catch


def play(environment, params, choose):
    """One episode; `choose` sees the state."""
    observation, state = environment.reset(jax.random.key(3), params)
    seen, rewards = [np.asarray(observation)], []
    step = jax.jit(environment.step_env)
    for _ in range(environment.rows):
        observation, state, reward, terminated, _ = step(
            jax.random.key(0), state, jnp.asarray(choose(state)), params
        )
        seen.append(np.asarray(observation))
        rewards.append(float(reward))
        if terminated:
            break
    return seen, rewards


def test_the_paddle_that_follows_the_ball_catches_it():
    environment, params = rl.make("Catch")
    seen, rewards = play(
        environment, params, lambda state: 1 + jnp.sign(state.ball_column - state.paddle)
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
    _, rewards = play(environment, params, lambda state: jnp.where(state.ball_column > 3, 0, 2))
    assert rewards == [0.0] * 3 + [-1.0]


def test_the_ball_falls_everywhere():
    environment, params = rl.make("Catch")
    keys = jax.random.split(jax.random.key(0), 500)
    _, states = jax.vmap(environment.reset_env, (0, None))(keys, params)
    assert np.bincount(states.ball_column, minlength=5).min() > 70


def test_render_shows_the_board():
    environment, params = rl.make("Catch")
    observation, state = environment.reset(jax.random.key(0), params)
    image = environment.render(state, params)
    assert image.shape == (160, 80, 3)
    np.testing.assert_array_equal(image[8::16, 8::16, 0], observation[..., 0])


@pytest.mark.parametrize(
    ("size", "message"),
    [({"rows": 1}, "a board needs 2 rows at least, got 1"), ({"columns": 0}, "columns must be")],
)
def test_boards_that_are_too_small(size, message):
    with pytest.raises(ValueError, match=message):
        Catch(**size)
