"""What an update does, number by number: targets, masks, schedules, clips and signs."""

import functools

import agents
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from jax.flatten_util import ravel_pytree
from test_learning import Bandit

from jaxvision import rl
from jaxvision.rl.replay import Transitions
from jaxvision.rl.rollout import Rollout, Rows, collect


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


def rollout_of(agent, num_steps):
    """A rollout from the beginning; the rows that are learned from it, (time, envs); and the value
    of the state that each step led to.
    """

    @quick.jit
    def play(key):
        state = agent.init(key)
        act = functools.partial(agent._behave, state)
        position, rollout, _ = collect(agent._envs, act, state.position, key, num_steps)
        if isinstance(agent, rl.PQN):
            values = [
                agent._scores(state.params, seen).max(-1) for seen in rollout.final_observations
            ]
        else:
            values = [
                agent.network.apply(state.params, seen, method="values")
                for seen in rollout.final_observations
            ]
        return rollout, agent._rows(state.params, rollout, position), values

    rollout, rows, values = jax.device_get(play(jax.random.key(0)))
    envs = agent.envs.num_envs
    rows = jax.tree.map(
        lambda leaf: leaf.reshape(envs, num_steps, *leaf.shape[1:]).swapaxes(0, 1), rows
    )
    return rollout, rows, values


@pytest.mark.parametrize("kind", quick.only(["a2c", "ppo", "pqn"], "ppo", "pqn"))
def test_rows_that_are_no_step_weigh_nothing_and_nothing_is_summed_across_them(kind):
    agent = agents.make(kind, Interrupted(), num_steps=4)
    _, rows, (follows, *_) = rollout_of(agent, 4)
    np.testing.assert_array_equal(rows.weights[:, 0], [1, 0, 1, 1])
    summed = rows.rewards if kind == "pqn" else rows.targets
    np.testing.assert_allclose(summed[0, 0], 0.9 * follows[0], rtol=1e-5)


def test_whole_episodes_leave_out_rows_that_are_no_step():
    agent = agents.make("reinforce", Interrupted(), max_steps=4)

    @quick.jit
    def play(key):
        state = agent.init(key)
        return agent.play(state.params, state.position, key).weights

    np.testing.assert_array_equal(play(jax.random.key(0))[:, 0], [1, 0, 1, 1])


def test_pqn_learns_lambda_returns():
    agent = agents.make("pqn", rl.vectorize("Catch", 2), num_steps=3, lambda_=0.6, minibatches=1)
    rollout, rows, following = rollout_of(agent, 3)
    assert not rollout.terminated.any()
    expected = following[2]
    for time in (2, 1, 0):
        mixed = 0.6 * expected + 0.4 * following[time]
        expected = rollout.rewards[time] + 0.9 * mixed
        np.testing.assert_allclose(rows.rewards[time], expected, atol=1e-6)
    assert not rows.discounts.any()


@functools.cache
def updates_of_dqn():
    """The parameters before seven updates; and after each the parameters, those of the target
    network, the metrics, and the step for which the schedule of beta was asked.
    """
    asked = []

    def beta(step):
        asked.append(step)
        return 0.4

    agent = agents.make(
        "dqn",
        rl.vectorize("Catch", 4),
        replay=rl.PrioritizedReplay(100, beta=beta),
        target_every=3,
        exploration=functools.partial(jnp.multiply, 1e-4),
    )

    @quick.jit
    def learn(key):
        def update(state, _):
            state, metrics = agent._update(state)
            return state, (state.params, state.target_params, metrics, asked.pop())

        state = agent.init(key)
        return state.params, jax.lax.scan(update, state, None, 7)[1]

    return jax.device_get(learn(jax.random.key(0)))


def test_the_target_network_follows_when_it_is_due():
    target, (each, targets, _, _) = updates_of_dqn()
    for update in range(1, 8):
        params, found = (
            jax.tree.map(lambda leaf, at=update - 1: leaf[at], tree) for tree in (each, targets)
        )
        if update % 3 == 0:
            target = params
        jax.tree.map(np.testing.assert_array_equal, found, target)
        assert update % 3 == 0 or not np.array_equal(
            *(jax.tree.leaves(tree)[0] for tree in (params, target))
        )


