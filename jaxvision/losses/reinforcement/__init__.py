"""Losses and returns of reinforcement learning.

The discount of a step is gamma, or 0 if the episode *terminated*, since nothing follows. If a time
limit *truncated* the episode, the discount of its last step stays gamma, and the value of its last
observation replaces the rewards that would have followed (bootstrapping).
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
