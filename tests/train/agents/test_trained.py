"""Agents come back from their run folders, whatever they are and wherever they act."""

import pathlib

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
import quick

from jaxvision import rl, train
from jaxvision.rl import tabular
from jaxvision.train.agents import Episodes, TrainedAgent, register_agent


def make(kind: str) -> rl.Agent:
    envs = rl.vectorize("Catch", 4, max_steps_in_episode=20)
    space, adam = envs.observation_space, optax.sgd(1e-3)
    policy = {"envs": envs, "optimizer": adam, "updates_per_step": 1}
    network = rl.ActorCritic(space, 3, rl.MLP((8,)), rl.MLP((8,)))
    if kind == "ppo":
        return rl.PPO(network=network, num_steps=4, minibatches=2, **policy)
    if kind == "reinforce":
        return rl.Reinforce(network=network, max_steps=9, **policy)
    head = rl.Categorical(-1.0, 1.0, 11) if kind == "c51" else rl.Expected()
    q_network = rl.QNetwork(space, 3, rl.MLP((8,), "relu"), head.outputs, dueling=kind == "c51")
    if kind == "pqn":
        return rl.PQN(network=q_network, num_steps=4, minibatches=2, **policy)
    return rl.DQN(
        network=q_network,
        head=head,
        replay=rl.UniformReplay(64),
        learning_starts=8,
        train_every=4,
        batch_size=4,
        **policy,
    )


def fit(agent, run_dir: pathlib.Path) -> train.FitResult:
    parallel = train.parallelize(agent, train.data_mesh(jax.devices()[:1]))
    return train.fit(parallel, agent.init(jax.random.key(0)), None, num_steps=2, run_dir=run_dir)


KINDS = ("ppo", "reinforce", "pqn", "dqn", "c51")


@pytest.mark.parametrize("kind", quick.only(KINDS, "c51", "ppo"))
def test_it_acts_as_the_agent_did(kind: str, tmp_path) -> None:
    agent = make(kind)
    state = fit(agent, tmp_path).state
    trained = train.restore(tmp_path)
    assert isinstance(trained, TrainedAgent)
    assert (trained.environment, trained.needs_data, trained.num_seeds) == ("Catch", False, None)
    seen = np.random.default_rng(0).uniform(size=(5, *agent.envs.observation_space.shape))
    seen = seen.astype(np.float32)
    acted = quick.jit(lambda params, seen: (trained.act(seen), agent.act(params, seen)))
    np.testing.assert_array_equal(*jax.device_get(acted(state.params, seen)))
    envs = trained.make_environments(3)
    assert envs.num_envs == 3
    assert envs.params.max_steps_in_episode == 20


def test_episodes_scores_and_a_film(tmp_path) -> None:
    fit(make("ppo"), tmp_path)
    trained = train.restore(tmp_path)
    episodes = trained.predict(batch_size=10)
    assert episodes.lengths.tolist() == [9] * 10
    scores = trained.evaluate(episodes)
    assert scores["length"].value == 9
    assert scores["return"].value == episodes.returns.mean()
    gif, strip = trained.draw(episodes)
    assert (gif.name, strip.name) == ("episode.gif", "episode.png")
    assert gif.parent == tmp_path
    film = trained.film(max_steps=3)
    assert (len(film.frames), len(film.observations)) == (4, 3)
    assert (trained.action_names, trained.observation_names) == (["left", "stay", "right"], [])
    assert trained.evaluate(Episodes(np.float32([1, 3]), np.int32([5, 5])))["return"].value == 2


def test_seeds_that_learned_together(tmp_path) -> None:
    seeds = rl.Seeds(make("ppo"), 2)
    state = fit(seeds, tmp_path).state
    both = train.restore(tmp_path)
    assert both.num_seeds == 2
    seen = np.ones((3, *seeds.agent.envs.observation_space.shape), np.float32)
    with pytest.raises(ValueError, match=r"holds 2 seeds trained together: select one"):
        both.act(seen)
    second = jax.tree.map(lambda leaf: np.asarray(leaf)[1], state.params)
    one = both.seed(1)
    acted = quick.jit(lambda params, seen: (one.act(seen), seeds.agent.act(params, seen)))
    np.testing.assert_array_equal(*jax.device_get(acted(second, seen)))
    with pytest.raises(ValueError, match="and none at index 2"):
        both.seed(2)


