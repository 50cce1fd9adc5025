import re

import agents
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_envs import Clock

from jaxvision import rl, train


@agents.every_kind("rainbow", "reinforce")
def test_a_step_moves_everything_that_should_move(kind):
    envs = rl.vectorize("Catch", 4)
    agent = agents.make(kind, envs)
    first = agents.numbers(agent.init(jax.random.key(0)).params)
    state, metrics = agents.run(agent, 2)
    assert int(state.step) == 4
    assert all(np.isfinite(value) for value in metrics.values())
    assert {"loss", "episode_return", "episode_length"} <= set(metrics)
    assert metrics["episode_length"] == 9
    moved = [not np.array_equal(*pair) for pair in zip(first, agents.numbers(state.params),
                                                       strict=True)]  # fmt: skip
    assert all(moved)
    observations, _ = envs.reset(jax.random.key(1))
    for key in (None, jax.random.key(2)):
        actions = jax.jit(agent.act)(state.params, observations, key)
        assert actions.dtype == jnp.int32
        assert jax.vmap(envs.action_space.contains)(actions).all()
    assert agent.describe()["task"] == {"rainbow": "dqn"}.get(kind, kind)


@agents.every_kind("rainbow")
def test_runs_that_go_on_are_bit_equal(kind, tmp_path):
    """Environment, memory and key are in the checkpoint."""
    agent = agents.make(kind, rl.vectorize("CartPole-v1", 4))

    def fit(num_steps, run_dir):
        state = agent.init(jax.random.key(3))
        return train.fit(
            agent, state, None, num_steps=num_steps, run_dir=run_dir, log_every=1, progress=False
        )

    whole = fit(4, tmp_path / "whole")
    fit(2, tmp_path / "cut")
    cut = fit(4, tmp_path / "cut")
    for one, other in zip(agents.numbers(whole.state), agents.numbers(cut.state), strict=True):
        np.testing.assert_array_equal(one, other)
    lines = [
        [{k: v for k, v in line.items() if k != "steps_per_second"} for line in run.history]
        for run in (whole, cut)
    ]
    np.testing.assert_equal(*lines)


def on_devices(count, step, rule):
    """The step on so many devices, where it begins, and the program of each of them."""
    parallel = train.parallelize(step, train.data_mesh(jax.devices()[:count]), shard=rule)
    state = parallel.prepare(step.init(jax.random.key(0)))
    return parallel, state, parallel._compile("one", state).lower(state, None).compile()


