import functools

import jax
import numpy as np
import pytest
import quick

from jaxvision import rl, train
from jaxvision.rl import tabular
from jaxvision.rl.environments import GridWorld


def slower_and_slower(step):
    return 30 / (60 + step / 20)


WORLD = GridWorld("S..\n.#.\n..T", slip=0.1)
MDP = tabular.gridworld_mdp(WORLD)
GAMMA = 0.9


def learn(agent, steps, seed=0):
    """The state and the metrics of the last step, on the host."""
    step = jax.jit(agent)
    state = agent.init(jax.random.key(seed))
    for _ in range(steps):
        state, metrics = step(state)
    return jax.device_get((state.replace(key=None), metrics))


@functools.cache
def best():
    """The values of the best actions, by dynamic programming."""

    @quick.jit
    def solve():
        solution = tabular.value_iteration(MDP, GAMMA)
        return tabular.action_values(MDP, solution.values, GAMMA)

    return jax.device_get(solve())


@quick.jit
def of_policy(policy):
    """The values of states, and of actions."""
    values = tabular.evaluate_policy(MDP, policy, GAMMA).values
    return values, tabular.action_values(MDP, values, GAMMA)


AGENTS = {
    method: lambda method=method, **options: tabular.TemporalDifference(
        environment=WORLD, method=method, discount=GAMMA, **options
    )
    for method in ("q_learning", "sarsa", "expected_sarsa")
}
AGENTS["monte_carlo"] = lambda **options: tabular.MonteCarlo(
    environment=WORLD, discount=GAMMA, **{"updates_per_step": 200, "max_steps": 40, **options}
)


def agents(*names, slow=None):
    return pytest.mark.parametrize("name", quick.only(AGENTS, *names, slow=slow))


def random_table(states, seed=0):
    return np.random.default_rng(seed).normal(-3, 1, (states, 4)).astype(np.float32)


@pytest.mark.parametrize("method", ["q_learning", "sarsa", "expected_sarsa"])
def test_an_update_moves_one_value_towards_what_followed(method):
    """Number by number, also where the episode terminated and where time truncated it."""
    world = GridWorld("...\n.#.\n..T")
    agent = tabular.TemporalDifference(
        environment=world,
        params=world.default_params.replace(max_steps_in_episode=5),
        method=method,
        discount=GAMMA,
        exploration=0.2,
        learning_rate=lambda step: 0.5 / (1 + step / 100),
    )

    @quick.jit
    def updates(key, table):
        def update(state, _):
            after, metrics = agent._update(state)
            return after, (state.replace(key=None), after.replace(key=None), metrics)

        state = agent.init(key).replace(params=table)
        return jax.lax.scan(update, state, None, 100)[1]

    seen = jax.device_get(updates(jax.random.key(0), random_table(8)))
    ends, begins = {"terminated": 0, "truncated": 0}, []
    for step in range(100):
        before, after, metrics = jax.tree.map(lambda leaf, at=step: leaf[at], seen)
        table, place = np.float64(before.params), (before.observation, before.action)
        final = world.tables.next_cells[place]
        following = table[final]
        values = {
            "q_learning": following.max(),
            "sarsa": following[after.action],
            "expected_sarsa": 0.2 * following.mean() + 0.8 * following.max(),
        }[method]
        if metrics["episode_length"][1]:
            terminated = world.tables.terminal[final]
            ends["terminated" if terminated else "truncated"] += 1
            values = 0 if terminated else following if method == "sarsa" else values
            begins.append(after.action == after.params[after.observation].argmax())
        else:
            assert after.observation == final
        errors = world.tables.rewards[place] + GAMMA * np.atleast_1d(values) - table[place]
        moved = 0.5 / (1 + step / 100) * errors
        # What SARSA would have done where time was over is not to be seen from outside.
        index = np.argmin(np.abs(after.params[place] - table[place] - moved))
        expected = table.copy()
        expected[place] += moved[index]
        np.testing.assert_allclose(after.params, expected, atol=1e-5)
        np.testing.assert_allclose(metrics["absolute_error"][0], abs(errors[index]), atol=1e-5)
        assert after.visits[place] == before.visits[place] + 1
        assert after.visits.sum() == step + 1
    assert min(ends.values()) > 2
    assert np.mean(begins) > 0.6  # nearly always with what is best there


