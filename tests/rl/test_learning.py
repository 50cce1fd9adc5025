"""What agents learn, against what is known of small problems."""

import agents
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick
from tiny_envs import Clock

from jaxvision import rl
from jaxvision.losses import reinforcement
from jaxvision.rl.replay import Transitions

GAMMA = 0.9


class Endless(rl.Environment):
    """One state and a reward of 1 for every step; after five, time is over, or all is."""

    def __init__(self, ends="truncated"):
        self.ends = ends

    @property
    def default_params(self):
        return rl.EnvParams(max_steps_in_episode=5)

    @property
    def num_actions(self):
        return 2

    def observation_space(self, params):
        del params
        return rl.Discrete(1)

    def reset_env(self, key, params):
        del key, params
        return jnp.int32(0), rl.EnvState(time=jnp.int32(0))

    def step_env(self, key, state, action, params):
        del key, action
        state = state.replace(time=state.time + 1)
        over = (state.time >= params.max_steps_in_episode) & (self.ends == "terminated")
        return jnp.int32(0), state, jnp.float32(1), over, {}


def make(kind, envs, **options):
    """An agent without hidden layers: its values are a table."""
    fast = {"learning_rate": 0.05, "sizes": (), "updates_per_step": 50, **options}
    return agents.make(kind, envs, **fast)


def values_of(kind, agent, params):
    @quick.jit
    def values(params):
        seen = jnp.zeros(1, jnp.int32)
        if kind in ("a2c", "ppo", "reinforce"):
            return agent.network.apply(params, seen, method="values")
        return agent.head.values(agent.network.apply(params, seen)).max(-1)

    return jax.device_get(values(params))


@agents.every_kind("reinforce")
def test_the_value_of_a_task_without_end_is_not_cut_by_time(kind):
    """1 / (1 - gamma) = 10; an agent that takes truncation for an end learns 3.571 or less."""
    options = {
        "dqn": {"target_every": 10},
        "rainbow": {"target_every": 10},
        "pqn": {},
        "a2c": {"entropy_weight": 0.0},
        "ppo": {"entropy_weight": 0.0},
        "reinforce": {"updates_per_step": 100},
    }[kind]
    agent = make(kind, rl.vectorize(Endless(), 4), **options)
    state, _ = agents.run(agent, 20)
    np.testing.assert_allclose(values_of(kind, agent, state.params), 10.0, atol=0.25)


@pytest.mark.slow
def test_where_the_task_does_end_the_value_says_so():
    """Of five states that look alike, the last of which ends: 1 / (1 - 0.9 * 4 / 5) = 3.571."""
    envs = rl.vectorize(Endless("terminated"), 4)
    squares = rl.Expected(huber=None)  # whose least is at the mean
    agent = make("dqn", envs, batch_size=256, target_every=10, learning_rate=0.01, head=squares)
    state, _ = agents.run(agent, 20)
    np.testing.assert_allclose(values_of("dqn", agent, state.params), 3.571, atol=0.15)


class Bandit(rl.Environment):
    """One step; each action has a reward of its own."""

    rewards = (1.0, -2.0, 4.0)

    @property
    def default_params(self):
        return rl.EnvParams(max_steps_in_episode=1)

    @property
    def num_actions(self):
        return len(self.rewards)

    def observation_space(self, params):
        del params
        return rl.Discrete(1)

    def reset_env(self, key, params):
        del key, params
        return jnp.int32(0), rl.EnvState(time=jnp.int32(0))

    def step_env(self, key, state, action, params):
        del key, params
        reward = jnp.asarray(self.rewards, jnp.float32)[action]
        return jnp.int32(0), state.replace(time=state.time + 1), reward, jnp.array(True), {}