def test_schedules_are_of_environment_steps():
    _, (_, _, metrics, betas) = updates_of_dqn()
    steps = 20 + 8 * np.arange(7)
    np.testing.assert_allclose(metrics["epsilon"][0], 1e-4 * steps, rtol=1e-5)
    np.testing.assert_array_equal(betas, steps)
    agent = agents.make(
        "pqn",
        rl.vectorize("Catch", 4),
        exploration=functools.partial(jnp.multiply, 1e-4),
        num_steps=8,
    )
    state = jax.eval_shape(agent.init, jax.random.key(0))
    rollout = Rollout(*[None] * 8).replace(scores=jnp.zeros((1, 1, 3)))

    @quick.jit
    @jax.vmap
    def epsilon(step):
        return agent._measure(state.replace(step=step), rollout)["epsilon"][0]

    np.testing.assert_allclose(epsilon(np.arange(3)), 1e-4 * 32 * np.arange(3), rtol=1e-5)


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
    loss, errors = jax.device_get(quick.jit(agent._loss)(params, target, rows))
    sizes = np.abs(np.array([0.5 + 0.9 * (5.0 if double else 8.0) - 2.0, -1.0 - 3.0]))
    np.testing.assert_allclose(errors, sizes, rtol=1e-6)
    np.testing.assert_allclose(loss, np.mean(sizes - 0.5), rtol=1e-6)  # of Huber


def test_weights_of_a_prioritized_memory_make_steps_smaller():
    """Schaul et al., algorithm 1: the mean of w times the loss, with w at most 1."""
    agent = agents.make("dqn", rl.vectorize("GridWorld", 1, map="S..T"), sizes=())
    nothing = np.zeros(4, np.int32)
    row = Transitions(
        observations=nothing,
        actions=nothing,
        rewards=np.float32([1.0, 2.0, 3.0, 4.0]),
        discounts=np.zeros(4, np.float32),
        next_observations=nothing,
        weights=np.ones(4, np.float32),
    )

    @quick.jit
    def losses(key, row, weights):
        params = agent._init(key).params
        one_by_one = jax.tree.map(lambda leaf: leaf[:, None], row)
        each = jax.vmap(lambda row: agent._loss(params, params, row)[0])(one_by_one)
        return each, agent._loss(params, params, row.replace(weights=weights))[0]

    weights = np.float32([1.0, 0.5, 0.25, 0.0])
    each, loss = jax.device_get(losses(jax.random.key(0), row, weights))
    expected = (each[0] + each[1] / 2 + each[2] / 4) / 3  # the last is no transition
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_transitions_go_over_n_steps():
    agent = agents.make("dqn", rl.vectorize("CartPole-v1", 2), n_step=3)

    @quick.jit
    def draw(key):
        memory = agent.init(key).replay
        return agent.replay.sample(agent._stream, memory, key, 64, 0)[0]

    rows = jax.device_get(draw(jax.random.key(1)))
    found = {f"{reward:.2f}" for reward in rows.rewards[rows.weights > 0]}
    assert {"2.71"} <= found <= {"1.00", "1.90", "2.71"}


def test_the_schedule_runs_while_the_memory_is_filled():
    """Of 400 steps the first half takes what a new network thinks best, the second anything."""
    agent = agents.make(
        "dqn",
        rl.vectorize("CartPole-v1", 4, max_steps_in_episode=1_000),
        exploration=lambda step: jnp.where(step < 200, 0.0, 1.0),
        learning_starts=400,
    )

    @quick.jit
    def begin(key):
        state = agent.init(key)
        seen = state.replay.observations
        best = agent.act(state.params, seen.reshape(-1, seen.shape[-1]))
        return state.replay, best.reshape(seen.shape[:2])

    taken, best = jax.device_get(begin(jax.random.key(0)))
    is_step = ~taken.gaps
    steps = np.cumsum(is_step, axis=1)
    early, late = steps <= 50, (steps > 50) & (steps <= 100)
    same = taken.actions == best
    assert same[early & is_step].all()
    assert 0.4 < same[late & is_step].mean() < 0.6


