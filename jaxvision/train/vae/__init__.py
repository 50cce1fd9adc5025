"""Variational autoencoders: loss, bounds of the log-probability, samples, restored runs."""

from jaxvision.train.vae.loss import VAELoss, make_loss_fn

__all__ = ["VAELoss", "make_loss_fn"]
