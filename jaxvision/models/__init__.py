"""Models: `create_model(name, ...)` makes any of `list_models()`; see `Model` for their methods."""

# One family per line or paragraph.
# fmt: off
# isort: off
from jaxvision.models import layers
from jaxvision.models.base import Model, ModelOptions, ModelSpec, check_images
from jaxvision.models.conv_model import ConvModel, ConvModelOptions
from jaxvision.models.counting import LayerSummary, ModelSummary, summary
from jaxvision.models.description import describe, from_description, register_module
from jaxvision.models.feature_info import FeatureInfo, feature_info
from jaxvision.models.layer_order import layer_order
from jaxvision.models.multi_head import MultiHead
from jaxvision.models.registry import create_model, list_models, register
from jaxvision.models.weights.adaptation import HasTorchNames, adapt_variables
from jaxvision.models.weights.errors import WeightsError
from jaxvision.models.weights.hub import Pretrained, load_pretrained
from jaxvision.models.weights.loading import load_weights, save_weights
from jaxvision.models.weights.state_dict import read_state_dict

from jaxvision.models.alexnet import AlexNet, alexnet, alexnet_2012
from jaxvision.models.cifar_resnet import (
    CifarResNet, cifar_resnet20, cifar_resnet32, cifar_resnet44, cifar_resnet56, cifar_resnet110,
)
from jaxvision.models.convnext import (
    ConvNeXt, convnext_base, convnext_large, convnext_small, convnext_tiny,
)
from jaxvision.models.densenet import DenseNet, densenet121, densenet161, densenet169, densenet201
from jaxvision.models.efficientnet import (
    EfficientNet, efficientnet_b0, efficientnet_b1, efficientnet_b2, efficientnet_b3,
    efficientnet_b4, efficientnet_b5, efficientnet_b6, efficientnet_b7,
)
from jaxvision.models.googlenet import GoogLeNet, googlenet
from jaxvision.models.inception_resnet import (
    InceptionResNet, inception_resnet_v1, inception_resnet_v2,
)
from jaxvision.models.inception_v3 import InceptionV3, inception_v3
from jaxvision.models.inception_v4 import InceptionV4, inception_v4
from jaxvision.models.lenet import LeNet5, lenet5
from jaxvision.models.linear import LinearClassifier, linear_classifier
from jaxvision.models.mixer import MLPMixer, mixer_b_16
from jaxvision.models.mlp import MLP, mlp
from jaxvision.models.mobilenet_v1 import MobileNetV1, mobilenet_v1
from jaxvision.models.mobilenet_v2 import MobileNetV2, mobilenet_v2
from jaxvision.models.mobilenet_v3 import MobileNetV3, mobilenet_v3_large, mobilenet_v3_small
from jaxvision.models.preact_resnet import (
    PreActResNet, preact_resnet18, preact_resnet34, preact_resnet50, preact_resnet101,
    preact_resnet152,
)
from jaxvision.models.resnet import ResNet, resnet18, resnet34, resnet50, resnet101, resnet152
from jaxvision.models.resnext import resnext50_32x4d, resnext101_32x8d
from jaxvision.models.senet import se_resnet50, se_resnext50_32x4d, senet154
from jaxvision.models.shufflenet_v1 import (
    ShuffleNetV1, shufflenet_v1_g1, shufflenet_v1_g2, shufflenet_v1_g3, shufflenet_v1_g4,
    shufflenet_v1_g8,
)
from jaxvision.models.shufflenet_v2 import (
    ShuffleNetV2, shufflenet_v2_x0_5, shufflenet_v2_x1_0, shufflenet_v2_x1_5, shufflenet_v2_x2_0,
)
from jaxvision.models.squeezenet import SqueezeNet, squeezenet1_0, squeezenet1_1
from jaxvision.models.swin import SwinTransformer, swin_t
from jaxvision.models.vgg import (
    VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn,
)
from jaxvision.models.vit import (
    VisionTransformer, vit_b_16, vit_b_32, vit_l_16, vit_l_32, vit_s_16, vit_s_32, vit_ti_16,
)
from jaxvision.models.wide_resnet import (
    WideResNet, wide_resnet50_2, wide_resnet101_2, wrn_28_2, wrn_28_10,
)
from jaxvision.models.xception import Xception, xception
from jaxvision.models.zfnet import ZFNet, zfnet

