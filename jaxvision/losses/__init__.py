"""Loss functions that return one value per example; the caller weights and averages them.

`weighted_mean(cross_entropy(logits, labels), batch["weight"])` is the loss of a padded batch. Mask
losses (`pixel_cross_entropy`, `soft_dice` and others) reduce the pixels of each example or, with
`reduce="batch"`, of the whole batch; `Sum` adds several of them. `reinforcement` has the losses of
agents, `adversarial` those of GANs, and `variational` the evidence lower bound of variational
autoencoders. All losses are computed in float32 or wider, whatever the type of the logits.
"""

from jaxvision.losses import adversarial, reinforcement, variational
from jaxvision.losses._masks import MaskLoss, Reduce
from jaxvision.losses.autoencoding import activation_l1, jacobian_norm, sparsity_divergence
from jaxvision.losses.balancing import balanced_weights
from jaxvision.losses.classification import (
    cross_entropy,
    focal,
    sigmoid_focal,
    weston_watkins_hinge,
    weston_watkins_squared_hinge,
)
from jaxvision.losses.density import density_divergence
from jaxvision.losses.pixels import pixel_cross_entropy, pixel_focal
from jaxvision.losses.reduction import weighted_mean
from jaxvision.losses.regression import squared_error
from jaxvision.losses.regularization import is_kernel, l1_regularization, l2_regularization
from jaxvision.losses.segmentation import (
    lovasz_hinge,
    lovasz_softmax,
    soft_dice,
    soft_jaccard,
    tversky,
)
from jaxvision.losses.sums import Sum

__all__ = [
    "MaskLoss",
    "Reduce",
    "Sum",
    "activation_l1",
    "adversarial",
    "balanced_weights",
    "cross_entropy",
    "density_divergence",
    "focal",
    "is_kernel",
    "jacobian_norm",
    "l1_regularization",
    "l2_regularization",
    "lovasz_hinge",
    "lovasz_softmax",
    "pixel_cross_entropy",
    "pixel_focal",
    "reinforcement",
    "sigmoid_focal",
    "soft_dice",
    "soft_jaccard",
    "sparsity_divergence",
    "squared_error",
    "tversky",
    "variational",
    "weighted_mean",
    "weston_watkins_hinge",
    "weston_watkins_squared_hinge",
]
