"""Operations on bounding boxes: overlaps, regression targets, non-maximum suppression.

A box is `x_min, y_min, x_max, y_max` in pixels, measured along pixel edges from the upper left
corner of the image: the box of a whole image is `0, 0, width, height`.
"""

import math
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Integer

from jaxvision.checks import check_name

BoxFormat = Literal["xyxy", "yxyx", "xywh", "cxcywh"]
Boxes = Float[Array, "*#shape 4"]

MAX_LOG_SCALE = math.log(1000 / 16)
"""The log of the largest enlargement of an anchor by `decode_boxes`, as in Detectron."""


def convert_boxes(
    boxes: Float[Array, "*shape 4"], source: BoxFormat, target: BoxFormat
) -> Float[Array, "*shape 4"]:
    """Converts boxes between formats.

    Args:
        boxes: Boxes in the format `source`.
        source: `"xyxy"` is the format of this library; `"yxyx"` that of TensorFlow Datasets;
            `"xywh"`, the upper left corner and the size, that of COCO; `"cxcywh"`, the center and
            the size, that of YOLO and DETR.
        target: The format of the result.

    Raises:
        ValueError: A format is unknown.

    >>> convert_boxes(jnp.array([1.0, 2.0, 4.0, 8.0]), "xywh", "xyxy").tolist()
    [1.0, 2.0, 5.0, 10.0]
    """
    for name, value in (("source", source), ("target", target)):
        check_name(name, value, ["xyxy", "yxyx", "xywh", "cxcywh"])
    a, b, c, d = (boxes[..., index] for index in range(4))
    match source:
        case "yxyx":
            a, b, c, d = b, a, d, c
        case "xywh":
            c, d = a + c, b + d
        case "cxcywh":
            a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    match target:
        case "yxyx":
            a, b, c, d = b, a, d, c
        case "xywh":
            c, d = c - a, d - b
        case "cxcywh":
            a, b, c, d = (a + c) / 2, (b + d) / 2, c - a, d - b
    return jnp.stack([a, b, c, d], axis=-1)