def test_returns_go_on_with_the_value_of_where_they_are_cut():
    """Number by number, of one episode to the right: to its end, and cut after two steps."""
    world = GridWorld("S..T")
    policy = jax.device_put(np.eye(4)[[1] * 4])

    def learned(key, table, limit, max_steps):
        agent = tabular.MonteCarlo(
            environment=world,
            params=world.default_params.replace(max_steps_in_episode=limit),
            policy=policy,
            discount=GAMMA,
            learning_rate=0.25,
            max_steps=max_steps,
            updates_per_step=1,
        )
        return agent(agent.init(key).replace(params=table))[0].params

    @quick.jit
    def tables(key, table, limits):
        by_limit = jax.vmap(lambda limit: learned(key, table, limit, 5))
        return *by_limit(limits), learned(key, table, 200, 2)

    table = random_table(4)
    to_the_end, *cut = jax.device_get(tables(jax.random.key(0), table, np.int32([200, 2])))
    expected = table.copy()
    expected[:3, 1] += 0.25 * (np.array([-2.71, -1.9, -1.0]) - table[:3, 1])
    np.testing.assert_allclose(to_the_end, expected, rtol=1e-5)
    expected = table.copy()
    later = -1 + GAMMA * table[2, 1]
    expected[:2, 1] += 0.25 * (np.array([-1 + GAMMA * later, later]) - table[:2, 1])
    for found in cut:
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_first_visit_alone_counts_or_every_visit():
    """Number by number, of one episode that goes into the wall three times."""
    policy = jax.device_put(np.eye(4)[[0, 0]])
    options = {"policy": policy, "discount": GAMMA, "learning_rate": None, "max_steps": 3}
    learners = [
        tabular.MonteCarlo(
            environment=GridWorld("ST"), first_visit=first, updates_per_step=1, **options
        )
        for first in (True, False)
    ]

    @quick.jit
    def learned(key, table):
        states = [agent(agent.init(key).replace(params=table))[0] for agent in learners]
        return [(state.params, state.visits) for state in states]

    table = random_table(2)
    returns = [table[0, 0]]
    for _ in range(3):
        returns.insert(0, -1 + GAMMA * returns[0])
    results = jax.device_get(learned(jax.random.key(0), table))
    means = (returns[0], np.mean(returns[:3]))
    for (params, visits), mean, count in zip(results, means, (1, 3), strict=True):
        np.testing.assert_allclose(params[0, 0], mean, rtol=1e-5)
        np.testing.assert_array_equal(params.ravel()[1:], table.ravel()[1:])
        assert visits.ravel().tolist() == [count] + [0] * 7


@pytest.mark.parametrize(
    "method",
    quick.only(["sarsa", "expected_sarsa", "monte_carlo"], slow=["sarsa", "monte_carlo"]),
)
def test_the_values_of_a_policy_are_those_of_the_bellman_equation(method):
    policy = jax.device_put(np.tile([0.1, 0.4, 0.4, 0.1], (MDP.num_states, 1)))
    # A mean of all targets is best for returns; of values that change it keeps the old ones.
    rate = None if method == "monte_carlo" else slower_and_slower
    agent = AGENTS[method](policy=policy, learning_rate=rate)
    state, _ = learn(agent, 15 if method == "monte_carlo" else 60)
    often = state.visits > 300
    assert often.sum() > 12
    _, expected = jax.device_get(of_policy(policy))
    np.testing.assert_allclose(state.params[often], expected[often], atol=0.35)
    error = np.abs(state.params - expected)[often].mean()
    assert error < 0.12


@pytest.mark.slow
def test_q_learning_finds_the_best_values_whatever_it_does():
    agent = AGENTS["q_learning"](
        policy=tabular.uniform_policy(MDP), learning_rate=slower_and_slower
    )
    state, _ = learn(agent, 120)
    living = ~WORLD.tables.terminal
    np.testing.assert_allclose(state.params[living], best()[living], atol=0.25)
    np.testing.assert_array_equal(state.params[~living], 0)


@agents("monte_carlo")
def test_every_agent_finds_a_best_way(name):
    state, metrics = learn(AGENTS[name](exploration=0.2), 5 if name == "monte_carlo" else 30)
    total, count = metrics["episode_return"]
    assert float(total / count) > -9
    reached, _ = jax.device_get(of_policy(np.eye(4, dtype=np.float32)[state.params.argmax(1)]))
    assert reached[0] > best()[0].max() - 0.05


def test_curiosity_where_values_begin_high():
    """Without any other exploration, all actions are tried before one is settled on."""
    quiet = {"exploration": 0.0, "learning_rate": 0.5, "updates_per_step": 400}
    learners = [AGENTS["q_learning"](initial=initial, **quiet) for initial in (-20.0, 5.0)]

    @quick.jit
    def visits(key):
        states = [learner.init(key) for learner in learners]
        together = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *states)
        return jax.vmap(learners[0])(together)[0].visits

    tried = (jax.device_get(visits(jax.random.key(0))) > 0).sum((1, 2))
    assert tried[0] < 20 < tried[1]


@agents(slow=["q_learning", "monte_carlo"])
def test_truncated_episodes_bootstrap(name):
    """Cut after two steps, and begun anew anywhere: the values are still those of long episodes."""
    world = GridWorld("...\n.#.\n..T", slip=0.1)
    options = {
        "environment": world,
        "params": world.default_params.replace(max_steps_in_episode=2),
        "discount": GAMMA,
        "exploration": 0.3,
        "learning_rate": 0.1,
    }
    if name == "monte_carlo":
        agent = tabular.MonteCarlo(max_steps=2, updates_per_step=1_000, **options)
    else:
        agent = tabular.TemporalDifference(method=name, **options)
    state, metrics = learn(agent, 40)
    assert float(metrics["episode_length"][0] / metrics["episode_length"][1]) <= 2
    assert state.params[0].max() < -3  # four steps away; two steps would be -1.9


