"""Models that give a class to every pixel."""

from jaxvision.models.segmentation.decoder import Decoder
from jaxvision.models.segmentation.registry import (
    create_segmenter,
    list_segmenters,
    with_backbone,
)
from jaxvision.models.segmentation.segmenter import Segmenter

__all__ = ["Decoder", "Segmenter", "create_segmenter", "list_segmenters", "with_backbone"]
