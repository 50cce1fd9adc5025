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
from jaxvision.models.densenet import (
    DenseNet,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
)
from jaxvision.models.lenet import LeNet5, lenet5
from jaxvision.models.linear import LinearClassifier, linear_classifier
from jaxvision.models.mlp import MLP, mlp
from jaxvision.models.preact_resnet import (
    PreActResNet,
    preact_resnet18,
    preact_resnet34,
    preact_resnet50,
    preact_resnet101,
    preact_resnet152,
)
from jaxvision.models.registry import create_model, describe, list_models, register
from jaxvision.models.resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152
from jaxvision.models.resnext import resnext50_32x4d, resnext101_32x8d
from jaxvision.models.senet import SENet, se_resnet50, se_resnext50_32x4d, senet154
from jaxvision.models.weights import WeightsError, load_weights, save_weights
from jaxvision.models.wide_resnet import (
    WideResNet,
    wide_resnet50_2,
    wide_resnet101_2,
    wrn_28_2,
    wrn_28_10,
)
from jaxvision.models.xception import Xception, xception

__all__ = [
    "MLP",
    "CifarResNet",
    "DenseNet",
    "LeNet5",
    "LinearClassifier",
    "Model",
    "ModelOptions",
    "ModelSpec",
    "PreActResNet",
    "ResNet",
    "SENet",
    "WeightsError",
    "WideResNet",
    "Xception",
    "check_images",
    "cifar_resnet20",
    "cifar_resnet32",
    "cifar_resnet44",
    "cifar_resnet56",
    "cifar_resnet110",
    "create_model",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "describe",
    "layers",
    "lenet5",
    "linear_classifier",
    "list_models",
    "load_weights",
    "mlp",
    "preact_resnet18",
    "preact_resnet34",
    "preact_resnet50",
    "preact_resnet101",
    "preact_resnet152",
    "register",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "save_weights",
    "se_resnet50",
    "se_resnext50_32x4d",
    "senet154",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "wrn_28_2",
    "wrn_28_10",
    "xception",
]
