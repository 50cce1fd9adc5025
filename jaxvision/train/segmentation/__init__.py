"""Semantic segmentation of images and volumes: loss, prediction, scores, restored runs."""

from jaxvision.train.segmentation.figures import draw
from jaxvision.train.segmentation.loss import SegmentationLoss, make_loss_fn
from jaxvision.train.segmentation.prediction import Predictions, predict
from jaxvision.train.segmentation.scores import score
from jaxvision.train.segmentation.tiling import predict_tiled
from jaxvision.train.segmentation.trained import TrainedSegmenter
from jaxvision.train.segmentation.views import Views, with_views

__all__ = [
    "Predictions",
    "SegmentationLoss",
    "TrainedSegmenter",
    "Views",
    "draw",
    "make_loss_fn",
    "predict",
    "predict_tiled",
    "score",
    "with_views",
]