@pytest.mark.slow
def test_first_visits_alone_or_every_visit():
    walls = GridWorld("ST", terminals={"T": 0.0})
    policy = jax.device_put(np.array([[0.6, 0.4, 0, 0], [1.0, 0, 0, 0]]))  # up: into the wall
    means = {}
    for first_visit in (True, False):
        agent = tabular.MonteCarlo(
            environment=walls,
            policy=policy,
            learning_rate=None,
            first_visit=first_visit,
            updates_per_step=2_000,
            max_steps=30,
        )
        state, _ = learn(agent, 2)
        means[first_visit] = state.params[0]
        per_episode = float(state.visits[0, 0]) / 4_000
        np.testing.assert_allclose(per_episode, 0.6 if first_visit else 1.5, atol=0.12)
    # 1 + the mean number of steps to the end, 1 / 0.4.
    np.testing.assert_allclose(means[True][:2], [-3.5, -1.0], atol=0.15)
    np.testing.assert_allclose(means[False][:2], [-3.5, -1.0], atol=0.15)


@pytest.mark.slow
def test_fit_drives_a_table_and_goes_on_bit_for_bit(tmp_path):
    agent = AGENTS["sarsa"](updates_per_step=100)
    step = train.parallelize(agent, train.data_mesh(jax.devices()[:1]))

    def fit(num_steps, run_dir):
        state = agent.init(jax.random.key(0))
        return train.fit(step, state, None, num_steps=num_steps, run_dir=run_dir)

    whole = fit(6, tmp_path / "whole").state
    fit(3, tmp_path / "cut")
    np.testing.assert_array_equal(fit(6, tmp_path / "cut").state.params, whole.params)


def test_seeds_of_a_table_differ_and_each_learns_what_it_would_alone():
    agent = AGENTS["q_learning"](updates_per_step=50)
    seeds = rl.Seeds(agent, 3)

    @quick.jit
    def learned(key):
        states = seeds.init(key)
        together, metrics = seeds(states)
        alone, _ = agent(jax.tree.map(lambda leaf: leaf[2], states))
        begun = agent.init(jax.random.split(key, 3)[2])
        return together, metrics, alone, jax.random.key_data(states.key)[2], begun.key

    together, metrics, alone, key, its_own = learned(jax.random.key(0))
    tables = jax.device_get(together.params)
    assert len({table.tobytes() for table in tables}) == 3
    np.testing.assert_allclose(alone.params, tables[2], atol=2e-4)
    np.testing.assert_array_equal(jax.random.key_data(its_own), key)
    assert {f"absolute_error/seed{seed}" for seed in range(3)} <= set(metrics)


@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"unknown method 'td' .known: expected_sarsa, q_learning"):
        tabular.TemporalDifference(environment=WORLD, method="td")
    with pytest.raises(ValueError, match="a table needs discrete observations and actions"):
        tabular.MonteCarlo(environment=rl.make("CartPole-v1")[0])
    with pytest.raises(ValueError, match=r"8 states and .* 4 actions, got shape \(4, 4\)"):
        tabular.MonteCarlo(environment=WORLD, policy=np.ones((4, 4)))
    with pytest.raises(ValueError, match=r"discount must be in \[0, 1\], got 2"):
        tabular.MonteCarlo(environment=WORLD, discount=2.0)
    with pytest.raises(ValueError, match="initial must be a finite number, got nan"):
        tabular.MonteCarlo(environment=WORLD, initial=float("nan"))


@pytest.mark.usefixtures("unchecked")
def test_a_policy_may_be_of_numpy_or_lists():
    policy = np.random.default_rng(0).dirichlet(np.ones(4), 8).astype(np.float32)

    @quick.jit
    def tables(key):
        learners = [
            AGENTS["q_learning"](policy=given, updates_per_step=20)
            for given in (jax.device_put(policy), policy, policy.tolist())
        ]
        return [learner(learner.init(key))[0].params for learner in learners]

    first, *others = jax.device_get(tables(jax.random.key(0)))
    assert first.any()
    for other in others:
        np.testing.assert_array_equal(other, first)


@pytest.mark.slow
def test_monte_carlo_of_a_policy_goes_on_with_its_values():
    """Episodes are cut after 5 steps; the values are those of the policy still."""
    world = GridWorld("...T")
    mdp = tabular.gridworld_mdp(world)
    policy = jax.device_put(np.full((4, 4), 0.25))
    agent = tabular.MonteCarlo(
        environment=world, policy=policy, max_steps=5, learning_rate=0.01, first_visit=False
    )
    state, _ = learn(agent, 150)
    values = quick.jit(lambda policy: tabular.evaluate_policy(mdp, policy, 1.0).values)(policy)
    np.testing.assert_allclose((state.params * policy).sum(1), values, rtol=0.15, atol=0.1)
