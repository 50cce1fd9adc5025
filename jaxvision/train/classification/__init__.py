"""Image classification: the loss, predictions, scores, figures, and restored classifiers."""

from jaxvision.train.classification.figures import draw
from jaxvision.train.classification.loss import ClassificationLoss, make_loss_fn
from jaxvision.train.classification.mistakes import Mistake, mistakes
from jaxvision.train.classification.prediction import Embeddings, Predictions, embed, predict
from jaxvision.train.classification.scores import score
from jaxvision.train.classification.trained import TrainedClassifier

__all__ = [
    "ClassificationLoss",
    "Embeddings",
    "Mistake",
    "Predictions",
    "TrainedClassifier",
    "draw",
    "embed",
    "make_loss_fn",
    "mistakes",
    "predict",
    "score",
]
