"""Overlap losses: other libraries' values, closed forms, and pixels and rows that do not count."""

import functools
import itertools
import json

import jax
import jax.numpy as jnp
import make_segmentation_losses as fixture
import numpy as np
import pytest
import quick

from jaxvision import losses

FOUND = json.loads(fixture.PATH.read_text())
LOGITS, LABELS = fixture.draw()
OVERLAPS = {
    "tversky": functools.partial(losses.tversky, alpha=0.3, beta=0.7),
    "soft_dice": losses.soft_dice,
    "soft_jaccard": losses.soft_jaccard,
}
PER_EXAMPLE = {**OVERLAPS, "lovasz_softmax": losses.lovasz_softmax}


def value(loss, logits, labels, **options) -> np.ndarray:
    given = {name: options.pop(name) for name in ("weight",) if name in options}
    compiled = quick.jit(lambda x, y, given: loss(x, y, **given, **options))
    return np.asarray(compiled(logits, labels, given))


@pytest.mark.parametrize(
    ("name", "labels", "options", "expected"),
    [
        ("soft_dice", LABELS, {}, FOUND["soft_dice"][0]),
        ("soft_dice", LABELS, {"smooth": 1.0}, FOUND["soft_dice"][1]),
        ("tversky", LABELS, {}, FOUND["tversky"]),
        ("soft_jaccard", np.minimum(LABELS, 3), {}, FOUND["soft_jaccard"]),
    ],
)
def test_sums_over_a_batch_equal_smp(name, labels, options, expected) -> None:
    found = value(OVERLAPS[name], LOGITS, labels, reduce="batch", absent="zero", **options)
    assert found == pytest.approx(expected, abs=2e-6)


def test_lovasz_equals_smp() -> None:
    found = value(losses.lovasz_softmax, LOGITS, LABELS)
    np.testing.assert_allclose(found, FOUND["lovasz_softmax"], atol=1e-6)
    logits, labels = fixture.draw(2)
    found = value(losses.lovasz_hinge, logits[..., 0], labels)
    np.testing.assert_allclose(found, FOUND["lovasz_hinge"], rtol=1e-6)


def test_one_logit_is_a_sigmoid() -> None:
    logits, labels = fixture.draw(2)
    found = value(losses.soft_dice, logits[..., :1], labels, reduce="batch")
    assert found == pytest.approx(FOUND["binary_dice"], abs=1e-6)


