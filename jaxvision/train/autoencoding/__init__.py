"""Autoencoders: loss, reconstructions, restored runs."""

from jaxvision.train.autoencoding.figures import draw
from jaxvision.train.autoencoding.loss import AutoencodingLoss, make_loss_fn
from jaxvision.train.autoencoding.trained import Predictions, TrainedAutoencoder

__all__ = ["AutoencodingLoss", "Predictions", "TrainedAutoencoder", "draw", "make_loss_fn"]
