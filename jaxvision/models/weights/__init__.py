"""Weights of torchvision and timm, without torch."""

from jaxvision.models.weights.adaptation import adapt_variables
from jaxvision.models.weights.errors import WeightsError
from jaxvision.models.weights.hub import Pretrained, load_pretrained
from jaxvision.models.weights.loading import load_weights, save_weights
from jaxvision.models.weights.state_dict import read_state_dict

__all__ = [
    "Pretrained",
    "WeightsError",
    "adapt_variables",
    "load_pretrained",
    "load_weights",
    "read_state_dict",
    "save_weights",
]
