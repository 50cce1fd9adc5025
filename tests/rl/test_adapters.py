import functools

import agents
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import rl, train
from jaxvision.rl.wrappers import frames_in

gymnasium = pytest.importorskip("gymnasium")
MODES = {mode.value: mode for mode in gymnasium.vector.AutoresetMode}


def cartpoles(mode, num_envs=3):
    return rl.make_gymnasium(
        "CartPole-v1", num_envs, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}
    )


@functools.cache
def program(envs, num_steps):
    """Begins, and steps with actions 0; programs with callbacks are in no cache but this."""

    @quick.jit
    def play(key):
        first, state = envs.reset(key)
        actions = jnp.zeros(envs.num_envs, jnp.int32)

        def step(state, key):
            observations, state, *rest = envs.step(key, state, actions)
            return state, (observations, *rest)

        return first, jax.lax.scan(step, state, jax.random.split(key, num_steps))[1]

    return play


def run(envs, num_steps, seed=0):
    """The first observations, and all steps, as arrays (time, envs)."""
    return jax.device_get(program(envs, num_steps)(jax.random.key(seed)))


@pytest.mark.parametrize("name", ["NextStep", "SameStep"])
def test_both_ways_to_begin_anew(name):
    """In float32 the rows that count are those of our own dynamics, episode by episode."""
    envs = cartpoles(MODES[name])
    assert envs.observation_space.shape == (4,)
    assert envs.action_space == rl.Discrete(2)
    first, (observations, rewards, terminated, truncated, info) = run(envs, 40)
    valid, final = info["valid"], info["final_observation"]
    assert terminated.sum() >= 9
    if name == "SameStep":
        assert valid.all()
    else:
        np.testing.assert_array_equal(~valid[1:], (terminated | truncated)[:-1])
    environment, params = rl.make("CartPole-v1")

    @quick.jit
    @jax.vmap
    def step(before):
        _, state = environment.reset(jax.random.key(0))
        x, x_dot, theta, theta_dot = before
        at = state.replace(x=x, x_dot=x_dot, theta=theta, theta_dot=theta_dot)
        seen, _, reward, over, _ = environment.step_env(jax.random.key(0), at, jnp.int32(0), params)
        return seen, reward, over

    before = np.concatenate([first[None], observations[:-1]]).reshape(-1, 4)
    seen, reward, over = (
        np.reshape(leaf, (*valid.shape, *leaf.shape[1:])) for leaf in jax.device_get(step(before))
    )
    np.testing.assert_allclose(final[valid], seen[valid], atol=1e-5)
    np.testing.assert_array_equal(rewards[valid], reward[valid])
    np.testing.assert_array_equal(terminated[valid], over[valid])
    if name == "SameStep":
        assert np.abs(observations[over]).max() <= 0.05


def test_seeds_of_the_key():
    envs = cartpoles(MODES["SameStep"])
    same, (one, *_) = run(envs, 3, seed=1)
    again, (two, *_) = run(envs, 3, seed=1)
    other, _ = run(envs, 3, seed=2)
    np.testing.assert_array_equal(same, again)
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(same, other)


@functools.cache
def learning(kind, name):
    """An agent in environments of Gymnasium; what begins to learn, and its step."""
    agent = agents.make(kind, cartpoles(MODES[name], 2))
    return agent, jax.jit(agent.init), train.parallelize(agent, train.data_mesh(jax.devices()[:1]))


@pytest.mark.parametrize("kind", quick.only(["dqn", "ppo", "reinforce"], "dqn"))
@pytest.mark.parametrize("name", quick.only(["NextStep", "SameStep"], "NextStep"))
def test_agents_learn_of_rows_that_count(kind, name):
    agent, begin, step = learning(kind, name)
    state, metrics = agents.repeat(step, step.prepare(begin(jax.random.key(0))), 4)
    assert all(np.isfinite(value) for value in metrics.values())
    if kind == "dqn":
        rows = agents.sample(agent, state.replay, 500)
        counts = rows.weights > 0
        jump = np.abs(rows.observations - rows.next_observations).max(1)[counts]
        assert jump.max() < 0.7  # no row leads from the end of an episode to a new beginning


@pytest.mark.parametrize("name", quick.only(["NextStep", "SameStep"], "NextStep"))
def test_a_run_that_goes_on_begins_new_episodes(tmp_path, name):
    """No row leads from where the checkpoint was to where the environments are."""
    agent, begin, step = learning("dqn", name)

    def fit(num_steps):
        state = begin(jax.random.key(0))
        return train.fit(step, state, None, num_steps=num_steps, run_dir=tmp_path)

    fit(2)
    result = fit(4)
    assert result.step == 4
    rows = agents.sample(agent, result.state.replay, 500)
    counts = rows.weights > 0
    moved = rows.next_observations[:, 0] - rows.observations[:, 0]
    # The cart goes by its velocity: a jump to another episode would not.
    expected = 0.02 * rows.observations[:, 1]
    np.testing.assert_allclose(moved[counts], expected[counts], atol=1e-6)