def box_area(boxes: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """Areas in square pixels; 0 if the corners of a box are in the wrong order.

    >>> box_area(jnp.array([[1.0, 2.0, 4.0, 8.0], [4.0, 2.0, 1.0, 8.0]])).tolist()
    [18.0, 0.0]
    """
    width, height = _size(boxes)
    return width * height


def box_iou(first: Boxes, second: Boxes) -> Float[Array, "..."]:
    """The intersection over union (IoU) of boxes, from 0 to 1; 0 if neither has an area.

    Leading axes broadcast: `box_iou(a, b)` compares row by row, and `box_iou(a[:, None], b[None])`
    compares every box of `a` with every box of `b`.

    >>> first, second = jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 1.0, 3.0, 3.0])
    >>> f"{box_iou(first, second):.4f}"  # 1 / 7
    '0.1429'
    """
    intersection, union = _overlap(first, second)
    return _ratio(intersection, union)


def generalized_box_iou(first: Boxes, second: Boxes) -> Float[Array, "..."]:
    """The generalized IoU `IoU - (hull - union) / hull`, from -1 to 1.

    The hull is the smallest box around both boxes. The gradient is not 0 for boxes that do not
    overlap. Leading axes broadcast, as in `box_iou`.

    Reference: Rezatofighi et al., Generalized intersection over union, CVPR 2019, arXiv:1902.09630.

    >>> first, second = jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 1.0, 3.0, 3.0])
    >>> f"{generalized_box_iou(first, second):.4f}"  # 1 / 7 - 2 / 9
    '-0.0794'
    """
    intersection, union = _overlap(first, second)
    hull = box_area(_hull(first, second))
    return _ratio(intersection, union) - _ratio(hull - union, hull)


def distance_box_iou(first: Boxes, second: Boxes) -> Float[Array, "..."]:
    """The distance IoU `IoU - (distance of centers / diagonal of the hull)**2`, from -1 to 1.

    The hull is the smallest box around both boxes. Leading axes broadcast, as in `box_iou`.

    Reference: Zheng et al., Distance-IoU loss, AAAI 2020, arXiv:1911.08287.

    >>> first, second = jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 1.0, 3.0, 3.0])
    >>> f"{distance_box_iou(first, second):.4f}"  # 1 / 7 - 2 / 18
    '0.0317'
    """
    return box_iou(first, second) - _center_distance(first, second)


def complete_box_iou(first: Boxes, second: Boxes) -> Float[Array, "..."]:
    """The complete IoU: the distance IoU minus a penalty for different aspect ratios; from -2 to 1.

    The penalty is `alpha * v` with `v = (2 / pi * (atan(w1 / h1) - atan(w2 / h2)))**2` and
    `alpha = v / (1 - IoU + v)`; alpha has no gradient. Leading axes broadcast, as in `box_iou`.

    Reference: Zheng et al., Distance-IoU loss, AAAI 2020, arXiv:1911.08287.

    >>> first, second = jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 1.0, 3.0, 3.0])
    >>> f"{complete_box_iou(first, second):.4f}"  # both are squares
    '0.0317'
    """
    iou = box_iou(first, second)
    v = (2 / math.pi * (_angle(first) - _angle(second))) ** 2
    alpha = lax.stop_gradient(_ratio(v, 1 - iou + v))
    return iou - _center_distance(first, second) - alpha * v


def clip_boxes(
    boxes: Float[Array, "*shape 4"], height: int, width: int
) -> Float[Array, "*shape 4"]:
    """Clips boxes to the image; boxes outside the image get no area.

    >>> clip_boxes(jnp.array([-1.0, 2.0, 4.0, 9.0]), height=6, width=8).tolist()
    [0.0, 2.0, 4.0, 6.0]
    """
    return jnp.clip(boxes, 0, jnp.array([width, height, width, height], boxes.dtype))


def encode_boxes(
    boxes: Boxes, anchors: Boxes, *, weights: tuple[float, float, float, float] = (1, 1, 1, 1)
) -> Float[Array, "*shape 4"]:
    """The regression target of a detector for a box at an anchor.

    Args:
        boxes: Boxes of objects, with an area.
        anchors: Boxes that the prediction starts from, with an area.
        weights: Factors of the four numbers; Fast R-CNN's head uses (10, 10, 5, 5).

    Returns:
        `dx, dy, log(w / w_a), log(h / h_a)`: the shift of the center in units of the anchor's width
        and height, and the logarithm of the change in size.

    Reference: Girshick et al., Rich feature hierarchies, CVPR 2014, arXiv:1311.2524 (appendix C).

    >>> anchor, box = jnp.array([0.0, 0.0, 4.0, 2.0]), jnp.array([1.0, 0.0, 5.0, 2.0])
    >>> encode_boxes(box, anchor).tolist()
    [0.25, 0.0, 0.0, 0.0]
    """
    (x, y, w, h), (x_a, y_a, w_a, h_a) = (
        jnp.moveaxis(convert_boxes(each, "xyxy", "cxcywh"), -1, 0) for each in (boxes, anchors)
    )
    numbers = ((x - x_a) / w_a, (y - y_a) / h_a, jnp.log(w / w_a), jnp.log(h / h_a))
    return jnp.stack([f * number for f, number in zip(weights, numbers, strict=True)], axis=-1)


def decode_boxes(
    deltas: Boxes, anchors: Boxes, *, weights: tuple[float, float, float, float] = (1, 1, 1, 1)
) -> Float[Array, "*shape 4"]:
    """The boxes that a detector predicts at anchors, the inverse of `encode_boxes`.

    Args:
        deltas: Predictions in the form of `encode_boxes`.
        anchors: Boxes that the prediction starts from.
        weights: The `weights` of `encode_boxes`.

    Returns:
        Boxes, at most 62.5 times as wide and as high as their anchors.

    >>> anchor = jnp.array([0.0, 0.0, 4.0, 2.0])
    >>> decode_boxes(jnp.array([0.25, 0.0, 0.0, 0.0]), anchor).tolist()
    [1.0, 0.0, 5.0, 2.0]
    """
    dx, dy, dw, dh = (deltas[..., index] / factor for index, factor in enumerate(weights))
    x, y, w, h = jnp.moveaxis(convert_boxes(anchors, "xyxy", "cxcywh"), -1, 0)
    sizes = (jnp.exp(jnp.minimum(change, MAX_LOG_SCALE)) for change in (dw, dh))
    width, height = (size * factor for size, factor in zip((w, h), sizes, strict=True))
    centered = jnp.stack([x + dx * w, y + dy * h, width, height], axis=-1)
    return convert_boxes(centered, "cxcywh", "xyxy")


class Kept(NamedTuple):
    """The boxes that non-maximum suppression keeps.

    Attributes:
        indices: Indices of the kept boxes by decreasing score; 0 in rows that `valid` excludes.
        valid: Whether a row holds a box.
    """

    indices: Int[Array, " outputs"]
    valid: Bool[Array, " outputs"]


def non_maximum_suppression(
    boxes: Float[Array, "boxes 4"],
    scores: Float[Array, " boxes"],
    *,
    iou_threshold: float,
    max_outputs: int,
    score_threshold: float = -math.inf,
    classes: Integer[Array, " boxes"] | None = None,
    valid: Bool[Array, " boxes"] | None = None,
) -> Kept:
    """Keeps the best of overlapping boxes, in a fixed number of rows that suits compiled programs.

    It keeps the box with the highest score (the first of ties), drops the boxes that overlap with
    it, and repeats with the others. Use `jax.vmap` for a batch.

    Args:
        boxes: Boxes.
        scores: Scores; a box whose score is NaN is never kept.
        iou_threshold: The IoU above which boxes overlap.
        max_outputs: The number of rows of the result.
        score_threshold: Only boxes with a higher score are kept.
        classes: The class of each box; only boxes of the same class (or all, for None) suppress
            each other.
        valid: Marks the boxes that are not padding; None means all.

    Raises:
        ValueError: `max_outputs` is below 1.

    >>> boxes = jnp.array([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    >>> kept = non_maximum_suppression(
    ...     boxes, jnp.array([0.9, 0.8, 0.7]), iou_threshold=0.5, max_outputs=3)
    >>> kept.indices.tolist(), kept.valid.tolist()
    ([0, 2, 0], [True, True, False])
    """
    if max_outputs < 1:
        raise ValueError(f"max_outputs must be at least 1, got {max_outputs}")
    counted = scores > score_threshold
    if valid is not None:
        counted &= valid
    if not len(boxes):
        return Kept(jnp.zeros(max_outputs, jnp.int32), jnp.zeros(max_outputs, bool))

    def keep_one(left: Bool[Array, " boxes"], _: None) -> tuple[Bool[Array, " boxes"], Kept]:
        best = jnp.argmax(jnp.where(left, scores, -jnp.inf))
        found = left[best]
        overlaps = box_iou(boxes[best], boxes) > iou_threshold
        if classes is not None:
            overlaps &= classes == classes[best]
        left = left & ~overlaps & (jnp.arange(len(boxes)) != best)
        return left, Kept(jnp.where(found, best, 0).astype(jnp.int32), found)

    return lax.scan(keep_one, counted, None, length=max_outputs)[1]


def _size(boxes: Float[Array, "*shape 4"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    return (
        jnp.maximum(boxes[..., 2] - boxes[..., 0], 0),
        jnp.maximum(boxes[..., 3] - boxes[..., 1], 0),
    )


def _angle(boxes: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """The arctangent of width over height; 0, without a gradient, for a box without a size."""
    width, height = _size(boxes)
    return jnp.arctan2(width, jnp.where((width > 0) | (height > 0), height, 1))


def _overlap(first: Boxes, second: Boxes) -> tuple[Array, Array]:
    """The areas of intersection and union."""
    least, most = (
        jnp.maximum(first[..., :2], second[..., :2]),
        jnp.minimum(first[..., 2:], second[..., 2:]),
    )
    intersection = box_area(jnp.concatenate([least, most], axis=-1))
    return intersection, box_area(first) + box_area(second) - intersection


def _hull(first: Boxes, second: Boxes) -> Float[Array, "..."]:
    """The smallest box around two boxes."""
    least, most = (
        jnp.minimum(first[..., :2], second[..., :2]),
        jnp.maximum(first[..., 2:], second[..., 2:]),
    )
    return jnp.concatenate([least, most], axis=-1)


def _center_distance(first: Boxes, second: Boxes) -> Float[Array, "..."]:
    """The squared distance of centers over the squared diagonal of the hull."""
    centers = [(boxes[..., :2] + boxes[..., 2:]) / 2 for boxes in (first, second)]
    width, height = _size(_hull(first, second))
    return _ratio(((centers[0] - centers[1]) ** 2).sum(-1), width**2 + height**2)


def _ratio(part: Array, whole: Array) -> Array:
    """`part / whole`, and 0 with gradient 0 where `whole` is 0."""
    some = whole > 0
    return jnp.where(some, part, 0) / jnp.where(some, whole, 1)
