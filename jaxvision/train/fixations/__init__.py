"""Saliency: prediction of where people look in an image, as a density over its pixels."""

from jaxvision.train.fixations.figures import draw
from jaxvision.train.fixations.loss import FixationLoss, make_loss_fn
from jaxvision.train.fixations.prediction import Predictions, predict
from jaxvision.train.fixations.scores import score
from jaxvision.train.fixations.trained import TrainedFixations

__all__ = [
    "FixationLoss",
    "Predictions",
    "TrainedFixations",
    "draw",
    "make_loss_fn",
    "predict",
    "score",
]
