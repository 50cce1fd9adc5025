"""Generative adversarial networks: the step of both networks, samples, restored runs."""

from jaxvision.train.gan.clipping import clip_parameters
from jaxvision.train.gan.figures import draw, nearest
from jaxvision.train.gan.step import GAMES, GANState, GANStep, make_step
from jaxvision.train.gan.trained import Predictions, TrainedGAN, draw_noise

__all__ = [
    "GAMES",
    "GANState",
    "GANStep",
    "Predictions",
    "TrainedGAN",
    "clip_parameters",
    "draw",
    "draw_noise",
    "make_step",
    "nearest",
]
