"""Means over pixels: the values of torch, MONAI and segmentation_models_pytorch, and weights."""

import functools
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
BINARY_LOGITS, BINARY_LABELS = fixture.draw(2)
BINARY_LOGITS = BINARY_LOGITS[..., :1]
WEIGHTS = fixture.WEIGHTS
ZERO = tuple(0.0 if weight == 3.0 else weight for weight in WEIGHTS)


def several(calls, *arguments):
    """What several losses of the same masks are, by one program."""
    return jax.device_get(quick.jit(lambda *given: [call(*given) for call in calls])(*arguments))


def test_cross_entropy_is_torchs() -> None:
    options = {
        "plain": {},
        "weighted": {"class_weights": WEIGHTS},
        "smoothed": {"label_smoothing": fixture.SMOOTHING},
        "both": {"class_weights": np.array(WEIGHTS), "label_smoothing": fixture.SMOOTHING},
        "zero": {"class_weights": ZERO, "label_smoothing": fixture.SMOOTHING},
    }
    calls = [
        functools.partial(losses.pixel_cross_entropy, reduce="batch", **given)
        for given in options.values()
    ]
    found = dict(zip(options, several(calls, LOGITS, LABELS), strict=True))
    assert found == pytest.approx(FOUND["cross_entropy"], rel=1e-6)


def test_focal_is_that_of_monai() -> None:
    calls = [
        functools.partial(losses.pixel_focal, reduce="batch"),
        functools.partial(losses.pixel_focal, reduce="batch", gamma=0.5, alpha=WEIGHTS),
        lambda x, y: losses.weighted_mean(
            losses.sigmoid_focal(x, jax.nn.one_hot(y, 4), alpha=None), y != 255
        ),
    ]
    found = several(calls, LOGITS, LABELS)
    expected = [FOUND[name] for name in ("focal", "focal_half_alpha", "focal_of_each_class")]
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_one_logit_is_a_sigmoid() -> None:
    calls = [
        functools.partial(losses.pixel_cross_entropy, reduce="batch"),
        functools.partial(losses.pixel_focal, reduce="batch"),
        functools.partial(losses.pixel_focal, reduce="batch", gamma=3, alpha=(0.7, 0.3)),
    ]
    found = several(calls, BINARY_LOGITS, BINARY_LABELS)
    expected = [
        FOUND[name] for name in ("binary_cross_entropy", "binary_focal", "binary_focal_alpha")
    ]
    np.testing.assert_allclose(found, expected, rtol=2e-6)


@pytest.mark.parametrize("loss", [losses.pixel_cross_entropy, losses.pixel_focal])
def test_a_pixel_of_weight_two_is_two_pixels(loss) -> None:
    """And one of weight 0 is none, whatever is predicted there."""
    weights = np.random.default_rng(3).integers(0, 3, LABELS.shape)
    options = {"class_weights": WEIGHTS} if loss is losses.pixel_cross_entropy else {}
    repeated = [
        np.repeat(array[0].reshape(99, -1), weights[0].ravel(), axis=0)[None]
        for array in (LOGITS, LABELS)
    ]
    logits = np.where(weights[..., None] == 0, np.nan, LOGITS)
    weighted, plain = several(
        [
            lambda x, y, w, *_: loss(x, y, pixel_weight=w, **options)[0],
            lambda _x, _y, _w, x, y: loss(x, y, **options)[0],
        ],
        logits,
        LABELS,
        weights.astype(np.float32),
        repeated[0],
        repeated[1][..., 0],
    )
    assert weighted == pytest.approx(plain, rel=1e-6)


def test_nothing_that_counts_is_zero_with_a_gradient_of_zero() -> None:
    """All pixels of weight 0, and all of a class of weight 0."""

    def total(x, y, w):
        return (
            losses.pixel_cross_entropy(x, y, pixel_weight=w).sum()
            + losses.pixel_cross_entropy(x, y, class_weights=ZERO).sum()
        )

    value, gradient = jax.device_get(
        quick.jit(jax.value_and_grad(total))(
            LOGITS, np.full_like(LABELS, 2), np.zeros(LABELS.shape, np.float32)
        )
    )
    assert value == 0
    assert not gradient.any()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": (1.0, 2.0)}, r"class_weights must .* shape \(4,\), got \(2,\)"),
        ({"label_smoothing": 1.5}, r"in \[0, 1\], got 1.5"),
        ({"pixel_weight": np.ones((3, 9))}, r"shape of the labels, \(3, 9, 11\), got \(3, 9\)"),
    ],
)
def test_options_that_are_not_allowed(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        losses.pixel_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"alpha": (1.0,)}, r"two for a single logit: shape \(2,\)"), ({"gamma": -1}, "got -1")],
)
def test_options_of_focal_that_are_not_allowed(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        losses.pixel_focal(jnp.asarray(BINARY_LOGITS), jnp.asarray(BINARY_LABELS), **options)