@agents.every_kind("rainbow")
def test_eight_devices_learn_what_one_does(kind):
    agent = agents.make(kind, rl.vectorize("CartPole-v1", 8))
    results = []
    for devices in (1, 8):
        parallel, state, _ = on_devices(devices, agent, rl.shard_environments(8))
        observations = getattr(state, "position", state).observations
        assert len(observations.sharding.device_set) == devices
        assert observations.addressable_shards[0].data.shape[0] == 8 // devices
        state, metrics = parallel(state, None)
        results.append((agents.numbers(state.params), metrics["loss"]))
    (one, loss), (eight, same_loss) = results
    np.testing.assert_allclose(loss, same_loss, rtol=1e-4)
    for a, b in zip(one, eight, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


@agents.every_kind("ppo")
def test_seeds_differ_in_everything_that_is_random(kind):
    seeds = rl.Seeds(agents.make(kind, rl.vectorize("CartPole-v1", 4)), 3)
    state = seeds.init(jax.random.key(0))
    states = [jax.tree.map(lambda leaf, i=i: leaf[i], state) for i in range(3)]
    step = jax.jit(seeds)
    after, metrics = step(state)
    assert {f"loss/seed{seed}" for seed in range(3)} <= set(metrics)
    kernels = [max(agents.numbers(s.params), key=np.size) for s in states]
    keys = [agents.numbers(s.key)[0] for s in states]
    for parts in (kernels, keys):
        assert len({part.tobytes() for part in parts}) == 3
    if hasattr(after, "replay"):  # exploration
        memory = getattr(after.replay, "stream", after.replay)
        assert len({np.asarray(actions).tobytes() for actions in memory.actions}) == 3
    losses = [float(metrics[f"loss/seed{seed}"][0]) for seed in range(3)]
    assert len(set(losses)) == 3


@agents.every_kind()
def test_a_seed_learns_what_it_would_learn_alone(kind):
    agent = agents.make(kind, rl.vectorize("CartPole-v1", 4))
    seeds = rl.Seeds(agent, 2)
    together, _ = jax.jit(seeds)(seeds.init(jax.random.key(5)))
    for seed, key in enumerate(jax.random.split(jax.random.key(5), 2)):
        alone, _ = jax.jit(agent)(agent.init(key))
        for a, b in zip(agents.numbers(alone.params), agents.numbers(together.params), strict=True):
            np.testing.assert_allclose(a, b[seed], atol=2e-4)


def test_histories_of_seeds_are_taken_apart():
    agent = rl.Seeds(agents.make("a2c", rl.vectorize("Catch", 2)), 2)
    result = train.fit(agent, agent.init(jax.random.key(0)), None, num_steps=3, log_every=1)
    histories = rl.split_history(result.history)
    assert len(histories) == 2
    assert [line["step"] for line in histories[1]] == [1, 2, 3]
    assert histories[0][0]["loss"] == result.history[0]["loss/seed0"]
    assert not any("/seed" in name for line in histories[0] for name in line)


def test_evaluation_runs_every_episode_to_its_end():
    envs = rl.vectorize(Clock(limit=30), 200)

    def policy(observations, key):
        return jax.random.bernoulli(key, 0.1, (len(observations),)).astype(jnp.int32)

    returns, lengths = jax.jit(lambda key: rl.run_episodes(envs, policy, key))(jax.random.key(0))
    np.testing.assert_array_equal(returns, lengths)
    assert lengths.max() == 30
    # The length of a geometric distribution that is cut at 30.
    np.testing.assert_allclose(lengths.mean(), (1 - 0.9**30) / 0.1, atol=3 * 8.5 / 200**0.5)


def test_evaluation_with_fit():
    envs = rl.vectorize("Catch", 2)
    agent = agents.make("ppo", envs)
    evaluate = rl.make_eval_fn(agent, rl.vectorize("Catch", 100))
    result = train.fit(
        agent, agent.init(jax.random.key(0)), None, num_steps=1, evaluate=evaluate, eval_every=1
    )
    metrics = result.metrics
    assert metrics["length"] == 9
    assert -1 <= metrics["return_low"] <= metrics["return"] <= metrics["return_high"] <= 1
    assert evaluate(result.state, None)["return"][0] == metrics["return"] * 100


def test_steps_of_whole_episodes_are_counted():
    """The mean length of a log is that of its updates, and all of them add up to the count."""
    agent = agents.make("reinforce", rl.vectorize("CartPole-v1", 4), max_steps=50)
    evaluated = rl.vectorize("CartPole-v1", 2)
    result = train.fit(
        agent, agent.init(jax.random.key(0)), None, num_steps=3, log_every=1,
        evaluate=rl.make_eval_fn(agent, evaluated), eval_every=3,
    )  # fmt: skip
    lengths = [line["episode_length"] for line in result.history if line["split"] == "train"]
    assert result.metrics["env_steps"] == round(sum(lengths) * agent.units_per_step)
    seeds = rl.Seeds(agent, 2)
    counts = rl.make_eval_fn(seeds, evaluated)(seeds.init(jax.random.key(0)), None)
    assert counts["env_steps/seed1"] == (0, 1)


def test_what_a_policy_draws_does_not_depend_on_its_type():
    logits = jnp.log(jnp.array([0.9375, 0.03125, 0.03125])).astype(jnp.bfloat16)
    agent = agents.make("ppo", rl.vectorize("Catch", 1))
    rows = jnp.broadcast_to(logits, (20_000, 3))
    drawn = [agent._choose(row, jax.random.key(0)) for row in (rows, rows.astype(jnp.float32))]
    np.testing.assert_array_equal(*drawn)


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
        ("reinforce", {"baseline": "mean"}, "baseline must be one of none, constant, learned"),
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


@agents.every_kind()
def test_eight_devices_share_the_work(kind):
    """Acting and learning: each computes an eighth of what one would, and little besides."""
    agent = agents.make(kind, rl.vectorize("CartPole-v1", 64), sizes=(256, 256))
    flops = []
    for devices in (1, 8):
        *_, program = on_devices(devices, agent, rl.shard_environments(64))
        flops.append(program.cost_analysis()["flops"])
    assert flops[1] < 0.25 * flops[0]


@agents.every_kind()
def test_eight_devices_share_the_seeds(kind):
    """And have nothing to say to one another but the metrics, all at once."""
    seeds = rl.Seeds(agents.make(kind, rl.vectorize("CartPole-v1", 4)), 8)
    results = []
    for devices in (1, 8):
        parallel, state, program = on_devices(devices, seeds, rl.shard_seeds(8))
        state, _ = parallel(state, None)
        results.append((agents.numbers(state.params), program.cost_analysis()["flops"]))
    (one, flops), (eight, fewer) = results
    assert fewer < 0.2 * flops
    exchanges = re.findall(r" ((?:all|collective)-[a-z-]+)\(", program.as_text())
    assert exchanges == ["all-gather"]
    for a, b in zip(one, eight, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_sharing_among_another_number_is_refused():
    agent = agents.make("ppo", rl.vectorize("CartPole-v1", 4))
    with pytest.raises(ValueError, match=r"shard_environments\(8\) is for that many, there are 4"):
        on_devices(2, agent, rl.shard_environments(8))
    with pytest.raises(ValueError, match=r"shard_seeds\(8\) is for that many; .* has shape \(2,"):
        on_devices(2, rl.Seeds(agent, 2), rl.shard_seeds(8))


def test_steps_before_the_first_update():
    envs = rl.vectorize("Catch", 8)
    agent = agents.make("dqn", envs, learning_starts=20)
    assert agent.units_before == 24
    assert int(agent.init(jax.random.key(0)).replay.filled.sum()) >= 24
    assert rl.Seeds(agent, 2).units_before == 24
    assert agents.make("ppo", envs).units_before == 0
    assert rl.Seeds(agent, 2).describe()["agent"]["task"] == "dqn"


def test_wrapped_stacks_are_held_once():
    envs = rl.EpisodeStatistics(rl.FrameStack(rl.vectorize("Pong", 2, size=32), 4))
    agent = agents.make("dqn", envs)
    assert agent.init(jax.random.key(0)).replay.observations.shape[2:] == (32, 32, 1)
