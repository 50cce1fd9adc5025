"""Dynamic programming: values and policies of a known process."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxvision._reprs import brief
from jaxvision.checks import check_count, check_not_negative, check_share
from jaxvision.rl.tabular.mdp import MDP, check_policy

Values = Float[Array, "states"]
Policy = Float[Array, "states actions"]


class Evaluation(flax.struct.PyTreeNode):
    """Values of a policy, and the number of sweeps."""

    values: Any
    sweeps: Any

    def __repr__(self) -> str:
        return brief(self)


class Solution(flax.struct.PyTreeNode):
    """Values of the best policy, the policy, and the number of iterations."""

    values: Any
    policy: Any
    iterations: Any

    def __repr__(self) -> str:
        return brief(self)


def evaluate_policy(
    mdp: MDP,
    policy: Policy,
    discount: float,
    *,
    tolerance: float = 1e-6,
    max_sweeps: int = 100_000,
    in_place: bool = False,
    values: Values | None = None,
) -> Evaluation:
    """Evaluates a policy by sweeps of the Bellman expectation equation.

    `v(s) = sum_a p(a|s) (r(s, a) + gamma sum_s' p(s'|s, a) v(s'))`. If the last sweep changed
    values by less than the tolerance, the error may still be larger: with a discount near 1 it is a
    multiple of the change.

    Args:
        mdp: Process.
        policy: Probability of every action, (states, actions).
        discount: Discount factor gamma.
        tolerance: Change of a value below which sweeps stop.
        max_sweeps: Largest number of sweeps.
        in_place: Whether a state sees the new values of earlier states in the same sweep, which
            takes fewer sweeps.
        values: Initial values; None starts with zeros.

    Returns:
        The values, and the number of sweeps.

    Raises:
        ValueError: `discount` is not in [0, 1], `policy` is not a policy, `values` have another
            shape, or `tolerance` or `max_sweeps` is negative.

    Reference: Sutton and Barto, Reinforcement learning: an introduction, 2nd edition, MIT Press
    2018, section 4.1.

    >>> from jaxvision.rl.environments import GridWorld
    >>> from jaxvision.rl.tabular import gridworld_mdp, uniform_policy
    >>> mdp = gridworld_mdp(GridWorld())
    >>> evaluation = evaluate_policy(mdp, uniform_policy(mdp), 1.0, max_sweeps=3)
    >>> print(evaluation.values.reshape(4, 4)[0])
    [ 0.     -2.4375 -2.9375 -3.    ]
    """
    _check(discount, tolerance)
    check_count("max_sweeps", max_sweeps, least=0)
    check_policy(policy, mdp.num_states, mdp.num_actions)
    policy = jnp.asarray(policy, mdp.rewards.dtype)
    start = jnp.zeros(mdp.num_states) if values is None else values
    start = _of_states(mdp, start)
    expected = jnp.sum(policy * mdp.rewards, axis=1)
    moves = jnp.einsum("sa,sat->st", policy, mdp.transitions)
    expected = jnp.where(mdp.terminal, 0, expected)
    moves = jnp.where(mdp.terminal[:, None], 0, moves)

    def at_once(values: Values) -> Values:
        return expected + discount * moves @ values

    def one_by_one(values: Values) -> Values:
        def update(state: Array, values: Values) -> Values:
            return values.at[state].set(expected[state] + discount * moves[state] @ values)

        return jax.lax.fori_loop(0, mdp.num_states, update, values)

    values, sweeps = _until_still(one_by_one if in_place else at_once, start, tolerance, max_sweeps)
    return Evaluation(values=values, sweeps=sweeps)


def action_values(mdp: MDP, values: Values, discount: float) -> Float[Array, "states actions"]:
    """The value of every action, given those of the states: `r(s, a) + gamma sum_s' p v(s')`.

    Args:
        mdp: Process.
        values: Values of the states.
        discount: Discount factor gamma.

    Returns:
        Values of the actions, (states, actions); 0 in terminal states.

    Raises:
        ValueError: There is not one value for each state.

    >>> from jaxvision.rl.environments import GridWorld
    >>> from jaxvision.rl.tabular import gridworld_mdp
    >>> mdp = gridworld_mdp(GridWorld("S.T"))
    >>> print(action_values(mdp, jnp.array([-2.0, -1.0, 0.0]), 1.0)[0])
    [-3. -2. -3. -3.]
    """
    following = mdp.rewards + discount * mdp.transitions @ _of_states(mdp, values)
    return jnp.where(mdp.terminal[:, None], 0, following)


def greedy_policy(mdp: MDP, values: Values, discount: float) -> Policy:
    """The policy that takes the best action, or one of several best with equal probability.

    Args:
        mdp: Process.
        values: Values of the states.
        discount: Discount factor gamma.

    Returns:
        Probability of every action, (states, actions).

    Raises:
        ValueError: There is not one value for each state.

    >>> from jaxvision.rl.environments import GridWorld
    >>> from jaxvision.rl.tabular import gridworld_mdp
    >>> mdp = gridworld_mdp(GridWorld("S.T"))
    >>> print(greedy_policy(mdp, jnp.array([-2.0, -1.0, 0.0]), 1.0)[0])
    [0. 1. 0. 0.]
    """
    of_actions = action_values(mdp, values, discount)
    best = of_actions.max(1, keepdims=True)
    # Values that differ only by rounding count as equal.
    near = 4 * jnp.finfo(of_actions.dtype).eps * jnp.maximum(1, jnp.abs(best))
    chosen = of_actions >= best - near
    return chosen / chosen.sum(1, keepdims=True)


def policy_iteration(
    mdp: MDP, discount: float, *, tolerance: float = 1e-6, max_iterations: int = 1_000
) -> Solution:
    """Finds the best policy by alternating evaluation and greedy improvement.

    Args:
        mdp: Process.
        discount: Discount factor gamma. With 1, the first policy, which is uniform, must reach a
            terminal state from every state.
        tolerance: Tolerance of every evaluation.
        max_iterations: Largest number of policies.

    Returns:
        Values, policy, and the number of policies evaluated.

    Raises:
        ValueError: `discount` is not in [0, 1], `tolerance` is negative, or `max_iterations` is not
            positive.

    Reference: Howard, Dynamic programming and Markov processes, MIT Press 1960.

    >>> from jaxvision.rl.environments import GridWorld
    >>> from jaxvision.rl.tabular import gridworld_mdp
    >>> solution = policy_iteration(gridworld_mdp(GridWorld("S.T")), 0.5)
    >>> print(solution.values, solution.iterations)
    [-1.5 -1.   0. ] 2
    """
    _check(discount, tolerance)
    check_count("max_iterations", max_iterations)
    Carry = tuple[Policy, Values, Array, Array]

    def improve(carry: Carry) -> Carry:
        policy, values, iterations, _ = carry
        new = evaluate_policy(mdp, policy, discount, tolerance=tolerance, values=values).values
        better = greedy_policy(mdp, new, discount)
        # Equally good policies may alternate because of rounding; their values stay the same.
        stays = (better == policy).all() | ((iterations > 0) & (new == values).all())
        return better, new, iterations + 1, stays

    def going_on(carry: Carry) -> Array:
        return ~carry[3] & (carry[2] < max_iterations)

    uniform = jnp.full(mdp.rewards.shape, 1 / mdp.num_actions, mdp.rewards.dtype)
    start = (uniform, jnp.zeros(mdp.num_states, mdp.rewards.dtype), jnp.int32(0), jnp.array(False))
    policy, values, iterations, _ = jax.lax.while_loop(going_on, improve, start)
    return Solution(values=values, policy=policy, iterations=iterations)


def value_iteration(
    mdp: MDP, discount: float, *, tolerance: float = 1e-6, max_sweeps: int = 100_000
) -> Solution:
    """Finds the best policy by sweeps of `v(s) = max_a (r(s, a) + gamma sum_s' p v(s'))`.

    Args:
        mdp: Process.
        discount: Discount factor gamma.
        tolerance: Change of a value below which sweeps stop.
        max_sweeps: Largest number of sweeps.

    Returns:
        Values, policy, and the number of sweeps.

    Raises:
        ValueError: `discount` is not in [0, 1], or `tolerance` or `max_sweeps` is negative.

    Reference: Bellman, Dynamic programming, Princeton University Press 1957.

    >>> from jaxvision.rl.environments import GridWorld
    >>> from jaxvision.rl.tabular import gridworld_mdp
    >>> solution = value_iteration(gridworld_mdp(GridWorld("S.T")), 0.5)
    >>> print(solution.values, solution.policy[0])
    [-1.5 -1.   0. ] [0. 1. 0. 0.]
    """
    _check(discount, tolerance)
    check_count("max_sweeps", max_sweeps, least=0)
    values, sweeps = _until_still(
        lambda values: action_values(mdp, values, discount).max(1),
        jnp.zeros(mdp.num_states, mdp.rewards.dtype),
        tolerance,
        max_sweeps,
    )
    return Solution(values=values, policy=greedy_policy(mdp, values, discount), iterations=sweeps)


def _until_still(
    sweep: Callable[[Values], Values], values: Values, tolerance: float, max_sweeps: int
) -> tuple[Values, Int[Array, ""]]:
    """Sweeps until no value changes by the tolerance or more."""

    def going_on(carry: tuple[Values, Array, Array]) -> Array:
        _, change, sweeps = carry
        return (change >= tolerance) & (sweeps < max_sweeps)

    def once(carry: tuple[Values, Array, Array]) -> tuple[Values, Array, Array]:
        values, _, sweeps = carry
        new = sweep(values)
        return new, jnp.abs(new - values).max(), sweeps + 1

    start = (values, jnp.array(jnp.inf, values.dtype), jnp.int32(0))
    values, _, sweeps = jax.lax.while_loop(going_on, once, start)
    return values, sweeps


def _of_states(mdp: MDP, values: Values) -> Values:
    """Converts values to the type of the process, after checking that each state has one."""
    values = jnp.asarray(values, mdp.rewards.dtype)
    if values.shape != (mdp.num_states,):
        raise ValueError(
            f"there must be one value for each of {mdp.num_states} states, got shape {values.shape}"
        )
    return values


def _check(discount: float, tolerance: float) -> None:
    check_share("discount", discount)
    check_not_negative("tolerance", tolerance)
