import jax
import jax.numpy as jnp
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
    step = jax.jit(agent)
    state = agent.init(jax.random.key(seed))
    for _ in range(steps):
        state, metrics = step(state)
    return state, metrics


def best():
    """The values of the best actions, by dynamic programming."""
    solution = tabular.value_iteration(MDP, GAMMA)
    return np.asarray(tabular.action_values(MDP, solution.values, GAMMA))


def of_policy(policy):
    values = tabular.evaluate_policy(MDP, policy, GAMMA).values
    return np.asarray(tabular.action_values(MDP, values, GAMMA))


AGENTS = {
    method: lambda method=method, **options: tabular.TemporalDifference(
        environment=WORLD, method=method, discount=GAMMA, **options
    )
    for method in ("q_learning", "sarsa", "expected_sarsa")
}
AGENTS["monte_carlo"] = lambda **options: tabular.MonteCarlo(
    environment=WORLD, discount=GAMMA, **{"updates_per_step": 200, "max_steps": 40, **options}
)


agents = pytest.mark.parametrize("make", AGENTS.values(), ids=AGENTS.keys())


@pytest.mark.parametrize(
    "method", quick.only(["sarsa", "expected_sarsa", "monte_carlo"], "sarsa", "monte_carlo")
)
def test_the_values_of_a_policy_are_those_of_the_bellman_equation(method):
    policy = jnp.tile(jnp.array([0.1, 0.4, 0.4, 0.1]), (MDP.num_states, 1))
    # A mean of all targets is best for returns; of values that change it keeps the old ones.
    rate = None if method == "monte_carlo" else slower_and_slower
    agent = AGENTS[method](policy=policy, learning_rate=rate)
    state, _ = learn(agent, 15 if method == "monte_carlo" else 60)
    often = np.asarray(state.visits) > 300
    assert often.sum() > 12
    expected = of_policy(policy)
    np.testing.assert_allclose(np.asarray(state.params)[often], expected[often], atol=0.35)
    error = np.abs(np.asarray(state.params) - expected)[often].mean()
    assert error < 0.12


def test_q_learning_finds_the_best_values_whatever_it_does():
    agent = AGENTS["q_learning"](
        policy=tabular.uniform_policy(MDP), learning_rate=slower_and_slower
    )
    state, _ = learn(agent, 120)
    living = ~np.asarray(MDP.terminal)
    np.testing.assert_allclose(np.asarray(state.params)[living], best()[living], atol=0.25)
    np.testing.assert_array_equal(state.params[~living], 0)


@agents
def test_every_agent_finds_a_best_way(make):
    agent = make(exploration=0.2)
    state, metrics = learn(agent, 5 if isinstance(agent, tabular.MonteCarlo) else 30)
    total, count = metrics["episode_return"]
    assert float(total / count) > -9
    policy = jax.nn.one_hot(jnp.argmax(state.params, 1), 4)
    reached = tabular.evaluate_policy(MDP, policy, GAMMA).values[0]
    assert reached > best()[0].max() - 0.05


def test_curiosity_where_values_begin_high():
    """Without any other exploration, all actions are tried before one is settled on."""
    quiet = {"exploration": 0.0, "learning_rate": 0.5, "updates_per_step": 400}
    tried = [
        (np.asarray(learn(AGENTS["q_learning"](initial=initial, **quiet), 1)[0].visits) > 0).sum()
        for initial in (-20.0, 5.0)
    ]
    assert tried[0] < 20 < tried[1]


@agents
def test_truncated_episodes_bootstrap(make):
    """Cut after two steps, and begun anew anywhere: the values are still those of long episodes."""
    world = GridWorld("...\n.#.\n..T", slip=0.1)
    options = {"discount": GAMMA, "exploration": 0.3, "learning_rate": 0.1}
    params = world.default_params.replace(max_steps_in_episode=2)
    kind = type(make())
    if kind is tabular.MonteCarlo:
        agent = kind(environment=world, params=params, max_steps=2, updates_per_step=1_000,
                     **options)  # fmt: skip
    else:
        agent = kind(environment=world, params=params, method=make().method, **options)
    state, metrics = learn(agent, 40)
    assert float(metrics["episode_length"][0] / metrics["episode_length"][1]) <= 2
    assert np.asarray(state.params)[0].max() < -3  # four steps away; two steps would be -1.9


