"""Losses and returns of reinforcement learning.

Discounts say where episodes end: the discount of a transition is gamma, or 0 where the episode
*terminated* and nothing follows. A *truncated* episode, one that a limit of time cut off, would
have gone on: its last transition has the discount gamma, and bootstraps from its last observation.
"""

from jaxvision.losses.reinforcement.distributional import (
    categorical_projection,
    categorical_q_learning,
    categorical_targets,
    quantile_q_learning,
)
from jaxvision.losses.reinforcement.policy import (
    clipped_surrogate,
    clipped_value_error,
    entropy,
    log_probability,
    policy_gradient,
)
from jaxvision.losses.reinforcement.returns import (
    discounted_returns,
    generalized_advantages,
    lambda_returns,
    n_step_returns,
)
from jaxvision.losses.reinforcement.temporal_difference import (
    q_learning_error,
    sarsa_error,
    td_error,
)

__all__ = [
    "categorical_projection",
    "categorical_q_learning",
    "categorical_targets",
    "clipped_surrogate",
    "clipped_value_error",
    "discounted_returns",
    "entropy",
    "generalized_advantages",
    "lambda_returns",
    "log_probability",
    "n_step_returns",
    "policy_gradient",
    "q_learning_error",
    "quantile_q_learning",
    "sarsa_error",
    "td_error",
]
