"""Variational autoencoders: loss, bounds of the log-probability, samples, restored runs."""

from jaxvision.train._paths import interpolate
from jaxvision.train.vae.figures import draw
from jaxvision.train.vae.loss import VAELoss, make_loss_fn
from jaxvision.train.vae.prediction import Predictions, predict
from jaxvision.train.vae.queries import complete, traverse
from jaxvision.train.vae.trained import TrainedVAE

__all__ = [
    "Predictions",
    "TrainedVAE",
    "VAELoss",
    "complete",
    "draw",
    "interpolate",
    "make_loss_fn",
    "predict",
    "traverse",
]