def test_first_visits_alone_or_every_visit():
    walls = GridWorld("ST", terminals={"T": 0.0})
    policy = jnp.array([[0.6, 0.4, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])  # up: into the wall
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
        means[first_visit] = np.asarray(state.params)[0]
        per_episode = float(state.visits[0, 0]) / 4_000
        np.testing.assert_allclose(per_episode, 0.6 if first_visit else 1.5, atol=0.12)
    # 1 + the mean number of steps to the end, 1 / 0.4.
    np.testing.assert_allclose(means[True][:2], [-3.5, -1.0], atol=0.15)
    np.testing.assert_allclose(means[False][:2], [-3.5, -1.0], atol=0.15)


def test_fit_drives_a_table_and_goes_on_bit_for_bit(tmp_path):
    agent = AGENTS["sarsa"](updates_per_step=100)

    def fit(num_steps, run_dir):
        return train.fit(
            agent, agent.init(jax.random.key(0)), None, num_steps=num_steps, run_dir=run_dir
        )

    whole = fit(6, tmp_path / "whole").state
    fit(3, tmp_path / "cut")
    np.testing.assert_array_equal(fit(6, tmp_path / "cut").state.params, whole.params)


def test_seeds_of_a_table():
    seeds = rl.Seeds(AGENTS["q_learning"](), 3)
    state, _ = jax.jit(seeds)(seeds.init(jax.random.key(0)))
    assert len({np.asarray(table).tobytes() for table in state.params}) == 3


@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="method must be one of q_learning, sarsa"):
        tabular.TemporalDifference(environment=WORLD, method="td")
    with pytest.raises(ValueError, match="a table needs discrete observations and actions"):
        tabular.MonteCarlo(environment=rl.make("CartPole-v1")[0])
    with pytest.raises(ValueError, match=r"8 states and .* 4 actions, got shape \(4, 4\)"):
        tabular.MonteCarlo(environment=WORLD, policy=jnp.ones((4, 4)))
    with pytest.raises(ValueError, match=r"discount must be in \[0, 1\], got 2"):
        tabular.MonteCarlo(environment=WORLD, discount=2.0)
    with pytest.raises(ValueError, match="initial must be a finite number, got nan"):
        tabular.MonteCarlo(environment=WORLD, initial=float("nan"))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("agent", [tabular.TemporalDifference, tabular.MonteCarlo])
def test_a_policy_may_be_of_numpy_or_lists(agent):
    policy = np.full((8, 4), 0.25)
    tables = []
    for given in (jnp.asarray(policy), policy, policy.tolist()):
        learner = agent(environment=WORLD, policy=given, updates_per_step=20)
        tables.append(jax.jit(learner)(learner.init(jax.random.key(0)))[0].params)
    np.testing.assert_array_equal(tables[1], tables[0])
    np.testing.assert_array_equal(tables[2], tables[0])


def test_monte_carlo_of_a_policy_goes_on_with_its_values():
    """Episodes are cut after 5 steps; the values are those of the policy still."""
    world = GridWorld("...T")
    mdp = tabular.gridworld_mdp(world)
    policy = tabular.uniform_policy(mdp)
    agent = tabular.MonteCarlo(
        environment=world, policy=policy, max_steps=5, learning_rate=0.01, first_visit=False
    )
    step = jax.jit(agent)
    state = agent.init(jax.random.key(0))
    for _ in range(150):
        state, _ = step(state)
    values = tabular.evaluate_policy(mdp, policy, 1.0).values
    np.testing.assert_allclose((state.params * policy).sum(1), values, rtol=0.15, atol=0.1)
