import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from tiny_envs import Clock, Frames

from jaxvision import rl


def stay(observations, key):
    del key
    return jnp.ones(len(observations), jnp.int32)


def test_wrapped_environments_are_drawn():
    plain = rl.vectorize("Pong", 3, size=20)
    envs = rl.EpisodeStatistics(rl.FrameStack(plain, 2))
    draw = quick.jit(lambda key: [rl.render(each, each.reset(key)[1]) for each in (envs, plain)])
    np.testing.assert_array_equal(*draw(jax.random.key(0)))


@functools.cache
def caught():
    """A film of Catch."""
    return rl.film(rl.vectorize("Catch", 1), stay, jax.random.key(1))


def test_a_film_is_the_episode_and_its_return():
    frames, total, ended, observations = caught()
    assert observations.shape == (9, 10, 5, 1)
    assert [np.argwhere(seen)[0][0] for seen in observations] == list(range(9))
    assert ended
    assert frames.shape == (10, 160, 80, 3)
    assert total in (-1.0, 1.0)
    balls = [np.argwhere(frame[8::16, 8::16, 0][:-1])[0][0] for frame in frames[:-1]]
    assert balls == list(range(9))
    assert frames[-1][8 + 9 * 16, 8::16, 0].any()  # where the ball came to
    short = rl.film(rl.vectorize("Catch", 1), stay, jax.random.key(1), max_steps=4)
    np.testing.assert_array_equal(short.frames, frames[:5])
    assert not short.ended


def test_the_last_image_is_where_the_episode_ended():
    """Not where the next one begins, which the environment is in by then."""
    world = rl.environments.GridWorld("S.G", terminals={"G": 1.0})
    envs = rl.EpisodeStatistics(rl.vectorize(world, 1))
    frames, total, ended, _ = rl.film(envs, stay, jax.random.key(0))
    assert ended
    assert total == -1.0  # two steps and the goal
    assert len(frames) == 3
    changed = [np.argwhere((frame != frames[0]).any(-1)) for frame in frames[1:]]
    right = frames.shape[2] * 2 // 3
    assert changed[1][:, 1].max() >= right > changed[0][:, 1].max()


def test_without_a_drawing_of_its_own_what_the_agent_sees_is_shown():
    envs = rl.FrameStack(rl.vectorize(Frames(limit=3), 1), 2)
    assert rl.can_be_drawn(envs)
    frames = rl.film(envs, lambda seen, key: jnp.zeros(1, jnp.int32), jax.random.key(1)).frames
    assert frames.shape == (4, 160, 160, 3)
    times = frames[:, 0, 0, 0]
    assert (times - times[0]).tolist() == [0, 1, 2, 3]
    assert (frames == times[:, None, None, None]).all()
    for envs in (Undrawn(), rl.vectorize(Clock(), 1)):
        assert not rl.can_be_drawn(envs)


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="needs exactly one environment, got 2"):
        rl.film(rl.vectorize("Catch", 2), stay, jax.random.key(0))
    for envs in (Undrawn(), rl.vectorize(Clock(), 1)):
        with pytest.raises(ValueError, match=r"(Undrawn|Clock) cannot be drawn: it has no render"):
            rl.render(envs, None)
    with pytest.raises(ValueError, match="max_steps must be at least 1, got 0"):
        rl.film(rl.vectorize("Catch", 1), stay, jax.random.key(0), max_steps=0)


def test_an_episode_without_images():
    film = rl.film(rl.vectorize("Catch", 1), stay, jax.random.key(1), drawn=False)
    assert film.frames.shape == (10, 0, 0, 3)
    np.testing.assert_array_equal(film.observations, caught().observations)
    assert film[1:3] == caught()[1:3]


class Undrawn:
    num_envs, observation_space, action_space = 1, rl.Discrete(1), rl.Discrete(1)

    def reset(self, key):
        raise NotImplementedError

    def step(self, key, state, actions):
        raise NotImplementedError
