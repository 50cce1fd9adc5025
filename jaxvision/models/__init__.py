"""Architectures.

`create_model(name, ...)` makes any of `list_models()`; each answers the three calls of `Model`.
"""

from jaxvision.models import layers
from jaxvision.models.base import Model, ModelOptions, ModelSpec, check_images
from jaxvision.models.cifar_resnet import (
    CifarResNet,
    cifar_resnet20,
    cifar_resnet32,
    cifar_resnet44,
    cifar_resnet56,
    cifar_resnet110,
)
from jaxvision.models.lenet import LeNet5, lenet5
from jaxvision.models.linear import LinearClassifier, linear_classifier
from jaxvision.models.mlp import MLP, mlp
from jaxvision.models.registry import create_model, describe, list_models, register
from jaxvision.models.resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152
from jaxvision.models.weights import (
    Pretrained,
    WeightsError,
    load_pretrained,
    load_weights,
    save_weights,
)

__all__ = [
    "MLP",
    "CifarResNet",
    "LeNet5",
    "LinearClassifier",
    "Model",
    "ModelOptions",
    "ModelSpec",
    "Pretrained",
    "ResNet",
    "WeightsError",
    "check_images",
    "cifar_resnet20",
    "cifar_resnet32",
    "cifar_resnet44",
    "cifar_resnet56",
    "cifar_resnet110",
    "create_model",
    "describe",
    "layers",
    "lenet5",
    "linear_classifier",
    "list_models",
    "load_pretrained",
    "load_weights",
    "mlp",
    "register",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "save_weights",
]
