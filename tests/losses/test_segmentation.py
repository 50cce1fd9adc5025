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


def value(loss, logits, labels, **options) -> np.ndarray:
    return np.asarray(quick.jit(lambda x, y: loss(x, y, **options))(logits, labels))


def several(calls, *arguments):
    """What several losses of the same masks are, by one program."""
    return jax.device_get(quick.jit(lambda *given: [call(*given) for call in calls])(*arguments))


def test_sums_over_a_batch_equal_smp() -> None:
    options = {"reduce": "batch", "absent": "zero"}
    calls = [
        functools.partial(losses.soft_dice, **options),
        functools.partial(losses.soft_dice, **options, smooth=1.0),
        functools.partial(OVERLAPS["tversky"], **options),
        lambda x, y: losses.soft_jaccard(x, jnp.minimum(y, 3), **options),
    ]
    expected = [*FOUND["soft_dice"], FOUND["tversky"], FOUND["soft_jaccard"]]
    np.testing.assert_allclose(several(calls, LOGITS, LABELS), expected, atol=2e-6)


def test_lovasz_equals_smp() -> None:
    for loss, classes, name in (
        (losses.lovasz_softmax, slice(None), "lovasz_softmax"),
        (losses.lovasz_hinge, slice(1), "lovasz_hinge"),
    ):
        logits, labels = fixture.draw(4 if classes.stop is None else 2)
        calls = [loss, functools.partial(loss, reduce="batch")]
        samples, batch = several(calls, logits[..., classes], labels)
        np.testing.assert_allclose(samples, FOUND[name], rtol=2e-6)
        assert batch == pytest.approx(FOUND[f"{name}_batch"], rel=2e-6)


def test_one_logit_is_a_sigmoid() -> None:
    logits, labels = fixture.draw(2)
    found = value(losses.soft_dice, logits[..., :1], labels, reduce="batch")
    assert found == pytest.approx(FOUND["binary_dice"], abs=1e-6)


def test_identities() -> None:
    """J = D / (2 - D), of one example and one class; perfect masks cost nothing."""
    first = (losses.soft_dice, losses.soft_jaccard)
    calls = [functools.partial(loss, classes=(1,)) for loss in first]
    dice, jaccard = several(calls, LOGITS, LABELS)
    index = (1 - dice) / (2 - (1 - dice))
    np.testing.assert_allclose(1 - jaccard, index, rtol=1e-5)
    sure = 100 * np.eye(4, dtype=np.float32)[np.minimum(LABELS, 3)]
    for found in several([*OVERLAPS.values(), losses.lovasz_softmax], sure, LABELS):
        np.testing.assert_allclose(found, 0, atol=1e-6)


@pytest.mark.parametrize("name", OVERLAPS)
def test_what_absent_classes_and_empty_masks_count(name: str) -> None:
    """The first images have no class 3."""
    loss = OVERLAPS[name]
    # An empty mask of a foreground, nothing and everything predicted.
    sure = np.float32([-100, 100])[:, None, None, None] * np.ones((2, 9, 11, 1), np.float32)
    background = np.zeros((2, 9, 11), np.int32)
    calls = [
        lambda x, y, *_: loss(x, y, classes=(0, 1, 2))[0],
        lambda x, y, *_: loss(x, y)[0],
        lambda x, y, *_: loss(x, y, absent="zero")[0],
        lambda x, y, *_: loss(x, y, absent="count")[0],
        lambda _x, _y, x, y: loss(x, y),
        lambda _x, _y, x, y: loss(x, y, absent="count", smooth=1.0),
    ]
    three, *others, empty, counted = several(calls, LOGITS, LABELS, sure, background)
    expected = [three, 0.75 * three, (3 * three + 1) / 4]
    np.testing.assert_allclose(others, expected, rtol=1e-6)
    np.testing.assert_array_equal(empty, 0)
    assert counted[0] == pytest.approx(0, abs=1e-6)
    assert counted[1] > 0.9


def test_lovasz_is_the_jaccard_loss_at_the_corners() -> None:
    """Of every subset of four pixels, errors of 0 and 1 cost what the subset costs."""
    corners = itertools.product(itertools.product((0, 1), repeat=4), repeat=2)
    truth, found = np.array([pair for pair in corners if any(pair[0])]).swapaxes(0, 1)
    logits = np.where(truth == found, 1, 0) * (2 * truth - 1)
    expected = 1 - (truth & found).sum(1) / (truth | found).sum(1)
    hinge = value(losses.lovasz_hinge, logits[..., None].astype(np.float32), truth)
    np.testing.assert_allclose(hinge, expected, atol=1e-6)


@pytest.mark.usefixtures("unchecked")
def test_the_hinge_needs_one_logit() -> None:
    with pytest.raises(ValueError, match="one logit per pixel"):
        losses.lovasz_hinge(jnp.asarray(LOGITS), jnp.asarray(LABELS))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduce": "image"}, "unknown reduce 'image'"),
        ({"absent": "drop"}, "unknown absent 'drop'"),
        ({"classes": (1, 4)}, r"some of 0 to 3, or None for all, got \(1, 4\)"),
        ({"classes": ()}, r"got \(\)"),
        ({"reduce": "batch", "weight": np.ones(2)}, r"shape \(3,\), got \(2,\)"),
    ],
)
def test_options_that_are_not_allowed(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        losses.soft_dice(jnp.asarray(LOGITS), jnp.asarray(LABELS), **options)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["alpha", "beta", "smooth"])
@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_weights_of_tversky_are_not_negative(name, value) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a number, not negative, got {value}"):
        losses.tversky(jnp.asarray(LOGITS), jnp.asarray(LABELS), **{name: value})
