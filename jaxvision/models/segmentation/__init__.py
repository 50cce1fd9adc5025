"""Models that classify every pixel of an image or every voxel of a volume."""

from jaxvision.models.segmentation.classic import ClassicUNet, PixelClassifier, SegNet
from jaxvision.models.segmentation.crf import DenseCRF
from jaxvision.models.segmentation.decoder import Decoder
from jaxvision.models.segmentation.fcn import ContextModule, SkipFCN
from jaxvision.models.segmentation.patched import PatchedSegmenter
from jaxvision.models.segmentation.registry import (
    DECODERS,
    backbone_variables,
    create_segmenter,
    list_segmenters,
    with_backbone,
)
from jaxvision.models.segmentation.segmenter import Segmenter
from jaxvision.models.segmentation.volumes import DeepMedic, UNet3D

__all__ = [
    "DECODERS",
    "ClassicUNet",
    "ContextModule",
    "Decoder",
    "DeepMedic",
    "DenseCRF",
    "PatchedSegmenter",
    "PixelClassifier",
    "SegNet",
    "Segmenter",
    "SkipFCN",
    "UNet3D",
    "backbone_variables",
    "create_segmenter",
    "list_segmenters",
    "with_backbone",
]
