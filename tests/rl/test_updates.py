"""What an update does, number by number: targets, masks, schedules, clips and signs."""

import functools

import agents
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from test_learning import Bandit

from jaxvision import rl
from jaxvision.rl.replay import Transitions
from jaxvision.rl.rollout import Rows, collect


class Interrupted:
    """Environments that somebody begins anew in their second step; later steps bring 100."""

    num_envs, action_space = 2, rl.Discrete(2)
    observation_space = rl.Box(0, 10, (1,))

    def reset(self, key):
        del key
        return jnp.zeros((2, 1)), jnp.zeros(2, jnp.int32)

    def step(self, key, state, actions):
        del key, actions
        state = state + 1
        seen, no = state[:, None].astype(jnp.float32), jnp.zeros(2, bool)
        info = {"final_observation": seen, "valid": state != 2}
        return seen, state, jnp.where(state > 2, 100.0, 0.0), no, no, info


def rollout_of(agent, num_steps=4):
    """A rollout from the beginning, and the rows that are learned from it, (time, envs)."""
    state = agent.init(jax.random.key(0))

    @jax.jit
    def play(state):
        act = functools.partial(agent._behave, state)
        key = jax.random.key(1)
        position, rollout, _ = collect(agent._envs, act, state.position, key, num_steps)
        return rollout, agent._rows(state.params, rollout, position)

    rollout, rows = play(state)
    shaped = jax.tree.map(
        lambda leaf: np.asarray(leaf).reshape(2, num_steps, *leaf.shape[1:]).swapaxes(0, 1), rows
    )
    return state, rollout, shaped


@pytest.mark.parametrize("kind", ["a2c", "ppo", "pqn"])
def test_rows_that_are_no_step_weigh_nothing_and_nothing_is_summed_across_them(kind):
    agent = agents.make(kind, Interrupted(), num_steps=4)
    state, _, rows = rollout_of(agent)
    np.testing.assert_array_equal(rows.weights[:, 0], [1, 0, 1, 1])
    seen = np.float32([[1.0]])
    if kind == "pqn":
        follows = jax.jit(agent._scores)(state.params, seen).max()
        np.testing.assert_allclose(rows.rewards[0, 0], 0.9 * follows, rtol=1e-5)
    else:
        values = jax.jit(functools.partial(agent.network.apply, method="values"))
        (follows,) = values(state.params, seen)
        np.testing.assert_allclose(rows.targets[0, 0], 0.9 * follows, rtol=1e-5)


def test_whole_episodes_leave_out_rows_that_are_no_step():
    agent = agents.make("reinforce", Interrupted(), max_steps=4)
    state = agent.init(jax.random.key(0))
    episodes = agent.play(state.params, state.position, jax.random.key(0))
    np.testing.assert_array_equal(episodes.weights[:, 0], [1, 0, 1, 1])


def test_pqn_learns_lambda_returns():
    agent = agents.make("pqn", rl.vectorize("Catch", 2), num_steps=3, lambda_=0.6, minibatches=1)
    state, rollout, rows = rollout_of(agent, 3)
    assert not rollout.terminated.any()
    scores = jax.jit(agent._scores)
    following = [np.max(scores(state.params, seen), -1) for seen in rollout.final_observations]
    expected = following[2]
    for time in (2, 1, 0):
        mixed = 0.6 * expected + 0.4 * following[time]
        expected = rollout.rewards[time] + 0.9 * mixed
        np.testing.assert_allclose(rows.rewards[time], expected, atol=1e-6)
    assert not rows.discounts.any()


def test_the_target_network_follows_when_it_is_due():
    agent = agents.make("dqn", rl.vectorize("Catch", 4), target_every=3, updates_per_step=1)
    state, step = agent.init(jax.random.key(0)), jax.jit(agent)
    target = state.params
    for update in range(1, 8):
        state, _ = step(state)
        if update % 3 == 0:
            target = state.params
        jax.tree.map(np.testing.assert_array_equal, state.target_params, target)
        assert update % 3 == 0 or not np.array_equal(
            *(agents.numbers(tree)[0] for tree in (state.params, target))
        )


@pytest.mark.parametrize("double", [False, True])
def test_double_q_learning_draws_apart_who_chooses_and_who_values(double):
    envs = rl.vectorize("GridWorld", 1, map="S..T")
    agent = agents.make("dqn", envs, sizes=(), double=double)
    # Values of four actions in every cell, which the two networks put in another order.
    ours, theirs = np.float32([1.0, 2.0, 3.0, 4.0]), np.float32([8.0, 7.0, 6.0, 5.0])
    params, target = (
        {"params": {"Dense_0": {"kernel": np.zeros((4, 4), np.float32), "bias": values}}}
        for values in (ours, theirs)
    )
    rows = Transitions(
        observations=np.int32([0, 1]),
        actions=np.int32([1, 2]),
        rewards=np.float32([0.5, -1.0]),
        discounts=np.float32([0.9, 0.0]),
        next_observations=np.int32([1, 2]),
        weights=np.ones(2, np.float32),
    )
    loss, errors = jax.jit(agent._loss)(params, target, rows)
    sizes = np.abs(np.array([0.5 + 0.9 * (5.0 if double else 8.0) - 2.0, -1.0 - 3.0]))
    np.testing.assert_allclose(errors, sizes, rtol=1e-6)
    np.testing.assert_allclose(loss, np.mean(sizes - 0.5), rtol=1e-6)  # of Huber


