import agents
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from tiny_envs import Clock, Frames

from jaxvision import rl


def run(envs, actions):
    """All steps of a sequence of actions, (time, envs), and the first observations."""

    @quick.jit
    def play(key, actions):
        first, state = envs.reset(key)

        def step(state, row):
            key, actions = row
            observations, state, *rest = envs.step(key, state, actions)
            return state, (observations, *rest)

        keys = jax.random.split(key, len(actions))
        return first, jax.lax.scan(step, state, (keys, actions))[1]

    return jax.device_get(play(jax.random.key(0), actions))


class Space:
    """A space of another library."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Foreign:
    """Has what environments of gymnax have, and nothing of ours."""

    default_params = None
    inner = Clock()

    def observation_space(self, params):
        del params
        return Space(low=0.0, high=jnp.inf, shape=(2,), dtype=jnp.float32)

    def action_space(self, params):
        del params
        return Space(n=2, shape=(), dtype=jnp.int32)

    def reset(self, key, params):
        del params
        return self.inner.reset(key)

    def step(self, key, state, action, params):
        del params
        return self.inner.step(key, state, action)


@pytest.mark.parametrize("environment", [Clock, Foreign])
def test_auto_reset_keeps_the_final_observation(environment):
    envs = rl.vectorize(environment(), 2)
    actions = np.zeros((12, 2), np.int32)
    actions[2, 1] = 1
    first, (observations, rewards, terminated, truncated, info) = run(envs, actions)
    final = info["final_observation"]
    assert terminated[:, 0].tolist() == [False] * 12
    assert np.flatnonzero(truncated[:, 0]).tolist() == [4, 9]
    assert np.flatnonzero(terminated[:, 1]).tolist() == [2]
    assert np.flatnonzero(truncated[:, 1]).tolist() == [7]
    over = terminated | truncated
    # Where no episode ends, the final observation is the next one.
    np.testing.assert_array_equal(final[~over], observations[~over])
    # Where one does, it is that of the old episode, and the next one begins at time 0.
    assert final[over][:, 1].tolist() == [3, 5, 5, 5]
    assert (observations[over][:, 1] == 0).all()
    assert (observations[over][:, 0] != final[over][:, 0]).all()
    before = np.concatenate([first[None], observations[:-1]])
    np.testing.assert_array_equal(before[..., 0], final[..., 0])
    np.testing.assert_array_equal(rewards, np.ones((12, 2)))


def test_environments_draw_apart_and_anew():
    envs = rl.vectorize(Clock(limit=2), 3)
    first, (observations, *_) = run(envs, np.zeros((8, 3), np.int32))
    numbers = np.concatenate([first[None], observations[1::2]])[..., 0]
    assert len(np.unique(numbers)) == numbers.size


def test_stochastic_environments_draw_apart():
    envs = rl.vectorize("GridWorld", 64, map="...\n.S.\n...", terminals={}, slip=1.0)
    _, (cells, *_) = run(envs, np.zeros((1, 64), np.int32))
    assert set(cells[0].tolist()) == {3, 5}


def test_one_step_equals_the_environments_own():
    envs = rl.vectorize("CartPole-v1", 5)
    environment, params = rl.make("CartPole-v1")

    @quick.jit
    def steps(key, actions):
        first, state = envs.reset(key)
        observations, *_ = envs.step(key, state, actions)
        alone, *_ = jax.vmap(environment.step_env, (None, 0, 0, None))(key, state, actions, params)
        return first, observations, alone

    first, observations, alone = steps(jax.random.key(0), np.int32([0, 1, 0, 1, 1]))
    np.testing.assert_allclose(observations, alone, rtol=1e-6)
    assert not np.array_equal(first, observations)


def test_frames_are_stacked_within_an_episode():
    envs = rl.FrameStack(rl.vectorize(Frames(limit=3), 2), 3)
    assert envs.observation_space.shape == (1, 1, 3)
    first, (observations, _, _, _, info) = run(envs, np.zeros((5, 2), np.int32))
    a = int(first[0, 0, 0, 0])
    assert first[0].ravel().tolist() == [a, a, a]
    seen, final = observations[:, 0].reshape(5, 3), info["final_observation"][:, 0].reshape(5, 3)
    b = int(seen[2, 0])
    assert seen.tolist() == [[a, a, a + 1], [a, a + 1, a + 2], [b, b, b], [b, b, b + 1],
                             [b, b + 1, b + 2]]  # fmt: skip
    assert final.tolist() == [[a, a, a + 1], [a, a + 1, a + 2], [a + 1, a + 2, a + 3],
                              [b, b, b + 1], [b, b + 1, b + 2]]  # fmt: skip


def test_episode_statistics():
    envs = rl.EpisodeStatistics(rl.vectorize(Clock(limit=4), 2))
    actions = np.zeros((6, 2), np.int32)
    actions[1, 0] = 1
    _, (*_, info) = run(envs, actions)
    assert info["episode_return"].T.tolist() == [[1, 2, 1, 2, 3, 4], [1, 2, 3, 4, 1, 2]]
    assert info["episode_length"].T.tolist() == [[1, 2, 1, 2, 3, 4], [1, 2, 3, 4, 1, 2]]


def test_rows_that_are_no_step_do_not_count():
    class Masked:
        """An environment that begins anew in every other step."""

        num_envs, action_space = 1, rl.Discrete(1)
        observation_space = rl.Box(0, 1, (1,))

        def reset(self, key):
            del key
            return jnp.zeros((1, 1)), jnp.zeros(1, jnp.int32)

        def step(self, key, state, actions):
            del key, actions
            no = jnp.zeros(1, bool)
            info = {"final_observation": jnp.zeros((1, 1)), "valid": state % 2 == 0}
            return jnp.zeros((1, 1)), state + 1, jnp.ones(1), no, no, info

    _, (*_, info) = run(rl.EpisodeStatistics(Masked()), np.zeros((5, 1), np.int32))
    assert info["episode_return"].ravel().tolist() == [1, 0, 1, 0, 1]
    assert info["episode_length"].ravel().tolist() == [1, 0, 1, 0, 1]


@agents.every_kind("pqn")
def test_agents_learn_in_environments_of_others(kind):
    agent = agents.make(kind, rl.vectorize(Foreign(), 2))
    _, metrics = agents.run(agent, 2)
    assert np.isfinite(metrics["loss"])
    assert metrics["episode_length"] <= 5


def wrong(**changes):
    """An environment whose step gives something else in some places."""

    class Wrong(Foreign):
        def step(self, key, state, action, params):
            names = ("observation", "state", "reward", "terminated", "truncated", "info")
            values = dict(zip(names, super().step(key, state, action, params), strict=True))
            return tuple({**values, **changes}.values())

    return Wrong()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seventh": 7}, r"a step of Wrong gives 7 values; it must give \(observation, state,"),
        ({"info": {}}, r"must give info\['final_observation'\].*; info has nothing in it"),
        ({"observation": jnp.zeros(3)}, r"shape \(2,\).* and step gives ShapeDtypeStruct.*\(3,\)"),
        ({"observation": {"a": 1.0}}, "must have the shape .* and step gives {'a'"),
        ({"info": {"final_observation": jnp.zeros(())}}, r"must have the shape \(2,\)"),
        ({"reward": jnp.ones(1)}, "reward must be one number"),
        ({"terminated": jnp.float32(0)}, "terminated must be one truth value.*float32"),
        ({"truncated": jnp.zeros(2, bool)}, "truncated must be one truth value"),
    ],
)
def test_steps_that_are_none_are_told(changes, message):
    with pytest.raises(ValueError, match=message):
        rl.vectorize(wrong(**changes), 2)


@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="num_envs must be a whole number, at least 1, got 0"):
        rl.vectorize("CartPole-v1", 0)
    with pytest.raises(ValueError, match=r"did you mean 'CartPole-v1'\?"):
        rl.vectorize("CartPole-v0", 1)
    with pytest.raises(ValueError, match=r"did you mean 'max_steps_in_episode'\?"):
        rl.vectorize("CartPole-v1", 1, max_steps=10)
    with pytest.raises(ValueError, match="limit: options are for an environment given by its name"):
        rl.vectorize(Clock(), 1, limit=3)
    with pytest.raises(ValueError, match="'CartPole-v1' is a name"):
        rl.vectorize("CartPole-v1", 1, rl.EnvParams())
    with pytest.raises(ValueError, match="an object with reset, step, observation_space and"):
        rl.vectorize(object(), 1)
    with pytest.raises(ValueError, match=r"got shape \(4,\)"):
        rl.FrameStack(rl.vectorize("CartPole-v1", 1), 2)
    with pytest.raises(ValueError, match="num_frames must be a whole number, at least 1, got 0"):
        rl.FrameStack(rl.vectorize("Catch", 1), 0)
    for name, options in (("Catch", {"rows": 2.5}), ("Pong", {"size": "abc"})):
        with pytest.raises(ValueError, match="must be a whole number"):
            rl.make(name, **options)


def test_options_reach_the_environment_and_its_constants():
    envs = rl.vectorize("Catch", 1, rows=6, max_steps_in_episode=3)
    assert envs.observation_space.shape == (6, 5, 1)
    assert envs.params.max_steps_in_episode == 3


@pytest.mark.parametrize(
    "name", quick.only(rl.list_environments(), "CartPole-v1", "Catch", "GridWorld", "Pong")
)
def test_every_environment_keeps_its_word(name):
    """Observations are of the space, rewards float32, ends truth values; states keep their form."""
    envs = rl.vectorize(name, 3)
    environment, params = envs.environment, envs.params

    @quick.jit
    def play(key):
        first, state = envs.reset(key)
        actions = jax.vmap(envs.action_space.sample)(jax.random.split(key, 3))
        observations, after, rewards, terminated, truncated, info = envs.step(key, state, actions)
        seen = (first, observations, info["final_observation"])
        inside = [jax.vmap(envs.observation_space.contains)(rows).all() for rows in seen]
        image = environment.render(jax.tree.map(lambda leaf: leaf[0], state), params)
        return (state, after), seen, inside, (rewards, terminated, truncated), image

    kept = (states, seen, inside, (rewards, terminated, truncated), image) = play(jax.random.key(0))
    assert all(inside)
    for rows in seen:
        assert rows.shape == (3, *envs.observation_space.shape)
        assert rows.dtype == envs.observation_space.dtype
    assert rewards.shape == (3,)
    assert rewards.dtype == jnp.float32
    assert terminated.dtype == truncated.dtype == bool
    forms = [jax.tree.map(jax.typeof, tree) for tree in states]
    assert forms[0] == forms[1]
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(kept))
    assert image.dtype == jnp.uint8
    assert image.shape[-1] == 3
    assert np.unique(np.asarray(image).reshape(-1, 3), axis=0).shape[0] > 1


def test_constants_that_are_no_numbers():
    for value in ("abc", float("nan")):
        with pytest.raises(
            ValueError, match=f"gravity of CartPole-v1 must be a number, got .?{value}"
        ):
            rl.make("CartPole-v1", gravity=value)
    with pytest.raises(ValueError, match="max_steps_in_episode must be a whole number"):
        rl.make("CartPole-v1", max_steps_in_episode=2.5)
    with pytest.raises(ValueError, match="a whole number, at least 1, got 0"):
        rl.make("CartPole-v1", max_steps_in_episode=0)
    with pytest.raises(ValueError, match=r"mass_cart must be positive, got -1\.1"):
        rl.make("CartPole-v1", mass_cart=-1.1)
    with pytest.raises(ValueError, match="dt must be positive, got 0"):
        rl.make("Acrobot-v1", dt=0)
    with pytest.raises(ValueError, match="min_position must be less than max_position, got 1 and"):
        rl.make("MountainCar-v0", min_position=1)
    with pytest.raises(ValueError, match=r"half of the court at most, and moves by 3 with"):
        rl.make("Pong", max_speed=3)
    with pytest.raises(ValueError, match=r"opponent_skill must be in \[0, 1\], got 1.5"):
        rl.make("Pong", opponent_skill=1.5)
    with pytest.raises(ValueError, match="points must be a whole number, at least 1, got 0"):
        rl.make("Pong", points=0)
    with pytest.raises(ValueError, match=r"half_paddle must be between 0 and 0.5, got 0.7"):
        rl.make("Pong", half_paddle=0.7)
    environment, params = rl.make("Catch")
    with pytest.raises(ValueError, match="max_steps_in_episode must be a whole number"):
        rl.vectorize(environment, 2, params.replace(max_steps_in_episode=0))
    rl.vectorize(environment, 2, params.replace(max_steps_in_episode=jnp.int32(3)))  # any array
