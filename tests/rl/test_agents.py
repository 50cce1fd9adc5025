import functools
import re
from typing import Any

import agents
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick
from tiny_envs import Clock, Frames

from jaxvision import rl, train
from jaxvision.rl.learner import Learner, one


@functools.cache
def catching(kind, seeds=None):
    """An agent with eight environments, or several seeds of it; and its `init`, compiled once."""
    learner = agents.make(kind, rl.vectorize("Catch", 8), sizes=(32,))
    if seeds:
        learner = rl.Seeds(catching(kind)[0], seeds)
    return learner, jax.jit(learner.init)


@functools.cache
def on_devices(count, kind, seeds=None):
    """The step of `catching`, compiled once for so many devices."""
    rule = rl.shard_seeds(seeds) if seeds else rl.shard_environments(8)
    mesh = train.data_mesh(jax.devices()[:count])
    return train.parallelize(catching(kind, seeds)[0], mesh, shard=rule)


@functools.cache
def learned_on(devices, kind, seeds=None):
    """One step on so many devices.

    Returns:
        The state before it and after it, and its metrics, all on the host; the compiled program;
        and how the observations were cut.
    """
    _, begin = catching(kind, seeds)
    parallel = on_devices(devices, kind, seeds)
    state = parallel.prepare(begin(jax.random.key(5)))
    program = parallel._compile("one", state).lower(state, None).compile()
    cut = getattr(state, "position", state).observations.sharding
    before = quick.numbers(state)
    after, metrics = parallel(state, None)
    return before, quick.numbers(after), jax.device_get(metrics), program, cut


def assert_alike(one, other, **tolerance):
    for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


@agents.every_kind("rainbow", "reinforce")
def test_a_step_moves_everything_that_should_move(kind):
    agent, begin = catching(kind)
    parallel = on_devices(1, kind)
    state = parallel.prepare(begin(jax.random.key(0)))
    first = quick.numbers(state.params)
    state, metrics = agents.repeat(parallel, state, 2)
    assert int(state.step) == 4
    assert all(np.isfinite(value) for value in metrics.values())
    assert {"loss", "episode_return", "episode_length"} <= set(metrics)
    assert metrics["episode_length"] == 9
    if kind == "reinforce":
        assert int(state.env_steps) == 4 * 8 * 9
    moved = jax.tree.map(
        lambda *pair: not np.array_equal(*pair), first, jax.device_get(state.params)
    )
    assert all(jax.tree.leaves(moved))

    @quick.jit
    def act(params, observations, key):
        return agent.act(params, observations), agent.act(params, observations, key)

    seen = getattr(state, "position", state).observations
    for actions in act(state.params, seen, jax.random.key(2)):
        assert actions.dtype == jnp.int32
        assert np.isin(actions, range(3)).all()
    names = {"rainbow": "dqn"}
    assert agent.describe()["kind"].lower() == names.get(kind, kind)


@agents.every_kind("rainbow")
def test_runs_that_go_on_are_bit_equal(kind, tmp_path):
    """Environment, memory and key are in the checkpoint."""

    def fit(num_steps, run_dir):
        state = catching(kind)[1](jax.random.key(3))
        return train.fit(
            on_devices(1, kind), state, None, num_steps=num_steps, run_dir=run_dir, log_every=1
        )

    whole = fit(4, tmp_path / "whole")
    fit(2, tmp_path / "cut")
    cut = fit(4, tmp_path / "cut")
    jax.tree.map(
        np.testing.assert_array_equal, quick.numbers(whole.state), quick.numbers(cut.state)
    )
    lines = [
        [{k: v for k, v in line.items() if k != "steps_per_second"} for line in run.history]
        for run in (whole, cut)
    ]
    np.testing.assert_equal(*lines)


@agents.every_kind("rainbow")
def test_eight_devices_learn_what_one_does_and_share_the_work(kind):
    """Acting and learning: each computes an eighth of what one would, and little besides."""
    results, flops = [], []
    for devices in (1, 8):
        _, after, metrics, program, cut = learned_on(devices, kind)
        assert len(cut.device_set) == devices
        assert cut.shard_shape((8, 10, 5, 1))[0] == 8 // devices
        results.append((after.params, metrics["loss"]))
        flops.append(program.cost_analysis()["flops"])
    (params, loss), (same_params, same_loss) = results
    np.testing.assert_allclose(loss, same_loss, rtol=1e-4)
    assert_alike(params, same_params, atol=2e-4)
    assert flops[1] < 0.25 * flops[0]


