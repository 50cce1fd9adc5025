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
from jaxvision.models.convnext import (
    ConvNeXt,
    convnext_base,
    convnext_large,
    convnext_small,
    convnext_tiny,
)
from jaxvision.models.lenet import LeNet5, lenet5
from jaxvision.models.linear import LinearClassifier, linear_classifier
from jaxvision.models.mixer import MLPMixer, mixer_b_16
from jaxvision.models.mlp import MLP, mlp
from jaxvision.models.registry import create_model, describe, list_models, register
from jaxvision.models.resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152
from jaxvision.models.swin import SwinTransformer, swin_t
from jaxvision.models.vit import (
    VisionTransformer,
    vit_b_16,
    vit_b_32,
    vit_l_16,
    vit_l_32,
    vit_s_16,
    vit_s_32,
    vit_ti_16,
)
from jaxvision.models.weights import WeightsError, load_weights, save_weights

__all__ = [
    "MLP",
    "CifarResNet",
    "ConvNeXt",
    "LeNet5",
    "LinearClassifier",
    "MLPMixer",
    "Model",
    "ModelOptions",
    "ModelSpec",
    "ResNet",
    "SwinTransformer",
    "VisionTransformer",
    "WeightsError",
    "check_images",
    "cifar_resnet20",
    "cifar_resnet32",
    "cifar_resnet44",
    "cifar_resnet56",
    "cifar_resnet110",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "create_model",
    "describe",
    "layers",
    "lenet5",
    "linear_classifier",
    "list_models",
    "load_weights",
    "mixer_b_16",
    "mlp",
    "register",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "save_weights",
    "swin_t",
    "vit_b_16",
    "vit_b_32",
    "vit_l_16",
    "vit_l_32",
    "vit_s_16",
    "vit_s_32",
    "vit_ti_16",
]