def test_weights_of_a_prioritized_memory_make_steps_smaller():
    """Schaul et al., algorithm 1: the mean of w times the loss, with w at most 1."""
    agent = agents.make("dqn", rl.vectorize("GridWorld", 1, map="S..T"), sizes=())
    params = agent.init(jax.random.key(0)).params
    nothing = np.zeros(4, np.int32)
    row = Transitions(
        observations=nothing,
        actions=nothing,
        rewards=np.float32([1.0, 2.0, 3.0, 4.0]),
        discounts=np.zeros(4, np.float32),
        next_observations=nothing,
        weights=np.ones(4, np.float32),
    )
    loss_of = jax.jit(lambda row: agent._loss(params, params, row)[0])
    each = [loss_of(jax.tree.map(lambda x, i=i: x[i : i + 1], row)) for i in range(4)]
    loss = loss_of(row.replace(weights=np.float32([1.0, 0.5, 0.25, 0.0])))
    expected = (each[0] + each[1] / 2 + each[2] / 4) / 3  # the last is no transition
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_transitions_go_over_n_steps():
    agent = agents.make("dqn", rl.vectorize("CartPole-v1", 2), n_step=3)
    state = agent.init(jax.random.key(0))
    rows = agents.sample(agent, state.replay, 64, seed=1)
    found = {f"{reward:.2f}" for reward in rows.rewards[rows.weights > 0]}
    assert {"2.71"} <= found <= {"1.00", "1.90", "2.71"}


def test_schedules_are_of_environment_steps():
    envs = rl.vectorize("Catch", 4)
    schedule = functools.partial(jnp.multiply, 1e-4)
    agent = agents.make("dqn", envs, exploration=schedule, train_every=8, updates_per_step=1)
    state = agent.init(jax.random.key(0))
    for update in range(3):
        state, metrics = jax.jit(agent)(state)
        np.testing.assert_allclose(metrics["epsilon"][0], 1e-4 * (20 + 8 * update), rtol=1e-5)
    agent = agents.make("pqn", envs, exploration=schedule, num_steps=8, updates_per_step=1)
    state = agent.init(jax.random.key(0))
    for update in range(3):
        state, metrics = jax.jit(agent)(state)
        np.testing.assert_allclose(metrics["epsilon"][0], 1e-4 * 32 * update, rtol=1e-5)


def test_the_schedule_runs_while_the_memory_is_filled():
    """Of 400 steps the first half takes what a new network thinks best, the second anything."""
    agent = agents.make(
        "dqn",
        rl.vectorize("CartPole-v1", 4, max_steps_in_episode=1_000),
        exploration=lambda step: jnp.where(step < 200, 0.0, 1.0),
        learning_starts=400,
    )
    state = agent.init(jax.random.key(0))
    taken = state.replay
    best = np.stack([agent.act(state.params, rows) for rows in taken.observations])
    steps = np.cumsum(~np.asarray(taken.gaps), axis=1)
    early, late = steps <= 50, (steps > 50) & (steps <= 100)
    is_step = ~np.asarray(taken.gaps)
    same = np.asarray(taken.actions) == best
    assert same[early & is_step].all()
    assert 0.4 < same[late & is_step].mean() < 0.6


def test_the_schedule_of_beta_is_of_environment_steps():
    seen = []

    def beta(step):
        jax.debug.callback(lambda step: seen.append(float(step)), step)
        return 0.4

    memory = rl.PrioritizedReplay(500, beta=beta)
    envs = rl.vectorize("Catch", 4)
    agent = agents.make("dqn", envs, replay=memory, train_every=8, updates_per_step=3)
    jax.effects_barrier()
    seen.clear()  # where it begins was looked at
    jax.block_until_ready(jax.jit(agent)(agent.init(jax.random.key(0))))
    jax.effects_barrier()
    assert sorted(seen) == [20, 28, 36]