@pytest.mark.parametrize("name", PER_EXAMPLE)
def test_each_example_is_alone(name: str) -> None:
    whole = value(PER_EXAMPLE[name], LOGITS, LABELS)
    alone = [value(PER_EXAMPLE[name], LOGITS[i : i + 1], LABELS[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(whole, alone, rtol=1e-5)


@pytest.mark.parametrize("name", PER_EXAMPLE)
def test_ignored_pixels_count_nowhere(name: str) -> None:
    changed = np.where(LABELS[..., None] == 255, 50 * LOGITS + 7, LOGITS).astype(np.float32)
    negative = np.where(LABELS == 255, -1, LABELS)
    before = value(PER_EXAMPLE[name], LOGITS, LABELS)
    np.testing.assert_allclose(value(PER_EXAMPLE[name], changed, negative), before, rtol=1e-5)
    gradient = quick.jit(jax.grad(lambda x: PER_EXAMPLE[name](x, jnp.asarray(LABELS)).sum()))
    found = np.asarray(gradient(LOGITS))
    assert np.isfinite(found).all()
    assert not found[LABELS == 255].any()
    assert found[LABELS != 255].any()


@pytest.mark.parametrize("name", OVERLAPS)
def test_rows_of_padding_count_nowhere(name: str) -> None:
    padded = np.concatenate([LOGITS, LOGITS[:1]]), np.concatenate([LABELS, LABELS[:1]])
    weight = np.float32([1, 1, 1, 0])
    found = value(OVERLAPS[name], *padded, reduce="batch", weight=weight)
    assert found == pytest.approx(value(OVERLAPS[name], LOGITS, LABELS, reduce="batch"), rel=1e-6)


def test_identities() -> None:
    """J = D / (2 - D), of one example and one class; perfect masks cost nothing."""
    dice = value(losses.soft_dice, LOGITS, LABELS, classes=(1,))
    jaccard = value(losses.soft_jaccard, LOGITS, LABELS, classes=(1,))
    index = (1 - dice) / (2 - (1 - dice))
    np.testing.assert_allclose(1 - jaccard, index, rtol=1e-5)
    sure = 100 * np.eye(4, dtype=np.float32)[np.minimum(LABELS, 3)]
    for name in PER_EXAMPLE:
        np.testing.assert_allclose(value(PER_EXAMPLE[name], sure, LABELS), 0, atol=1e-6)


@pytest.mark.parametrize("name", OVERLAPS)
def test_what_absent_classes_and_empty_masks_count(name: str) -> None:
    """The first images have no class 3."""
    loss = OVERLAPS[name]
    three = value(loss, LOGITS, LABELS, classes=(0, 1, 2))[0]
    assert value(loss, LOGITS, LABELS)[0] == pytest.approx(three)
    assert value(loss, LOGITS, LABELS, absent="zero")[0] == pytest.approx(0.75 * three)
    assert value(loss, LOGITS, LABELS, absent="count")[0] == pytest.approx((3 * three + 1) / 4)
    empty = np.full_like(LABELS, 255)
    np.testing.assert_array_equal(value(loss, LOGITS, empty), 0)
    # An empty mask of a foreground, nothing and everything predicted.
    background = np.zeros((2, 9, 11), np.int32)
    sure = np.float32([-100, 100])[:, None, None, None] * np.ones((2, 9, 11, 1), np.float32)
    np.testing.assert_array_equal(value(loss, sure, background), 0)
    counted = value(loss, sure, background, absent="count", smooth=1.0)
    assert counted[0] == pytest.approx(0, abs=1e-6)
    assert counted[1] > 0.9


@pytest.mark.parametrize("name", [*PER_EXAMPLE, "lovasz_hinge"])
def test_volumes_half_precision_and_empty_batches(name: str) -> None:
    random = np.random.default_rng(1)
    loss = losses.lovasz_hinge if name == "lovasz_hinge" else PER_EXAMPLE[name]
    tail = () if name == "lovasz_hinge" else (2,)
    labels = random.integers(0, 2, (2, 3, 4, 5))
    logits = random.standard_normal((*labels.shape, *tail)).astype(np.float32)
    flat = logits.reshape(2, 12, 5, *tail)
    np.testing.assert_allclose(
        value(loss, logits, labels), value(loss, flat, labels.reshape(2, 12, 5)), rtol=1e-6
    )
    half = value(loss, jnp.bfloat16(logits), labels)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, value(loss, logits, labels), rtol=0.05)
    assert value(loss, logits[:0], labels[:0]).shape == (0,)


def test_lovasz_is_the_jaccard_loss_at_the_corners() -> None:
    """Of every subset of four pixels, errors of 0 and 1 cost what the subset costs."""
    for truth, found in itertools.product(itertools.product((0, 1), repeat=4), repeat=2):
        truth, found = np.array(truth), np.array(found)
        if not truth.any():
            continue
        logits = np.where(truth == found, 1.0, 0.0) * (2 * truth - 1.0)
        union = (truth | found).sum()
        expected = 1 - (truth & found).sum() / union
        loss = losses.lovasz_hinge(jnp.float32(logits)[None], jnp.asarray(truth)[None])
        assert float(loss[0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduce": "image"}, "unknown reduce 'image'"),
        ({"absent": "drop"}, "unknown absent 'drop'"),
    ],
)
def test_options_that_are_not_allowed(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        losses.soft_dice(jnp.asarray(LOGITS), jnp.asarray(LABELS), **options)


@pytest.mark.usefixtures("unchecked")
def test_shapes_that_do_not_fit() -> None:
    for loss in PER_EXAMPLE.values():
        with pytest.raises(ValueError, match=r"got \(3, 9, 11, 4\) and \(3, 9, 10\)"):
            loss(jnp.asarray(LOGITS), jnp.asarray(LABELS[:, :, :10]))
    with pytest.raises(ValueError, match="must have one shape"):
        losses.lovasz_hinge(jnp.asarray(LOGITS), jnp.asarray(LABELS))