def test_a_table_of_a_grid_world(tmp_path) -> None:
    world, _ = rl.make("GridWorld", map="S.T", jumps={}, slip=0.25)
    agent = tabular.TemporalDifference(environment=world, updates_per_step=50)
    state = fit(agent, tmp_path).state
    trained = train.restore(tmp_path)
    cells = np.arange(3)
    np.testing.assert_array_equal(trained.act(cells), np.asarray(state.params).argmax(1))
    assert trained.make_environments(1).environment.slip == 0.25


def test_what_cannot_be_made_again(tmp_path) -> None:
    class Own(rl.environments.Catch):
        pass

    envs = rl.vectorize(Own(), 4)
    network = rl.ActorCritic(envs.observation_space, 3, rl.MLP((8,)))
    options = {"optimizer": optax.sgd(0.1), "num_steps": 4, "updates_per_step": 1}
    fit(rl.A2C(envs=envs, network=network, **options), tmp_path / "envs")
    with pytest.raises(train.CheckpointError, match="does not name its environments: make"):
        train.restore(tmp_path / "envs")

    class Torso(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(4)(x.reshape(len(x), -1))

    envs = rl.vectorize("Catch", 4)
    network = rl.ActorCritic(envs.observation_space, 3, Torso())
    fit(rl.A2C(envs=envs, network=network, **options), tmp_path / "network")
    with pytest.raises(train.CheckpointError, match="does not say how its network was made: reg"):
        train.restore(tmp_path / "network")


def test_a_kind_of_ones_own(tmp_path) -> None:
    class Mine(rl.A2C):
        pass

    envs = rl.vectorize("Catch", 4)
    network = rl.ActorCritic(envs.observation_space, 3, rl.MLP((8,)))
    agent = Mine(envs=envs, network=network, optimizer=optax.sgd(0.1), num_steps=4)
    fit(agent, tmp_path)
    with pytest.raises(train.CheckpointError, match=r"unknown kind of agent 'Mine'.*import that f"):
        train.restore(tmp_path)
    register_agent(Mine)
    assert train.restore(tmp_path).environment == "Catch"


def test_environments_as_data() -> None:
    stacked = rl.FrameStack(rl.vectorize("Pong", 2, size=32, points=5), 3)
    described = rl.describe_environments(stacked)
    assert described == {
        "library": "jaxvision",
        "name": "Pong",
        "options": {"size": 32, "points": 5},
        "frame_stack": 3,
    }
    assert rl.describe_environments(rl.FrameStack(stacked, 1)) == described
    assert rl.describe_environments(rl.FrameStack(stacked, 2)) is None
    again = rl.make_environments(described, 4)
    assert again.observation_space.shape == stacked.observation_space.shape
    assert rl.describe_environments(again) == described
    for wrong, message in (
        ({}, "does not describe an environment"),
        ({**described, "library": "gym"}, "unknown library of environments 'gym'"),
        ({**described, "name": "Pongg"}, "did you mean 'Pong'"),
    ):
        with pytest.raises(ValueError, match=message):
            rl.make_environments(wrong, 1)


def test_environments_of_gymnasium_as_data() -> None:
    pytest.importorskip("gymnasium")
    described = rl.describe_environments(rl.make_gymnasium("CartPole-v1", 2))
    assert described == {"library": "gymnasium", "name": "CartPole-v1", "options": {}}
    assert rl.make_environments(described, 3).num_envs == 3


def test_environments_of_atari_as_data() -> None:
    pytest.importorskip("ale_py")
    envs = rl.make_atari("pong", 1, stack_num=3, num_threads=1, reward_clipping=True)
    described = rl.describe_environments(envs)
    assert described["frame_stack"] == 3
    again = rl.make_environments(described, 2)
    assert again.observation_space.shape == envs.observation_space.shape
    assert rl.describe_environments(again) == described
    whole = rl.make_environments(described, 2, whole_rewards=True)
    assert rl.describe_environments(whole)["options"]["reward_clipping"] is False
