"""Values of the grid worlds of Sutton and Barto's examples 4.1 and 3.5."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.rl import tabular
from jaxvision.rl.environments import FIVE_BY_FIVE, GridWorld

FOUR = tabular.gridworld_mdp(GridWorld())
FIVE = tabular.gridworld_mdp(
    GridWorld(
        FIVE_BY_FIVE,
        terminals={},
        step_reward=0.0,
        bump_reward=-1.0,
        jumps={"A": ("a", 10.0), "B": ("b", 5.0)},
    )
)
ONE_CORNER = tabular.gridworld_mdp(GridWorld("T...\n....\n....\n...."))
FOREVER = [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0]


def evaluate(*cases):
    """The values on the map, and the sweeps, of each case: a process, gamma, and options."""

    @quick.jit
    def results():
        return [
            tabular.evaluate_policy(mdp, tabular.uniform_policy(mdp), discount, **options)
            for mdp, discount, options in cases
        ]

    for result in jax.device_get(results()):
        side = int(len(result.values) ** 0.5)
        yield result.values.reshape(side, side), result.sweeps


def test_first_sweeps_exactly():
    expected = [
        [[0, -1, -1, -1], [-1, -1, -1, -1]],
        [[0, -1.75, -2, -2], [-1.75, -2, -2, -2]],
        [[0, -2.4375, -2.9375, -3], [-2.4375, -2.875, -3, -2.9375]],
    ]
    cases = [(FOUR, 1.0, {"max_sweeps": sweeps}) for sweeps in (1, 2, 3)]
    for sweeps, (values, done) in enumerate(evaluate(*cases), start=1):
        assert done == sweeps
        np.testing.assert_array_equal(values[:2], expected[sweeps - 1])
        np.testing.assert_array_equal(values, values[::-1, ::-1])


def test_the_tenth_sweep():
    ((values, _),) = evaluate((FOUR, 1.0, {"max_sweeps": 10}))
    expected = [[0, -6.13797, -8.35236, -8.96732], [-6.13797, -7.73740, -8.42783, -8.35236]]
    np.testing.assert_allclose(values[:2], expected, atol=1e-5)


def test_values_in_the_end_and_how_many_sweeps_it_takes():
    sweeps = {1e-2: (89, 62), 1e-3: (131, 88), 1e-4: (173, 114)}
    with jax.enable_x64(True):
        mdp = tabular.gridworld_mdp(GridWorld())
        *rounds, at_once, in_place = evaluate(
            *(
                (mdp, 1.0, {"tolerance": tolerance, "in_place": in_place})
                for tolerance in (*sweeps, 1e-12)
                for in_place in (False, True)
            )
        )
    assert [done for _, done in rounds] == [number for pair in sweeps.values() for number in pair]
    for values, _ in (at_once, in_place):
        np.testing.assert_allclose(values.ravel(), FOREVER, atol=1e-9)


def test_discounted_and_with_one_end():
    ((values, _),) = evaluate((FOUR, 0.9, {}))
    expected = [[0, -5.277814, -7.128400, -7.650509], [-5.277814, -6.606291, -7.180611, -7.128400]]
    np.testing.assert_allclose(values[:2], expected, atol=2e-5)
    np.testing.assert_allclose(values, values[::-1, ::-1], atol=2e-5)
    with jax.enable_x64(True):
        mdp = tabular.gridworld_mdp(GridWorld("T...\n....\n....\n...."))
        ((values, _),) = evaluate((mdp, 1.0, {"tolerance": 1e-10}))
    expected = [
        [0, -30, -45.142857, -51.714286],
        [-30, -40.857143, -49.714286, -54.285714],
        [-45.142857, -49.714286, -54.571429, -57.428571],
        [-51.714286, -54.285714, -57.428571, -59.428571],
    ]
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_the_world_with_jumps():
    ((values, _),) = evaluate((FIVE, 0.9, {}))
    np.testing.assert_allclose(
        values[0], [3.308996, 8.789292, 4.427619, 5.322368, 1.492179], atol=1e-4
    )
    np.testing.assert_allclose(
        values[4], [-1.857701, -1.345231, -1.229267, -1.422918, -1.975179], atol=1e-4
    )


@pytest.mark.parametrize("solve", [tabular.policy_iteration, tabular.value_iteration])
def test_the_best_values(solve):
    four, five = jax.device_get(quick.jit(lambda: (solve(FOUR, 1.0), solve(FIVE, 0.9)))())
    expected = [0, -1, -2, -3, -1, -2, -3, -2, -2, -3, -2, -1, -3, -2, -1, 0]
    np.testing.assert_array_equal(four.values, expected)
    values = five.values.reshape(5, 5)
    np.testing.assert_allclose(
        values[0], [21.977485, 24.419428, 21.977485, 19.419428, 17.477485], atol=1e-4
    )
    np.testing.assert_allclose(
        values[4], [14.419428, 16.021587, 14.419428, 12.977485, 11.679737], atol=1e-4
    )
    policy = five.policy.reshape(5, 5, 4)
    np.testing.assert_allclose(policy.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(policy[0, 0], [0, 1, 0, 0])  # to A
    np.testing.assert_allclose(policy[0, 1], [0.25] * 4)  # all jump
    np.testing.assert_allclose(policy[4, 2], [0.5, 0, 0, 0.5])  # up or left


def test_one_improvement_of_the_random_policy_is_the_best():
    @quick.jit
    def improved():
        values = tabular.evaluate_policy(FOUR, tabular.uniform_policy(FOUR), 1.0).values
        policy = tabular.greedy_policy(FOUR, values, 1.0)
        return tabular.evaluate_policy(FOUR, policy, 1.0).values

    np.testing.assert_array_equal(
        improved(), [0, -1, -2, -3, -1, -2, -3, -2, -2, -3, -2, -1, -3, -2, -1, 0]
    )


def test_slippery_ground_is_as_it_is_drawn():
    """Probabilities of the process are frequencies of the environment."""
    world = GridWorld("S.#\n..T", slip=0.4)
    mdp = jax.device_get(tabular.gridworld_mdp(world))
    np.testing.assert_allclose(mdp.transitions.sum(-1), 1, rtol=1e-6)

    @quick.jit
    def outcomes(key):
        params = world.default_params
        _, state = world.reset_env(key, params)

        def step(cell, action, key):
            at = state.replace(cell=cell)
            following, _, reward, *_ = world.step_env(key, at, action, params)
            return following, reward

        def of_action(cell, action):
            keys = jax.random.split(key, 20_000)
            following, rewards = jax.vmap(step, (None, None, 0))(cell, action, keys)
            return jnp.bincount(following, length=5) / len(keys), rewards.mean()

        of_cell = jax.vmap(of_action, (None, 0))
        return jax.vmap(of_cell, (0, None))(jnp.arange(4), jnp.arange(4))

    shares, rewards = jax.device_get(outcomes(jax.random.key(0)))
    np.testing.assert_allclose(shares, mdp.transitions[:4], atol=0.015)
    np.testing.assert_allclose(rewards, mdp.rewards[:4], atol=0.02)


@pytest.mark.parametrize("discount", [-0.1, 1.1])
def test_discounts_outside_their_range(discount):
    for solve in (tabular.policy_iteration, tabular.value_iteration):
        with pytest.raises(ValueError, match=r"discount must be in \[0, 1\]"):
            solve(FOUR, discount)
    with pytest.raises(ValueError, match=r"discount must be in \[0, 1\]"):
        tabular.evaluate_policy(FOUR, tabular.uniform_policy(FOUR), discount)


def test_differences_that_float32_resolves_are_no_ties():
    mdp = tabular.gridworld_mdp(GridWorld("S....T", terminals={"T": 1_000.0}, step_reward=-0.001))
    solve = quick.jit(
        lambda: (tabular.value_iteration(mdp, 1.0), tabular.policy_iteration(mdp, 0.999))
    )
    for solution in jax.device_get(solve()):
        np.testing.assert_array_equal(solution.policy[:5], np.eye(4)[[1] * 5])
        assert solution.iterations < 20


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_policy():
    policy = np.full((16, 4), 0.25)
    with pytest.raises(ValueError, match=r"a row for each of 16 states .* got shape \(1, 4\)"):
        tabular.evaluate_policy(FOUR, policy[:1], 1.0)
    policy[3] = 1
    with pytest.raises(ValueError, match=r"in state 3 the probabilities .* must add up to 1"):
        tabular.evaluate_policy(FOUR, policy, 1.0)
    with pytest.raises(ValueError, match="tolerance must be a number, not negative, got nan"):
        tabular.value_iteration(FOUR, 1.0, tolerance=float("nan"))
    with pytest.raises(ValueError, match=r"one value for each of 16 states, got shape \(4, 4\)"):
        tabular.greedy_policy(FOUR, np.zeros((4, 4)), 1.0)
    with pytest.raises(ValueError, match="max_sweeps must be a whole number, at least 0, got -1"):
        tabular.value_iteration(FOUR, 1.0, max_sweeps=-1)
    with pytest.raises(ValueError, match="max_iterations must be a whole number, at least 1"):
        tabular.policy_iteration(FOUR, 1.0, max_iterations=0)


@pytest.mark.usefixtures("unchecked")
def test_what_is_given_may_be_of_numpy_or_lists():
    policy = np.full((16, 4), 0.25)

    @quick.jit
    def values():
        expected = tabular.evaluate_policy(FOUR, tabular.uniform_policy(FOUR), 1.0, max_sweeps=5)
        return expected.values, [
            tabular.evaluate_policy(FOUR, given, 1.0, max_sweeps=5, values=start).values
            for given in (policy, policy.tolist())
            for start in (np.zeros(16), np.zeros(16, int), [0] * 16)
        ]

    expected, others = jax.device_get(values())
    for other in others:
        np.testing.assert_array_equal(other, expected)