@pytest.mark.parametrize("baseline", quick.only(["none", "constant", "learned"], "learned"))
def test_the_policy_gradient_is_the_enumerated_one_in_expectation(baseline):
    """The mean over many episodes is the gradient of sum_a p(a) r(a), whatever the baseline."""
    envs = rl.vectorize(Bandit(), 20_000)
    agent = make("reinforce", envs, baseline=baseline, max_steps=1)

    def expected_return(params):
        logits = agent.network.apply(params, jnp.zeros(1, jnp.int32), method="policy")
        return jnp.sum(jax.nn.softmax(logits) * jnp.asarray(Bandit.rewards))

    @quick.jit
    def gradients(init_key, key):
        params = agent.init(init_key).params
        episodes = agent.play(params, agent.begin(key), key)
        weights, _ = agent.advantages(params, episodes, jnp.float32(1.5))

        def surrogate(params):
            logits = agent.network.apply(params, episodes.observations[0], method="policy")
            return -reinforcement.policy_gradient(logits, episodes.actions[0], weights[0]).mean()

        return jax.grad(expected_return)(params), jax.grad(surrogate)(params)

    trees = jax.device_get(gradients(jax.random.key(1), jax.random.key(0)))
    for name in ("bias", "kernel"):
        exact, sampled = (tree["params"]["policy_head"][name] for tree in trees)
        assert np.abs(exact).max() > 0.3
        np.testing.assert_allclose(exact, sampled, atol=0.04)


def test_an_update_is_the_step_that_the_estimate_says():
    """By plain gradient descent: the parameters move by the mean over the episodes."""
    envs = rl.vectorize(Bandit(), 64)
    agent = agents.make(
        "reinforce",
        envs,
        sizes=(),
        optimizer=optax.sgd(0.1),
        max_steps=1,
        baseline="none",
        updates_per_step=1,
    )

    @quick.jit
    def update(key):
        state = agent.init(key)
        play_key, _ = jax.random.split(jax.random.fold_in(state.key, 0))
        episodes = agent.play(state.params, state.position, play_key)
        return state.params, episodes, agent(state)[0].params

    before, episodes, after = jax.device_get(update(jax.random.key(0)))
    before, after = (tree["params"]["policy_head"] for tree in (before, after))
    odds = np.exp(before["bias"] + before["kernel"][0])
    taken = np.eye(3)[episodes.actions[0]]
    by_hand = np.mean((taken - odds / odds.sum()) * episodes.rewards[0][:, None], axis=0)
    np.testing.assert_allclose(after["bias"] - before["bias"], 0.1 * by_hand, rtol=1e-4, atol=1e-6)


def test_rows_of_the_whole_return_and_of_what_follows():
    """An episode of three steps with rewards of 1: returns to go, and the whole for every step."""
    envs = rl.vectorize(Clock(limit=3), 16)
    to_go, of_the_whole = (
        make("reinforce", envs, baseline="none", reward_to_go=reward_to_go, max_steps=7)
        for reward_to_go in (True, False)
    )

    @quick.jit
    def weights(key):
        params = to_go.init(key).params
        episodes = to_go.play(params, to_go.begin(key), key)
        each = [
            agent.advantages(params, episodes, jnp.float32(0))[0] for agent in (to_go, of_the_whole)
        ]
        return episodes, *each

    episodes, *each = jax.device_get(weights(jax.random.key(0)))
    lengths = episodes.weights.sum(0)
    whole = lengths == 3
    assert whole.any()
    # The clock goes on when an episode is over, and its last observation is still its own.
    np.testing.assert_array_equal(episodes.final_observations[:, 0], episodes.observations[0, :, 0])
    np.testing.assert_array_equal(episodes.final_observations[:, 1], lengths)
    for rows, expected in zip(each, ([2.71, 1.9, 1.0], [2.71, 2.71, 2.71]), strict=True):
        for row in rows[:3, whole].T:
            np.testing.assert_allclose(row, expected, rtol=1e-6)


HEADS = {
    "expected": rl.Expected(),
    "C51": rl.Categorical(-1.0, 1.0, 21),
    "quantile": rl.Quantile(11),
}


COMBINATIONS = [
    # Every two choices meet at least once.
    ("expected", "plain", "single", 1, rl.UniformReplay),
    ("expected", "dueling", "double", 3, rl.PrioritizedReplay),
    ("C51", "plain", "double", 1, rl.PrioritizedReplay),
    ("C51", "dueling", "single", 3, rl.UniformReplay),
    ("quantile", "plain", "double", 3, rl.UniformReplay),
    ("quantile", "dueling", "single", 1, rl.PrioritizedReplay),
]


