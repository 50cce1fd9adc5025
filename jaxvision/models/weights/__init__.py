"""Weights of torchvision and timm, without torch."""

from jaxvision.models.weights.loading import load_weights, save_weights
from jaxvision.models.weights.state_dict import read_state_dict
from jaxvision.models.weights.torch_files import WeightsError

__all__ = ["WeightsError", "load_weights", "read_state_dict", "save_weights"]
