"""Image classification: the loss, the evaluation, predictions, scores and figures."""

from jaxvision.train.classification.figures import draw
from jaxvision.train.classification.loss import ClassificationLoss, make_eval_fn, make_loss_fn
from jaxvision.train.classification.prediction import Predictions, predict
from jaxvision.train.classification.restored import TrainedClassifier, restore
from jaxvision.train.classification.scores import Score, score

__all__ = [
    "ClassificationLoss",
    "Predictions",
    "Score",
    "TrainedClassifier",
    "draw",
    "make_eval_fn",
    "make_loss_fn",
    "predict",
    "restore",
    "score",
]