from jaxvision.models.generative import (
    Autoencoder, Coder, ConvDecoder, ConvEncoder, Critic, DCGANCritic, DCGANGenerator, DenseCritic,
    DenseDecoder, DenseEncoder, DenseGenerator, Generator, ResidualCritic, ResidualGenerator,
    VariationalAutoencoder,
)
from jaxvision.models.segmentation import (
    ClassicUNet, ContextModule, DeepMedic, DenseCRF, PatchedSegmenter, PixelClassifier, Segmenter,
    SegNet, SkipFCN, UNet3D, backbone_variables, create_segmenter, list_segmenters, with_backbone,
)

__all__ = [  # noqa: RUF022
    "layers",
    "Model", "ModelOptions", "ModelSpec", "check_images",
    "ConvModel", "ConvModelOptions",
    "LayerSummary", "ModelSummary", "summary",
    "describe", "from_description", "register_module",
    "FeatureInfo", "feature_info",
    "layer_order",
    "MultiHead",
    "create_model", "list_models", "register",
    "HasTorchNames", "adapt_variables",
    "WeightsError",
    "Pretrained", "load_pretrained",
    "load_weights", "save_weights", "read_state_dict",

    "AlexNet", "alexnet", "alexnet_2012",
    "CifarResNet", "cifar_resnet20", "cifar_resnet32", "cifar_resnet44", "cifar_resnet56",
    "cifar_resnet110",
    "ConvNeXt", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny",
    "DenseNet", "densenet121", "densenet161", "densenet169", "densenet201",
    "EfficientNet", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
    "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    "GoogLeNet", "googlenet",
    "InceptionResNet", "inception_resnet_v1", "inception_resnet_v2",
    "InceptionV3", "inception_v3",
    "InceptionV4", "inception_v4",
    "LeNet5", "lenet5",
    "LinearClassifier", "linear_classifier",
    "MLPMixer", "mixer_b_16",
    "MLP", "mlp",
    "MobileNetV1", "mobilenet_v1",
    "MobileNetV2", "mobilenet_v2",
    "MobileNetV3", "mobilenet_v3_large", "mobilenet_v3_small",
    "PreActResNet", "preact_resnet18", "preact_resnet34", "preact_resnet50", "preact_resnet101",
    "preact_resnet152",
    "ResNet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d",
    "se_resnet50", "se_resnext50_32x4d", "senet154",
    "ShuffleNetV1", "shufflenet_v1_g1", "shufflenet_v1_g2", "shufflenet_v1_g3", "shufflenet_v1_g4",
    "shufflenet_v1_g8",
    "ShuffleNetV2", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "SqueezeNet", "squeezenet1_0", "squeezenet1_1",
    "SwinTransformer", "swin_t",
    "VGG", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn",
    "VisionTransformer", "vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_s_16", "vit_s_32",
    "vit_ti_16",
    "WideResNet", "wide_resnet50_2", "wide_resnet101_2", "wrn_28_2", "wrn_28_10",
    "Xception", "xception",
    "ZFNet", "zfnet",

    "Autoencoder", "Coder", "ConvDecoder", "ConvEncoder", "Critic", "DCGANCritic", "DCGANGenerator",
    "DenseCritic", "DenseDecoder", "DenseEncoder", "DenseGenerator", "Generator", "ResidualCritic",
    "ResidualGenerator", "VariationalAutoencoder",
    "ClassicUNet", "ContextModule", "DeepMedic", "DenseCRF", "PatchedSegmenter", "PixelClassifier",
    "Segmenter", "SegNet", "SkipFCN", "UNet3D", "backbone_variables", "create_segmenter",
    "list_segmenters", "with_backbone",
]
