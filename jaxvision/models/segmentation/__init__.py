"""Models that give a class to every pixel."""

from jaxvision.models.segmentation.classic import ClassicUNet, SegNet
from jaxvision.models.segmentation.decoder import Decoder
from jaxvision.models.segmentation.fcn import ContextModule, SkipFCN
from jaxvision.models.segmentation.registry import (
    create_segmenter,
    list_segmenters,
    with_backbone,
)
from jaxvision.models.segmentation.segmenter import Segmenter

__all__ = [
    "ClassicUNet",
    "ContextModule",
    "Decoder",
    "SegNet",
    "Segmenter",
    "SkipFCN",
    "create_segmenter",
    "list_segmenters",
    "with_backbone",
]