@agents.every_kind()
def test_seeds_differ_in_everything_that_is_random(kind):
    before, after, metrics, *_ = learned_on(1, kind, seeds=8)
    kernels = max(jax.tree.leaves(before.params), key=np.size)
    for parts in (kernels, before.key):
        assert len({part.tobytes() for part in parts}) == 8
    if hasattr(after, "replay"):  # exploration
        memory = getattr(after.replay, "stream", after.replay)
        assert len({actions.tobytes() for actions in memory.actions}) == 8
    losses = [metrics[f"loss/seed{seed}"][0] for seed in range(8)]
    assert len({float(loss) for loss in losses}) == 8


@agents.every_kind()
def test_a_seed_learns_what_it_would_learn_alone(kind):
    _, together, *_ = learned_on(1, kind, seeds=8)
    _, begin = catching(kind)
    keys = jax.random.split(jax.random.key(5), 8)
    for seed in (0, 7):
        parallel = on_devices(1, kind)
        alone, _ = parallel(parallel.prepare(begin(keys[seed])), None)
        ours = jax.tree.map(lambda leaf, seed=seed: leaf[seed], together.params)
        assert_alike(jax.device_get(alone.params), ours, atol=2e-4)


@agents.every_kind()
def test_eight_devices_share_the_seeds(kind):
    """And have nothing to say to one another but the metrics, all at once."""
    _, one, _, program, _ = learned_on(1, kind, seeds=8)
    _, eight, _, shared, _ = learned_on(8, kind, seeds=8)
    assert shared.cost_analysis()["flops"] < 0.2 * program.cost_analysis()["flops"]
    exchanges = re.findall(r" ((?:all|collective)-[a-z-]+)\(", shared.as_text())
    assert exchanges == ["all-gather"]
    assert_alike(one.params, eight.params, atol=1e-5)


class Counts(flax.struct.PyTreeNode):
    step: Any
    params: Any
    env_steps: Any


class Counting(Learner):
    """Learns nothing, and counts episodes of lengths that depend on its key."""

    units_per_update = 2

    def _init(self, key):
        return Counts(jnp.int32(0), jax.random.randint(key, (), 3, 90), jnp.int32(0))

    def _update(self, state):
        length = state.params + state.step
        state = state.replace(step=state.step + 1, env_steps=state.env_steps + 2 * length)
        return state, {"loss": one(length), "episode_length": (2 * length, jnp.int32(2))}

    def act(self, params, observations, key=None):
        return (observations.sum((1, 2, 3)) + params) % 3


def counted(learner, **options):
    """Three steps with a line of each, and an evaluation at the end."""
    state = learner.init(jax.random.key(0))
    return train.fit(
        train.parallelize(learner, train.data_mesh(jax.devices()[:1])), state, None,
        num_steps=3, log_every=1, eval_every=3, **options,
    )  # fmt: skip


def test_histories_of_seeds_are_taken_apart():
    learner = rl.Seeds(Counting(), 2)
    evaluate = rl.make_eval_fn(learner, rl.vectorize("Catch", 2))
    result = counted(learner, evaluate=evaluate)
    *lines, evaluation = result.history
    histories = rl.split_history(lines)
    assert len(histories) == 2
    assert [line["step"] for line in histories[1]] == [1, 2, 3]
    assert histories[0][0]["loss"] == result.history[0]["loss/seed0"]
    one, other = jax.device_get(result.state.params)
    assert one != other
    # The first step makes ten updates, of which each counts one more.
    assert [lines[0]["loss"] for lines in histories] == [one + 4.5, other + 4.5]
    assert not any("/seed" in name for line in histories[0] for name in line)
    for seed, steps in enumerate(result.state.env_steps):
        assert evaluation[f"env_steps/seed{seed}"] == steps


def test_evaluation_with_fit():
    """And steps of whole episodes are counted: the lengths of all updates add up to the count."""
    learner = Counting()
    evaluate = rl.make_eval_fn(learner, rl.vectorize("Catch", 100))
    result = counted(learner, evaluate=evaluate)
    metrics = result.metrics
    assert metrics["length"] == 9
    assert -1 <= metrics["return_low"] <= metrics["return"] <= metrics["return_high"] <= 1
    assert evaluate(result.state, None)["return"][0] == metrics["return"] * 100
    lengths = [line["episode_length"] for line in result.history if line["split"] == "train"]
    assert metrics["env_steps"] == round(sum(lengths) * learner.units_per_step)