@pytest.mark.parametrize(
    "baseline", quick.only(["none", "constant", "learned"], "constant", "learned")
)
def test_the_mean_of_all_gradients_is_that_of_the_expected_return(baseline):
    """Every action once, weighed by its probability: exact, whatever the baseline."""
    agent = agents.make("reinforce", rl.vectorize(Bandit(), 3), max_steps=1, baseline=baseline)
    rewards = jax.device_put(np.float32(Bandit.rewards))

    def probabilities(params):
        logits = agent.network.apply(params, jnp.zeros(1, jnp.int32), method="policy")
        return jax.nn.softmax(logits[0])

    @quick.jit
    def gradients(key):
        state = agent.init(key)
        params = state.params
        episodes = agent.play(params, state.position, key)
        episodes = episodes.replace(actions=jnp.arange(3)[None], rewards=rewards[None])
        advantages, to_go = agent.advantages(params, episodes, jnp.float32(1.5))
        each = agent.gradients(params, episodes, advantages)
        exact, as_tree = ravel_pytree(jax.grad(lambda p: probabilities(p) @ rewards)(params))
        descended = jax.grad(lambda p: agent._loss(p, episodes, advantages, to_go)[0])(params)
        return probabilities(params) @ each, exact, as_tree(each.mean(0)), descended

    expected, exact, mean, descended = jax.device_get(gradients(jax.random.key(1)))
    np.testing.assert_allclose(expected, exact, atol=1e-6)
    # What an update descends is their mean.
    mean, by_loss = (tree["params"]["policy_head"]["bias"] for tree in (mean, descended))
    np.testing.assert_allclose(-by_loss, mean, atol=1e-6)


def test_the_constant_baseline_is_what_returns_were():
    options = {"max_steps": 1, "baseline": "constant", "updates_per_step": 1}
    agent = agents.make("reinforce", rl.vectorize(Bandit(), 64), **options)

    @quick.jit
    def learn(key):
        state, metrics = jax.lax.scan(lambda state, _: agent(state), agent.init(key), None, 3)
        episodes = agent.play(state.params, state.position, key)
        weighed = agent.advantages(state.params, episodes, state.mean_return)
        return state.mean_return, metrics["episode_return"], *weighed

    mean_return, (totals, counts), advantages, to_go = jax.device_get(learn(jax.random.key(0)))
    means = totals / counts
    expected = 0.9 * (0.9 * means[0] + 0.1 * means[1]) + 0.1 * means[2]
    np.testing.assert_allclose(mean_return, expected, rtol=1e-5)
    np.testing.assert_allclose(advantages, to_go - mean_return, rtol=1e-6)


def loss_of_rows(agents_, **changes):
    """The loss of each agent, and its metrics, of two rows of Catch.

    They have the present policy's probabilities and values, which come back too.
    """
    agent, *_ = agents_

    @quick.jit
    def losses(key):
        actions = jnp.array([0, 2])
        state = agent.init(key)
        seen, params = state.position.observations, state.params
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
        rows = rows.replace(**{name: change(rows) for name, change in changes.items()})
        return [other._loss(params, rows) for other in agents_], logits

    return jax.device_get(losses(jax.random.key(0)))


def test_ppo_clips_the_policy_and_if_told_the_critic():
    options = {"entropy_weight": 0.0, "minibatches": 1, "clip": 0.2}
    envs = rl.vectorize("Catch", 2)
    # As if both actions had become twice as probable, and values had risen by 0.5 towards 3 more.
    ((_, free), (_, both)), _ = loss_of_rows(
        [agents.make("ppo", envs, **options, value_clip=clip) for clip in (None, 0.1)],
        log_probabilities=lambda rows: rows.log_probabilities - jnp.log(2.0),
        values=lambda rows: rows.values - 0.5,
        targets=lambda rows: rows.values + 3.0,
    )
    # min(2, 1.2) for the good one, and for the bad one 2, which is worse than 1.2.
    np.testing.assert_allclose(free["policy_loss"][0], -(1.2 - 2.0) / 2, rtol=1e-5)
    np.testing.assert_allclose(free["value_loss"][0], 3.0**2 / 2, rtol=1e-5)
    np.testing.assert_allclose(both["value_loss"][0], 3.4**2 / 2, rtol=1e-5)
    total = both["policy_loss"][0] + 0.5 * both["value_loss"][0]
    np.testing.assert_allclose(both["loss"][0], total, rtol=1e-6)


def test_entropy_is_gained():
    agent = agents.make("a2c", rl.vectorize("Catch", 2), entropy_weight=0.5)
    ((loss, metrics),), logits = loss_of_rows(
        [agent], advantages=lambda rows: jnp.array([2.0, -1.0])
    )
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    entropy = -np.sum(p * np.log(p), axis=-1).mean()
    taken = np.log(p)[[0, 1], [0, 2]]
    np.testing.assert_allclose(metrics["entropy"][0], entropy, rtol=1e-5)
    expected = -(2.0 * taken[0] - taken[1]) / 2 - 0.5 * entropy
    np.testing.assert_allclose(loss, expected, atol=1e-6)
