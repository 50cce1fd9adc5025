"""Tabular reinforcement learning: values of actions in a table with a row for every state."""

from jaxvision.rl.tabular.learning import MonteCarlo, TabularState, TemporalDifference
from jaxvision.rl.tabular.mdp import MDP, gridworld_mdp, on_map, uniform_policy
from jaxvision.rl.tabular.planning import (
    Evaluation,
    Solution,
    action_values,
    evaluate_policy,
    greedy_policy,
    policy_iteration,
    value_iteration,
)

__all__ = [
    "MDP",
    "Evaluation",
    "MonteCarlo",
    "Solution",
    "TabularState",
    "TemporalDifference",
    "action_values",
    "evaluate_policy",
    "greedy_policy",
    "gridworld_mdp",
    "on_map",
    "policy_iteration",
    "uniform_policy",
    "value_iteration",
]
