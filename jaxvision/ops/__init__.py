"""Array functions under the models: fast convolutions, resizing, boxes, refinement of masks."""

from jaxvision.ops.boxes import (
    Kept,
    box_area,
    box_iou,
    clip_boxes,
    complete_box_iou,
    convert_boxes,
    decode_boxes,
    distance_box_iou,
    encode_boxes,
    generalized_box_iou,
    non_maximum_suppression,
)
from jaxvision.ops.convolution import (
    conv_doubled,
    conv_general_dilated,
    conv_in_loops,
    conv_transpose,
)
from jaxvision.ops.crf import BilateralKernel, GaussianKernel, dense_crf
from jaxvision.ops.layers import Conv, ConvTranspose, DoubledConv
from jaxvision.ops.platform import is_portable, native_forms
from jaxvision.ops.pooling import max_pool
from jaxvision.ops.resampling import resample
from jaxvision.ops.resizing import (
    center_crop,
    depth_to_space,
    nearest_along,
    resize,
    space_to_depth,
)
from jaxvision.ops.unpool import Pooled, bed_of_nails, max_pool_with_indices, max_unpool

__all__ = [
    "BilateralKernel",
    "Conv",
    "ConvTranspose",
    "DoubledConv",
    "GaussianKernel",
    "Kept",
    "Pooled",
    "bed_of_nails",
    "box_area",
    "box_iou",
    "center_crop",
    "clip_boxes",
    "complete_box_iou",
    "conv_doubled",
    "conv_general_dilated",
    "conv_in_loops",
    "conv_transpose",
    "convert_boxes",
    "decode_boxes",
    "dense_crf",
    "depth_to_space",
    "distance_box_iou",
    "encode_boxes",
    "generalized_box_iou",
    "is_portable",
    "max_pool",
    "max_pool_with_indices",
    "max_unpool",
    "native_forms",
    "nearest_along",
    "non_maximum_suppression",
    "resample",
    "resize",
    "space_to_depth",
]