def test_evaluation_runs_every_episode_to_its_end():
    envs = rl.vectorize(Clock(limit=30), 200)

    def policy(observations, key):
        return jax.random.bernoulli(key, 0.1, (len(observations),)).astype(jnp.int32)

    run = quick.jit(lambda key: rl.run_episodes(envs, policy, key))
    returns, lengths = jax.device_get(run(jax.random.key(0)))
    np.testing.assert_array_equal(returns, lengths)
    assert lengths.max() == 30
    # The length of a geometric distribution that is cut at 30.
    np.testing.assert_allclose(lengths.mean(), (1 - 0.9**30) / 0.1, atol=3 * 8.5 / 200**0.5)


def test_what_a_policy_draws_does_not_depend_on_its_type():
    agent, _ = catching("reinforce")
    logits = np.log(np.array([0.9375, 0.03125, 0.03125])).astype(jnp.bfloat16)
    rows = np.broadcast_to(logits, (20_000, 3))

    @quick.jit
    def draw(rows, key):
        return agent._choose(rows, key), agent._choose(rows.astype(jnp.float32), key)

    np.testing.assert_array_equal(*draw(rows, jax.random.key(0)))


class Continuous(Clock):
    def action_space(self, params=None):
        del params
        return rl.Box(-1.0, 1.0, (1,))

    def step_env(self, key, state, action, params):
        return super().step_env(key, state, (action[0] > 0).astype(jnp.int32), params)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("dqn", {"train_every": 3}, "train_every=3 environment steps must be a multiple of the 2"),
        ("dqn", {"n_step": 0}, "n_step must be a whole number, at least 1, got 0"),
        (
            "ppo",
            {"minibatches": 3},
            "16 environment steps does not divide into 3 equal minibatches",
        ),
        ("ppo", {"epochs": 0}, "epochs must be a whole number, at least 1"),
        ("a2c", {"num_steps": 8.0}, r"num_steps must be a whole number, at least 1, got 8\.0"),
        ("a2c", {"lambda_": 1.5}, r"lambda_ must be in \[0, 1\], got 1.5"),
        ("dqn", {"exploration": 2.0}, r"exploration must be in \[0, 1\], or a schedule, got 2"),
        ("dqn", {"replay": 1_000}, "replay must be a UniformReplay or a PrioritizedReplay"),
        ("dqn", {"replay": rl.UniformReplay(5), "n_step": 3}, "cannot hold n_step=3 steps of 2"),
        ("ppo", {"clip": 0.0}, "clip must be positive, got 0.0"),
        ("ppo", {"minibatches": 16}, "which must have 2 environment steps at least"),
        ("a2c", {"discount": 1.1}, r"discount must be in \[0, 1\], got 1.1"),
        ("a2c", {"discount": "0.9"}, r"discount must be in \[0, 1\], got '0.9'"),
        ("ppo", {"lambda_": abs}, r"lambda_ must be in \[0, 1\], got <built-in"),
        ("ppo", {"entropy_weight": float("nan")}, "entropy_weight must be a number, not negative"),
        ("reinforce", {"value_weight": -1.0}, "value_weight must be a number, not negative"),
        ("dqn", {"optimizer": None}, r"optimizer must be one of optax, as optax.adam\(1e-3\)"),
        ("pqn", {"head": rl.Quantile()}, "Quantile learns distributions: use lambda_=0"),
        (
            "reinforce",
            {"baseline": "mean"},
            "unknown baseline .mean. .known: constant, learned, none",
        ),
        ("reinforce", {"reward_to_go": False}, "the critic learns what follows a state"),
        (
            "ppo",
            {"updates_per_step": 0},
            "updates_per_step must be a whole number, at least 1, got 0",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_wrong_options_are_named(kind, options, message):
    with pytest.raises(ValueError, match=message):
        agents.make(kind, rl.vectorize("Catch", 2), **options)


def test_actions_that_are_no_integers():
    envs = rl.vectorize("Catch", 2)
    network = agents.make("ppo", envs).network
    continuous = rl.vectorize(Continuous(), 2)
    with pytest.raises(ValueError, match="actions must be discrete"):
        rl.PPO(envs=continuous, network=network, optimizer=agents.make("ppo", envs).optimizer)


def networks(envs, num_actions=3, outputs=1):
    space, torso = envs.observation_space, rl.MLP((8,))
    return {
        "q": rl.QNetwork(space, num_actions, torso, outputs),
        "actor_critic": rl.ActorCritic(space, num_actions, torso),
    }


@pytest.mark.parametrize(
    ("cls", "network", "options", "message"),
    [
        (rl.PPO, "q", {}, r"gives \(2, 3\) and \(2,\) for 2 env.*QNetwork gives \(2, 3, 1\)"),
        (rl.A2C, "actor_critic", {"num_actions": 5}, r"ActorCritic gives \(2, 5\) and \(2,\)"),
        (rl.DQN, "actor_critic", {}, r"gives \(2, 3\) and \(2,\): use rl\.QNetwork"),
        (rl.PQN, "q", {"num_actions": 1}, r"QNetwork gives \(2, 1, 1\)"),
        (rl.DQN, "q", {"outputs": 51}, r"a network that gives \(2, 3, 1\)"),
    ],
)
def test_networks_that_do_not_fit(cls, network, options, message):
    envs = rl.vectorize("Catch", 2)
    with pytest.raises(ValueError, match=message):
        cls(envs=envs, network=networks(envs, **options)[network], optimizer=optax.adam(1e-3))


@pytest.mark.usefixtures("unchecked")
def test_heads_and_spaces_that_do_not_fit():
    envs = rl.vectorize("Catch", 2)
    network, optimizer = networks(envs)["q"], optax.adam(1e-3)
    with pytest.raises(ValueError, match=r"head must be rl.Expected\(\).*got 'c51'"):
        rl.DQN(envs=envs, network=network, optimizer=optimizer, head="c51")
    with pytest.raises(
        ValueError, match=r"network must be a module, rl.QNetwork\(space.*got <class"
    ):
        rl.DQN(envs=envs, network=rl.QNetwork, optimizer=optimizer)
    cells = rl.vectorize("GridWorld", 2, map="S.T")
    network = networks(envs, num_actions=4)["q"]
    with pytest.raises(ValueError, match=r"are Discrete\(n=3\), and the network is made for Box"):
        rl.DQN(envs=cells, network=network, optimizer=optimizer)


def test_seeds_of_gymnasium_are_refused():
    pytest.importorskip("gymnasium")
    agent = agents.make("ppo", rl.make_gymnasium("CartPole-v1", 2))
    with pytest.raises(ValueError, match="train one seed after the other"):
        rl.Seeds(agent, 2)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("envs", ["Catch", rl.make("Catch"), rl.make("Catch")[0]])
def test_environments_that_are_no_vector(envs):
    network = networks(rl.vectorize("Catch", 2))["q"]
    with pytest.raises(ValueError, match=r"envs must be a vector environment, as rl\.vectorize"):
        rl.DQN(envs=envs, network=network, optimizer=optax.adam(1e-3))


def test_sharing_among_another_number_is_refused():
    learner, begin = catching("reinforce", seeds=2)
    mesh = train.data_mesh(jax.devices()[:2])
    alone = jax.eval_shape(catching("reinforce")[1], jax.random.key(0))
    parallel = train.parallelize(learner.agent, mesh, shard=rl.shard_environments(16))
    with pytest.raises(
        ValueError, match=r"shard_environments\(16\) needs as many environments, got 8"
    ):
        parallel.shardings(alone)
    parallel = train.parallelize(learner, mesh, shard=rl.shard_seeds(8))
    with pytest.raises(
        ValueError, match=r"shard_seeds\(8\) needs as many seeds; .* has shape \(2,"
    ):
        parallel.shardings(jax.eval_shape(begin, jax.random.key(0)))


def test_steps_before_the_first_update():
    agent, begin = catching("rainbow")
    assert agent.units_before == 24
    memory = begin(jax.random.key(0)).replay.stream
    assert np.sum(memory.filled) >= 24
    assert rl.Seeds(agent, 2).units_before == 24
    assert catching("reinforce")[0].units_before == 0
    assert rl.Seeds(agent, 2).describe()["kind"] == "DQN"


def test_wrapped_stacks_are_held_once():
    envs = rl.EpisodeStatistics(rl.FrameStack(rl.vectorize(Frames(), 2), 4))
    state = jax.eval_shape(agents.make("dqn", envs).init, jax.random.key(0))
    assert state.observations.shape[1:] == (1, 1, 4)
    assert state.replay.observations.shape[2:] == (1, 1, 1)
