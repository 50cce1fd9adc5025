"""Adversarial networks: the step of both, samples, restored runs."""

from jaxvision.train.gan.step import GANState, GANStep, clip_parameters, make_step

__all__ = ["GANState", "GANStep", "clip_parameters", "make_step"]
