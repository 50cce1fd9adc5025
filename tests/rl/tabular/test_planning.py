"""Values of the grid worlds of Sutton and Barto's examples 4.1 and 3.5."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


def evaluate(mdp, discount=1.0, **options):
    result = jax.jit(
        lambda: tabular.evaluate_policy(mdp, tabular.uniform_policy(mdp), discount, **options)
    )()
    side = int(mdp.num_states**0.5)
    return np.asarray(result.values).reshape(side, side), int(result.sweeps)


@pytest.mark.parametrize(
    ("sweeps", "rows"),
    [
        (1, [[0, -1, -1, -1], [-1, -1, -1, -1]]),
        (2, [[0, -1.75, -2, -2], [-1.75, -2, -2, -2]]),
        (3, [[0, -2.4375, -2.9375, -3], [-2.4375, -2.875, -3, -2.9375]]),
    ],
)
def test_first_sweeps_exactly(sweeps, rows):
    values, done = evaluate(FOUR, max_sweeps=sweeps)
    assert done == sweeps
    np.testing.assert_array_equal(values[:2], rows)
    np.testing.assert_array_equal(values, values[::-1, ::-1])


def test_the_tenth_sweep():
    values, _ = evaluate(FOUR, max_sweeps=10)
    expected = [[0, -6.13797, -8.35236, -8.96732], [-6.13797, -7.73740, -8.42783, -8.35236]]
    np.testing.assert_allclose(values[:2], expected, atol=1e-5)


@pytest.mark.parametrize("in_place", [False, True])
def test_in_the_end(in_place):
    with jax.enable_x64(True):
        mdp = tabular.gridworld_mdp(GridWorld())
        values, _ = evaluate(mdp, tolerance=1e-12, in_place=in_place)
        np.testing.assert_allclose(values.ravel(), FOREVER, atol=1e-9)


@pytest.mark.parametrize(
    ("tolerance", "at_once", "in_place"), [(1e-2, 89, 62), (1e-3, 131, 88), (1e-4, 173, 114)]
)
def test_how_many_sweeps_it_takes(tolerance, at_once, in_place):
    with jax.enable_x64(True):
        mdp = tabular.gridworld_mdp(GridWorld())
        assert evaluate(mdp, tolerance=tolerance)[1] == at_once
        assert evaluate(mdp, tolerance=tolerance, in_place=True)[1] == in_place


def test_discounted_and_with_one_end():
    values, _ = evaluate(FOUR, 0.9)
    expected = [[0, -5.277814, -7.128400, -7.650509], [-5.277814, -6.606291, -7.180611, -7.128400]]
    np.testing.assert_allclose(values[:2], expected, atol=2e-5)
    np.testing.assert_allclose(values, values[::-1, ::-1], atol=2e-5)
    with jax.enable_x64(True):
        mdp = tabular.gridworld_mdp(GridWorld("T...\n....\n....\n...."))
        values, _ = evaluate(mdp, tolerance=1e-10)
    expected = [
        [0, -30, -45.142857, -51.714286],
        [-30, -40.857143, -49.714286, -54.285714],
        [-45.142857, -49.714286, -54.571429, -57.428571],
        [-51.714286, -54.285714, -57.428571, -59.428571],
    ]
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_the_world_with_jumps():
    values, _ = evaluate(FIVE, 0.9)
    np.testing.assert_allclose(
        values[0], [3.308996, 8.789292, 4.427619, 5.322368, 1.492179], atol=1e-4
    )
    np.testing.assert_allclose(
        values[4], [-1.857701, -1.345231, -1.229267, -1.422918, -1.975179], atol=1e-4
    )


@pytest.mark.parametrize("solve", [tabular.policy_iteration, tabular.value_iteration])
def test_the_best_values(solve):
    solution = jax.jit(lambda: solve(FOUR, 1.0))()
    expected = [0, -1, -2, -3, -1, -2, -3, -2, -2, -3, -2, -1, -3, -2, -1, 0]
    np.testing.assert_array_equal(solution.values, expected)
    solution = jax.jit(lambda: solve(FIVE, 0.9))()
    values = np.asarray(solution.values).reshape(5, 5)
    np.testing.assert_allclose(
        values[0], [21.977485, 24.419428, 21.977485, 19.419428, 17.477485], atol=1e-4
    )
    np.testing.assert_allclose(
        values[4], [14.419428, 16.021587, 14.419428, 12.977485, 11.679737], atol=1e-4
    )
    policy = np.asarray(solution.policy).reshape(5, 5, 4)
    np.testing.assert_allclose(policy.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(policy[0, 0], [0, 1, 0, 0])  # to A
    np.testing.assert_allclose(policy[0, 1], [0.25] * 4)  # all jump
    np.testing.assert_allclose(policy[4, 2], [0.5, 0, 0, 0.5])  # up or left


def test_one_improvement_of_the_random_policy_is_the_best():
    values, _ = evaluate(FOUR)
    policy = tabular.greedy_policy(FOUR, jnp.asarray(values.ravel()), 1.0)
    best = tabular.evaluate_policy(FOUR, policy, 1.0).values
    np.testing.assert_array_equal(
        best, [0, -1, -2, -3, -1, -2, -3, -2, -2, -3, -2, -1, -3, -2, -1, 0]
    )


def test_slippery_ground_is_as_it_is_drawn():
    """Probabilities of the process are frequencies of the environment."""
    world = GridWorld("S.#\n..T", slip=0.4)
    mdp = tabular.gridworld_mdp(world)
    np.testing.assert_allclose(mdp.transitions.sum(-1), 1, rtol=1e-6)
    keys = jax.random.split(jax.random.key(0), 20_000)
    _, state = world.reset(keys[0], world.default_params)

    @jax.jit
    def outcomes(cell, action):
        def step(key):
            at = state.replace(cell=cell)
            following, _, reward, _, _ = world.step_env(key, at, action, world.default_params)
            return following, reward

        following, rewards = jax.vmap(step)(keys)
        return jnp.bincount(following, length=5) / len(keys), rewards.mean()

    for cell in (0, 1, 2, 3):
        for action in range(4):
            shares, reward = outcomes(jnp.int32(cell), jnp.int32(action))
            np.testing.assert_allclose(shares, mdp.transitions[cell, action], atol=0.015)
            np.testing.assert_allclose(reward, mdp.rewards[cell, action], atol=0.02)


@pytest.mark.parametrize("discount", [-0.1, 1.1])
def test_discounts_outside_their_range(discount):
    for solve in (tabular.policy_iteration, tabular.value_iteration):
        with pytest.raises(ValueError, match=r"discount must be in \[0, 1\]"):
            solve(FOUR, discount)
    with pytest.raises(ValueError, match=r"discount must be in \[0, 1\]"):
        tabular.evaluate_policy(FOUR, tabular.uniform_policy(FOUR), discount)


def test_differences_that_float32_resolves_are_no_ties():
    mdp = tabular.gridworld_mdp(GridWorld("S....T", terminals={"T": 1_000.0}, step_reward=-0.001))
    for solution in (tabular.value_iteration(mdp, 1.0), tabular.policy_iteration(mdp, 0.999)):
        np.testing.assert_array_equal(solution.policy[:5], np.eye(4)[[1] * 5])
        assert int(solution.iterations) < 20


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
    expected = tabular.evaluate_policy(FOUR, tabular.uniform_policy(FOUR), 1.0, max_sweeps=5)
    for given in (policy, policy.tolist()):
        for start in (np.zeros(16), np.zeros(16, int), [0] * 16):
            got = tabular.evaluate_policy(FOUR, given, 1.0, max_sweeps=5, values=start)
            np.testing.assert_array_equal(got.values, expected.values)
