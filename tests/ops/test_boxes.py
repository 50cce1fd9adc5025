"""Boxes, as torchvision has them (fixtures/make_ops.py)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from make_ops import draw_boxes

from jaxvision import ops

EXPECTED = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "ops.npz")
FIRST, SECOND = draw_boxes(7, 7), draw_boxes(5, 5)
WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


@pytest.mark.parametrize(
    "name", ["box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou"]
)
def test_overlaps_are_those_of_torchvision(name):
    got = run(getattr(ops, name), FIRST[:, None], SECOND[None])
    np.testing.assert_allclose(got, EXPECTED[name], atol=2e-6)
    assert (EXPECTED["box_iou"] == 0).any()
    by_row = run(getattr(ops, name), FIRST[:5], SECOND)
    np.testing.assert_allclose(by_row, np.diagonal(EXPECTED[name][:5]), atol=2e-6)


def test_overlaps_of_boxes_without_area_have_finite_gradients():
    empty = np.zeros((2, 4), np.float32)

    def total(boxes):
        kinds = (
            ops.box_iou,
            ops.generalized_box_iou,
            ops.distance_box_iou,
            ops.complete_box_iou,
        )
        return sum(kind(boxes, boxes[::-1] * 0).sum() for kind in kinds)

    value, gradient = run(jax.value_and_grad(total), empty)
    assert value == 0
    assert np.isfinite(gradient).all()


def test_coding_is_that_of_torchvision():
    boxes, anchors = FIRST[:5], SECOND
    encoded = run(lambda *each: ops.encode_boxes(*each, weights=WEIGHTS), boxes, anchors)
    np.testing.assert_allclose(encoded, EXPECTED["encoded"], rtol=1e-5, atol=1e-5)
    decoded = run(lambda *each: ops.decode_boxes(*each, weights=WEIGHTS), encoded, anchors)
    np.testing.assert_allclose(decoded, boxes, rtol=1e-5, atol=1e-4)
    deltas = np.linspace(-3, 30, 20, dtype=np.float32).reshape(5, 4)  # large ones are bounded
    far = run(lambda *each: ops.decode_boxes(*each, weights=WEIGHTS), deltas, anchors)
    np.testing.assert_allclose(far, EXPECTED["decoded"], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("target", ["yxyx", "xywh", "cxcywh"])
def test_formats_come_back(target):
    there = run(lambda boxes: ops.convert_boxes(boxes, "xyxy", target), FIRST)
    x, y, right, bottom = FIRST.T
    width, height = right - x, bottom - y
    expected = {
        "yxyx": (y, x, bottom, right),
        "xywh": (x, y, width, height),
        "cxcywh": (x + width / 2, y + height / 2, width, height),
    }[target]
    np.testing.assert_allclose(there, np.stack(expected, 1), rtol=1e-6)
    back = run(lambda boxes: ops.convert_boxes(boxes, target, "xyxy"), there)
    np.testing.assert_allclose(back, FIRST, rtol=1e-5)


def test_an_unknown_format(unchecked):
    with pytest.raises(ValueError, match="unknown target 'xyhw'"):
        ops.convert_boxes(FIRST, "xyxy", "xyhw")


def greedy(boxes, scores, threshold, classes):
    """Suppression as it is defined, box after box."""
    left = [
        int(index) for index in np.argsort(-scores, kind="stable") if not np.isnan(scores[index])
    ]
    kept = []
    while left:
        best, *left = left
        kept.append(best)
        iou = iou_by_hand(boxes[best], boxes)
        left = [i for i in left if iou[i] <= threshold or classes[i] != classes[best]]
    return kept


def iou_by_hand(box, boxes):
    least, most = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (most - least).clip(0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return shared / ((box[2:] - box[:2]).prod() + areas - shared)


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, [3, 0, 2]), (0.4, [3, 1, 2])])
def test_suppression_of_four_boxes(threshold, expected):
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30], [0, 0, 10, 5]], np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.95], np.float32)
    kept = run(
        lambda *each: ops.non_maximum_suppression(*each, iou_threshold=threshold, max_outputs=4),
        boxes,
        scores,
    )
    assert kept.indices[kept.valid].tolist() == expected
    assert kept.valid.tolist() == [True, True, True, False]


def test_suppression_is_greedy():
    boxes = np.stack([draw_boxes(40, seed) for seed in range(8)])
    random = np.random.default_rng(0)
    scores = random.integers(0, 20, (8, 40)).astype(np.float32) / 20  # many are equal
    scores[:, :3] = np.nan
    classes = random.integers(0, 2, (8, 40))

    def both(boxes, scores, classes):
        def suppress(classes, max_outputs):
            return lambda boxes, scores, given: ops.non_maximum_suppression(
                boxes,
                scores,
                iou_threshold=0.2,
                max_outputs=max_outputs,
                classes=given if classes else None,
            )

        return (
            jax.vmap(suppress(False, 40))(boxes, scores, classes),
            jax.vmap(suppress(True, 10))(boxes, scores, classes),
        )

    alike, apart = run(both, boxes, scores, classes)
    for row in range(8):
        expected = greedy(boxes[row], scores[row], 0.2, np.zeros(40))
        assert alike.indices[row][alike.valid[row]].tolist() == expected
        by_class = greedy(boxes[row], scores[row], 0.2, classes[row])
        assert apart.indices[row][apart.valid[row]].tolist() == by_class[:10]
    assert (alike.indices[~alike.valid] == 0).all()


def test_suppression_of_what_does_not_count():
    boxes, scores = FIRST, np.arange(7, dtype=np.float32)
    valid = np.array([True] * 6 + [False])

    def suppress(boxes, scores, valid):
        return ops.non_maximum_suppression(
            boxes, scores, iou_threshold=1.0, max_outputs=9, score_threshold=2.0, valid=valid
        )

    kept = run(suppress, boxes, scores, valid)
    assert kept.indices[kept.valid].tolist() == [5, 4, 3]
    none = run(suppress, boxes[:0], scores[:0], valid[:0])
    assert not none.valid.any()
    assert none.indices.shape == (9,)
    with pytest.raises(ValueError, match="max_outputs must be at least 1, got 0"):
        ops.non_maximum_suppression(
            jnp.asarray(boxes), jnp.asarray(scores), iou_threshold=0.5, max_outputs=0
        )


def test_clipping():
    boxes = np.array([[-5, -5, 3, 4], [20, 2, 30, 4], [1, 2, 3, 40]], np.float32)
    clipped = run(lambda boxes: ops.clip_boxes(boxes, height=6, width=8), boxes)
    assert clipped.tolist() == [[0, 0, 3, 4], [8, 2, 8, 4], [1, 2, 3, 6]]
    assert run(ops.box_area, clipped).tolist() == [12, 0, 8]
