"""Markov decision processes with known probabilities."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvision._reprs import brief
from jaxvision.rl.environments.gridworld import MOVES, GridWorld


class MDP(flax.struct.PyTreeNode):
    """A finite Markov decision process.

    Attributes:
        transitions: Probability of every next state, (states, actions, states).
        rewards: Expected reward of every action, (states, actions).
        terminal: Whether each state is terminal, (states,).

    >>> one_way = jnp.array([[[0.0, 1.0]], [[0.0, 1.0]]])
    >>> mdp = MDP(one_way, jnp.array([[5.0], [0.0]]), jnp.array([False, True]))
    >>> mdp.num_states, mdp.num_actions
    (2, 1)
    """

    transitions: Any
    rewards: Any
    terminal: Any

    def __repr__(self) -> str:
        return brief(self)

    @property
    def num_states(self) -> int:
        """Number of states."""
        return self.rewards.shape[0]

    @property
    def num_actions(self) -> int:
        """Number of actions."""
        return self.rewards.shape[1]


def gridworld_mdp(world: GridWorld) -> MDP:
    """Converts a grid world to a Markov decision process.

    Args:
        world: Grid world.

    Returns:
        The process, without the time limit; its states are the cells.

    >>> gridworld_mdp(GridWorld()).transitions.shape
    (16, 4, 16)
    """
    tables, actions = world.tables, len(MOVES)
    transitions = np.zeros((world.num_cells, actions, world.num_cells))
    rewards = np.zeros((world.num_cells, actions))
    odds = {0: 1 - world.slip, -1: world.slip / 2, 1: world.slip / 2}
    for action in range(actions):
        for side, probability in odds.items():
            taken = (action + side) % actions
            for cell, following in enumerate(tables.next_cells[:, taken]):
                transitions[cell, action, following] += probability
            rewards[:, action] += probability * tables.rewards[:, taken]
    return MDP(
        transitions=jnp.asarray(transitions, float),
        rewards=jnp.asarray(rewards, float),
        terminal=jnp.asarray(tables.terminal),
    )


def uniform_policy(mdp: MDP) -> Float[Array, "states actions"]:
    """The policy that takes all actions with the same probability.

    Args:
        mdp: Process.

    Returns:
        Probability of every action, (states, actions).

    >>> print(uniform_policy(gridworld_mdp(GridWorld()))[0])
    [0.25 0.25 0.25 0.25]
    """
    return jnp.full(mdp.rewards.shape, 1 / mdp.num_actions)


def check_policy(policy: Any, num_states: int, num_actions: int) -> None:
    """Raises ValueError if a policy has another shape, or rows that are not probabilities.

    Of a traced policy only the shape is checked.

    >>> check_policy(jnp.ones((1, 2)), 1, 2)
    Traceback (most recent call last):
    ValueError: in state 0 the probabilities of the policy are [1. 1.]: they must add up to 1
    """
    if np.shape(policy) != (num_states, num_actions):
        raise ValueError(
            f"the policy must have a row for each of {num_states} states and a column for each of "
            f"{num_actions} actions, got shape {np.shape(policy)}"
        )
    if isinstance(policy, jax.core.Tracer):
        return
    odds = np.asarray(policy, np.float64)
    wrong = ~((odds >= 0).all(1) & (np.abs(odds.sum(1) - 1) < 1e-3))
    if wrong.any():
        state = int(wrong.argmax())
        raise ValueError(
            f"in state {state} the probabilities of the policy are {odds[state]}: they must add up "
            "to 1"
        )


def on_map(
    world: GridWorld, rows: Float[np.ndarray, "states *rest"], empty: float = float("nan")
) -> Float[np.ndarray, "rows columns *rest"]:
    r"""Arranges values of states in the rows and columns of a map, for figures.

    Args:
        world: Grid world.
        rows: Values, one row for each cell.
        empty: Value for walls.

    Returns:
        Array whose first two axes are those of the map.

    >>> world = GridWorld("S#\nT.")
    >>> print(on_map(world, np.array([1.0, 2.0, 3.0])))
    [[ 1. nan]
     [ 2.  3.]]
    """
    rows = np.asarray(rows, np.float64)
    shape = (len(world.lines), len(world.lines[0]))
    grid = np.full((*shape, *rows.shape[1:]), empty)
    grid[tuple(world.tables.positions.T)] = rows
    return grid
