"""Averages over flipped and rotated images, against NumPy's and the algebra of their group."""

import numpy as np
import pytest
import quick
from jax import lax, nn
from jax import numpy as jnp

from jaxvision import models
from jaxvision.train.segmentation import predict
from jaxvision.train.segmentation.views import with_views

RNG = np.random.default_rng(0)
SQUARE = RNG.normal(size=(2, 7, 7, 2)).astype(np.float32)
OBLONG = RNG.normal(size=(2, 5, 8, 2)).astype(np.float32)
KERNEL = RNG.normal(size=(3, 3, 2, 3)).astype(np.float32)

FLIPS = {
    "none": [lambda x: x],
    "horizontal_flip": [lambda x: x, np.fliplr],
    "flips": [lambda x: x, np.fliplr, np.flipud, lambda x: np.rot90(x, 2)],
}


def convolve(kernel, images):
    """Logits that depend on what is above, below, to the left and to the right."""
    return lax.conv_general_dilated(
        images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def probabilities(views, kernel, images):
    return np.asarray(quick.jit(lambda k, x: nn.softmax(with_views(convolve, views)(k, x)))(
        kernel, images
    ))  # fmt: skip


def each(function, images):
    return np.stack([function(image) for image in images])


@pytest.mark.parametrize("images", [SQUARE, OBLONG], ids=["square", "oblong"])
@pytest.mark.parametrize("views", ["none", "horizontal_flip", "flips"])
def test_the_mean_over_views_equals_numpys(views, images) -> None:
    plain = quick.jit(lambda x: nn.softmax(convolve(KERNEL, x)))
    turned = [each(flip, plain(each(flip, images))) for flip in FLIPS[views]]
    expected = np.mean(turned, axis=0)
    np.testing.assert_allclose(probabilities(views, KERNEL, images), expected, atol=1e-6)


def test_the_mean_over_all_views_of_a_square_equals_numpys() -> None:
    plain = quick.jit(lambda x: nn.softmax(convolve(KERNEL, x)))
    total = 0
    for turns in range(4):
        for mirror in (False, True):
            seen = SQUARE[:, :, ::-1] if mirror else SQUARE
            back = np.rot90(plain(np.rot90(seen, turns, (1, 2))), -turns, (1, 2))
            total = total + (back[:, :, ::-1] if mirror else back)
    np.testing.assert_allclose(probabilities("dihedral", KERNEL, SQUARE), total / 8, atol=1e-6)


@pytest.mark.parametrize(
    ("views", "turns"),
    [
        ("horizontal_flip", [np.fliplr]),
        ("flips", [np.fliplr, np.flipud]),
        ("dihedral", [np.fliplr, np.flipud, np.rot90, lambda x: x.swapaxes(0, 1)]),
    ],
)
def test_a_turned_image_has_the_turned_result(views, turns) -> None:
    result = probabilities(views, KERNEL, SQUARE)
    turned = probabilities(views, KERNEL, np.concatenate([each(turn, SQUARE) for turn in turns]))
    expected = np.concatenate([each(turn, result) for turn in turns])
    np.testing.assert_allclose(turned, expected, atol=1e-6)
    alone = probabilities("none", KERNEL, np.concatenate([each(turn, SQUARE) for turn in turns]))
    assert np.abs(alone - expected).max() > 0.1


@pytest.mark.parametrize("views", ["horizontal_flip", "flips", "dihedral"])
def test_what_is_symmetric_stays_as_it_is(views) -> None:
    symmetric = np.mean(
        [np.rot90(side, turns) for side in (KERNEL, KERNEL[:, ::-1]) for turns in range(4)], axis=0
    )
    expected = probabilities("none", symmetric, SQUARE)
    np.testing.assert_allclose(probabilities(views, symmetric, SQUARE), expected, atol=1e-6)


def test_an_oblong_is_not_rotated_by_90_degrees() -> None:
    np.testing.assert_array_equal(
        probabilities("dihedral", KERNEL, OBLONG), probabilities("flips", KERNEL, OBLONG)
    )


def test_logits_are_logarithms_of_probabilities_in_float32() -> None:
    def half(_, images):
        return jnp.bfloat16(1000) * images.astype(jnp.bfloat16)

    logits = np.asarray(quick.jit(lambda x: with_views(half, "flips")({}, x))(SQUARE))
    assert logits.dtype == np.float32
    assert logits.min() < -200  # whose probability is 0 in float32
    np.testing.assert_allclose(np.exp(logits).sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("views", ["none", "flips"])
@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (lambda _, x: x[:, 1:], r"logits of shape \(2, 4, 8, 2\) for images of shape \(2, 5, 8"),
        (lambda _, x: x.mean((1, 2)), r"logits of shape \(2, 2\) for images of shape \(2, 5, 8"),
        (lambda _, x: x[..., :1], "logits of 2 classes or more, got 1"),
    ],
)
def test_logits_of_another_shape(unchecked, views, apply, message) -> None:
    with pytest.raises(ValueError, match=message):
        quick.jit(lambda x: with_views(apply, views)({}, x))(OBLONG)


def test_views_that_there_are_not(unchecked) -> None:
    with pytest.raises(ValueError, match="unknown views 'flip'; did you mean 'flips'"):
        with_views(convolve, "flip")


@pytest.mark.parametrize("num_classes", [1, 3])
def test_predictions_are_averaged_over_views(num_classes: int) -> None:
    model = models.PixelClassifier(num_classes=num_classes, kernel_size=3)
    head = {"kernel": KERNEL[..., :num_classes], "bias": np.zeros(num_classes, np.float32)}
    variables = {"params": {"head": head}}
    kernel = head["kernel"]
    if num_classes == 1:
        kernel = np.concatenate([0 * kernel, kernel], axis=-1)
    expected = probabilities("dihedral", kernel, SQUARE).argmax(-1)
    seen = predict(model, variables, [{"image": SQUARE}], views="dihedral")
    np.testing.assert_array_equal(seen.classes, expected)
    plain = predict(model, variables, [{"image": SQUARE}])
    assert (plain.classes != seen.classes).any()
    with pytest.raises(ValueError, match="views need images, not volumes"):
        predict(model, variables, [{"image": SQUARE[None]}], views="flips")