def test_environments_that_somebody_else_reset_begin_anew():
    envs = rl.EpisodeStatistics(cartpoles(MODES["SameStep"], 2))
    reset, step, actions = quick.jit(envs.reset), quick.jit(envs.step), np.zeros(2, np.int32)
    key = jax.random.key(0)
    _, state = reset(key)
    for _ in range(3):
        _, state, *_, info = step(key, state, actions)
    assert info["valid"].all()
    assert info["episode_length"].tolist() == [3, 3]
    reset(jax.random.key(1))
    observations, state, rewards, *_, info = step(key, state, actions)
    assert not info["valid"].any()
    assert not rewards.any()
    assert info["episode_length"].tolist() == [0, 0]
    np.testing.assert_array_equal(observations, info["final_observation"])
    *_, info = step(key, state, actions)
    assert info["valid"].all()
    assert info["episode_length"].tolist() == [1, 1]


class Doubles(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float64)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.array([0.25, -0.25]), {}

    def step(self, action):
        return np.array([0.5, -0.5]), 1.0, False, False, {}


def test_observations_of_64_bits():
    vector = gymnasium.vector.SyncVectorEnv([Doubles] * 2)
    envs = rl.GymnasiumEnvs(vector)
    first, (observations, *_) = run(envs, 2)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(observations, np.broadcast_to([0.5, -0.5], (2, 2, 2)))


def test_wrong_numbers_and_shapes():
    with pytest.raises(ValueError, match="num_envs must be a whole number, at least 1, got 0"):
        rl.make_gymnasium("CartPole-v1", 0)
    with pytest.raises(ValueError, match="num_envs must be a whole number, at least 1, got 0"):
        rl.make_atari("pong", 0)
    with pytest.raises(ValueError, match="Gymnasium cannot make Nope-v0: Environment `Nope`"):
        rl.make_gymnasium("Nope-v0", 1)
    with pytest.raises(ValueError, match=r"unknown game of Atari 'pongg'.*did you mean 'pong'"):
        rl.make_atari("pongg", 1)
    with pytest.raises(ValueError, match=r"ale-py cannot make pong: .*speed"):
        rl.make_atari("pong", 1, speed=2)
    with pytest.raises(ValueError, match="channels_first is for images"):
        rl.GymnasiumEnvs(cartpoles(MODES["NextStep"]).environments, channels_first=True)
    with pytest.raises(ValueError, match="GymnasiumEnvs cannot be drawn"):
        rl.render(cartpoles(MODES["NextStep"]), None)


def test_environments_that_do_not_begin_anew():
    with pytest.raises(ValueError, match="must reset themselves"):
        cartpoles(MODES["Disabled"])


@pytest.fixture
def pong():
    pytest.importorskip("ale_py")
    return rl.make_atari("pong", 2, num_threads=1, max_num_frames_per_episode=100)


def test_atari_shows_images_with_channels_last(pong):
    assert pong.observation_space.shape == (84, 84, 4)
    assert pong.action_space == rl.Discrete(6)
    assert frames_in(pong) == 4
    first, (observations, _, terminated, truncated, info) = run(pong, 60)
    assert first.shape == (2, 84, 84, 4)
    assert observations.dtype == np.uint8
    over = terminated | truncated
    assert over.any()
    np.testing.assert_array_equal(~info["valid"][1:], over[:-1])
    # The newest frame of one step is the one before in the next, within an episode.
    inside = info["valid"][1:]
    final = info["final_observation"]
    np.testing.assert_array_equal(final[1:][inside][..., 2], observations[:-1][inside][..., 3])
    # A new episode shows nothing of the last.
    young = observations[~info["valid"]]
    assert len(young)
    np.testing.assert_array_equal(young[..., :3], np.repeat(young[..., 3:], 3, axis=-1))


@pytest.mark.slow
def test_atari_frames_are_held_once(pong):
    network = rl.QNetwork(pong.observation_space, 6, rl.MLP((8,)))
    agent = rl.DQN(
        envs=pong,
        network=network,
        optimizer=agents.make("dqn", rl.vectorize("Catch", 1)).optimizer,
        replay=rl.UniformReplay(200),
        learning_starts=120,
        train_every=4,
        batch_size=8,
        updates_per_step=2,
    )
    state = agent.init(jax.random.key(0))
    assert state.replay.observations.shape[2:] == (84, 84, 1)
    present = agent._stream._look(state.replay, jnp.arange(2), state.replay.positions)
    np.testing.assert_array_equal(present, state.observations)
    state, metrics = jax.jit(agent)(state)
    assert np.isfinite(float(metrics["loss"][0]))