@pytest.mark.parametrize(
    ("head", "network", "double", "n_step", "replay"), quick.only(COMBINATIONS, slow=["expected"])
)
def test_the_options_of_dqn_go_together_in_any_way(head, network, double, n_step, replay):
    head, dueling = HEADS[head], network == "dueling"
    envs = rl.vectorize("Catch", 8)
    network = rl.QNetwork(
        envs.observation_space, 3, rl.MLP((64,), "relu"), head.outputs, dueling=dueling
    )
    agent = rl.DQN(
        envs=envs,
        network=network,
        optimizer=optax.adam(2e-3),
        head=head,
        replay=replay(5_000),
        double=double == "double",
        n_step=n_step,
        batch_size=64,
        train_every=8,
        learning_starts=1_000,
        target_every=50,
        exploration=optax.linear_schedule(1.0, 0.02, 12_000),
        updates_per_step=500,
    )
    state, _ = agents.run(agent, 6)
    evaluate = rl.make_eval_fn(agent, rl.vectorize("Catch", 100))
    assert evaluate(state, None)["return"][0] >= 95


@pytest.mark.parametrize(
    "kind",
    quick.only(
        ["pqn", "pqn, C51", "pqn, quantile", "a2c", "ppo", "reinforce"],
        slow=["pqn", "ppo", "reinforce"],
    ),
)
def test_every_agent_learns_to_catch(kind):
    envs = rl.vectorize("Catch", 16)
    options = {
        "pqn": {"lambda_": 0.65},
        "pqn, C51": {"lambda_": 0.0, "head": HEADS["C51"]},
        "pqn, quantile": {"lambda_": 0.0, "head": HEADS["quantile"]},
        "a2c": {},
        "ppo": {"num_steps": 16},
        "reinforce": {"max_steps": 9},
    }[kind]
    kind = kind.split(",")[0]
    agent = agents.make(
        kind, envs, learning_rate=2e-3, sizes=(64,), updates_per_step=100, **options
    )
    state, _ = agents.run(agent, 10)
    evaluate = rl.make_eval_fn(agent, rl.vectorize("Catch", 100))
    assert evaluate(state, None)["return"][0] >= 95


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make_head", "message"),
    [
        (lambda: rl.Expected(huber=0.0), "huber must be positive, or None, got 0.0"),
        (lambda: rl.Expected(huber=-1.0), "huber must be positive"),
        (lambda: rl.Categorical(0.0, float("inf")), "must have a finite range"),
        (lambda: rl.Categorical(0.0, 1.0, 1), "and 2 atoms at least"),
        (lambda: rl.Quantile(0), "1 quantile at least"),
        (lambda: rl.Quantile(5, kappa=-1.0), "kappa must not be negative"),
    ],
)
def test_heads_that_cannot_be(make_head, message):
    with pytest.raises(ValueError, match=message):
        make_head()


def test_what_is_known_of_a_distribution_has_no_priority():
    """Where the step changes nothing and the prediction is the target's, as in Rainbow."""
    head = rl.Categorical(-1.0, 1.0, atoms=5)
    outputs = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(np.float32)
    outputs[:, 0] -= 5 * np.linspace(-1, 1, 5, dtype=np.float32)  # the second action is best
    rows = Transitions(
        observations=None,
        actions=np.ones(3, np.int32),
        rewards=np.zeros(3, np.float32),
        discounts=np.float32([1.0, 1.0, 0.0]),
        next_observations=None,
        weights=np.ones(3, np.float32),
    )
    loss = quick.jit(lambda outputs, rows: head.loss(outputs, rows, outputs, None))
    losses, priorities = jax.device_get(loss(outputs, rows))
    np.testing.assert_allclose(priorities[:2], 0, atol=1e-6)
    assert (losses[:2] > 0.5).all()
    # The target of the last is certain: the point 0, of no entropy.
    np.testing.assert_allclose(priorities[2], losses[2], rtol=1e-6)
    odds = np.exp(np.float64(outputs[2, 1]))
    np.testing.assert_allclose(losses[2], -np.log(odds[2] / odds.sum()), rtol=1e-6)


def test_means_of_distributions_are_exact_in_bfloat16():
    head = rl.Categorical(0.0, 100.0)
    logits = np.random.default_rng(0).normal(size=(4, 3, 51)).astype(jnp.bfloat16)
    values = quick.jit(lambda logits: (head.values(logits), head.values(logits.astype(float))))
    narrow, exact = jax.device_get(values(logits))
    np.testing.assert_allclose(narrow, exact, rtol=1e-6)
