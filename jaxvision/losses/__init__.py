"""Loss functions: one value per example, so that the caller weighs and averages.

`weighted_mean(cross_entropy(logits, labels), batch["weight"])` is the loss of a padded batch.
Those of agents are in `reinforcement`.
Losses are computed in float32 at least, whatever the type of the logits.
"""

from jaxvision.losses import reinforcement
from jaxvision.losses.classification import (
    cross_entropy,
    focal,
    sigmoid_focal,
    weston_watkins_hinge,
    weston_watkins_squared_hinge,
)
from jaxvision.losses.reduction import weighted_mean
from jaxvision.losses.regression import squared_error
from jaxvision.losses.regularization import is_kernel, l1_regularization, l2_regularization

__all__ = [
    "cross_entropy",
    "focal",
    "is_kernel",
    "l1_regularization",
    "l2_regularization",
    "reinforcement",
    "sigmoid_focal",
    "squared_error",
    "weighted_mean",
    "weston_watkins_hinge",
    "weston_watkins_squared_hinge",
]