@pytest.mark.parametrize("baseline", ["none", "constant", "learned"])
def test_the_mean_of_all_gradients_is_that_of_the_expected_return(baseline):
    """Every action once, weighed by its probability: exact, whatever the baseline."""
    agent = agents.make("reinforce", rl.vectorize(Bandit(), 3), max_steps=1, baseline=baseline)
    state = agent.init(jax.random.key(1))
    rewards = jnp.asarray(Bandit.rewards)

    def probabilities(params):
        logits = agent.network.apply(params, jnp.zeros(1, jnp.int32), method="policy")
        return jax.nn.softmax(logits[0])

    @jax.jit
    def gradients(params, position):
        episodes = agent.play(params, position, jax.random.key(0))
        episodes = episodes.replace(actions=jnp.arange(3)[None], rewards=rewards[None])
        advantages, to_go = agent.advantages(params, episodes, jnp.float32(1.5))
        each = agent.gradients(params, episodes, advantages)
        exact, as_tree = ravel_pytree(jax.grad(lambda p: probabilities(p) @ rewards)(params))
        descended = jax.grad(lambda p: agent._loss(p, episodes, advantages, to_go)[0])(params)
        return probabilities(params) @ each, exact, as_tree(each.mean(0)), descended

    expected, exact, mean, descended = gradients(state.params, state.position)
    np.testing.assert_allclose(expected, exact, atol=1e-6)
    # What an update descends is their mean.
    mean, by_loss = (tree["params"]["policy_head"]["bias"] for tree in (mean, descended))
    np.testing.assert_allclose(-by_loss, mean, atol=1e-6)


def test_the_constant_baseline_is_what_returns_were():
    options = {"max_steps": 1, "baseline": "constant", "updates_per_step": 1}
    agent = agents.make("reinforce", rl.vectorize(Bandit(), 64), **options)
    state, means = agent.init(jax.random.key(0)), []
    for _ in range(3):
        state, metrics = jax.jit(agent)(state)
        means.append(float(metrics["episode_return"][0] / metrics["episode_return"][1]))
    expected = 0.9 * (0.9 * means[0] + 0.1 * means[1]) + 0.1 * means[2]
    np.testing.assert_allclose(state.mean_return, expected, rtol=1e-5)
    episodes = agent.play(state.params, state.position, jax.random.key(0))
    advantages, to_go = agent.advantages(state.params, episodes, state.mean_return)
    np.testing.assert_allclose(advantages, to_go - state.mean_return, rtol=1e-6)


def actor_critic_rows(agent, params, **changes):
    """Two rows of Catch with the present policy's probabilities and values."""
    actions = jnp.array([0, 2])

    @jax.jit
    def rows_of(params):
        seen, _ = agent.envs.reset(jax.random.key(3))
        logits, values = agent.network.apply(params, seen)
        rows = Rows(
            observations=seen,
            actions=actions,
            log_probabilities=jax.nn.log_softmax(logits)[jnp.arange(2), actions],
            values=values,
            advantages=jnp.array([1.0, -1.0]),
            targets=values,
            weights=jnp.ones(2),
        )
        return rows.replace(**{name: change(rows) for name, change in changes.items()})

    return rows_of(params)


def test_ppo_clips_the_policy_and_if_told_the_critic():
    options = {"entropy_weight": 0.0, "minibatches": 1, "clip": 0.2}
    envs = rl.vectorize("Catch", 2)
    agent = agents.make("ppo", envs, **options)
    params = agent.init(jax.random.key(0)).params
    # As if both actions had become twice as probable, and values had risen by 0.5 towards 3 more.
    rows = actor_critic_rows(
        agent,
        params,
        log_probabilities=lambda rows: rows.log_probabilities - jnp.log(2.0),
        values=lambda rows: rows.values - 0.5,
        targets=lambda rows: rows.values + 3.0,
    )
    loss = lambda agent: jax.jit(agent._loss)(params, rows)[1]  # noqa: E731
    # min(2, 1.2) for the good one, and for the bad one 2, which is worse than 1.2.
    free = loss(agent)
    np.testing.assert_allclose(free["policy_loss"][0], -(1.2 - 2.0) / 2, rtol=1e-5)
    np.testing.assert_allclose(free["value_loss"][0], 3.0**2 / 2, rtol=1e-5)
    both = loss(agents.make("ppo", envs, **options, value_clip=0.1))
    np.testing.assert_allclose(both["value_loss"][0], 3.4**2 / 2, rtol=1e-5)
    total = both["policy_loss"][0] + 0.5 * both["value_loss"][0]
    np.testing.assert_allclose(both["loss"][0], total, rtol=1e-6)


def test_entropy_is_gained():
    agent = agents.make("a2c", rl.vectorize("Catch", 2), entropy_weight=0.5)
    params = agent.init(jax.random.key(0)).params
    rows = actor_critic_rows(agent, params, advantages=lambda rows: jnp.array([2.0, -1.0]))
    loss, metrics = jax.jit(agent._loss)(params, rows)
    logits, _ = jax.device_get(jax.jit(agent.network.apply)(params, rows.observations))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    entropy = -np.sum(p * np.log(p), axis=-1).mean()
    taken = np.log(p)[np.arange(2), rows.actions]
    np.testing.assert_allclose(metrics["entropy"][0], entropy, rtol=1e-5)
    expected = -(2.0 * taken[0] - taken[1]) / 2 - 0.5 * entropy
    np.testing.assert_allclose(loss, expected, atol=1e-6)
