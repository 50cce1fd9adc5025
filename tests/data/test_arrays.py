"""What is said of arrays that make no data set, or one that is probably not meant."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import data, models
from jaxvision.data.arrays import doubts

IMAGES = np.zeros((3, 8, 8, 1), np.uint8)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((IMAGES, np.arange(3)), TypeError, r"too many positional .* from_arrays\({'image': "),
        (([IMAGES],), TypeError, "arrays must be a dict such as {'image': .*, got list"),
        (({"image": IMAGES[0, 0, 0, 0]},), ValueError, "'image' must have its examples along"),
        (
            ({"image": [np.zeros((8, 8, 1)), np.zeros((9, 8, 1))]},),
            ValueError,
            r"examples of 'image' have different shapes, such as \(8, 8, 1\) and \(9, 8, 1\)",
        ),
        (({"label": ["cat", "dog"]},), ValueError, "'label' must hold .* 'cat': class_names, lab"),
    ],
)
def test_what_makes_no_data_set(given, error, message, unchecked):
    with pytest.raises(error, match=message):
        data.from_arrays(*given)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": IMAGES.astype(np.float32) + 255}, "pixels up to 255, .* divide them by 255"),
        ({"image": np.zeros((2, 3, 32, 30))}, r"x.transpose\(0, 2, 3, 1\) .* \(2, 32, 30, 3\)$"),
        ({"images": IMAGES}, "have 'images' and no 'image', the name that losses look for"),
        ({"image": IMAGES, "Labels": np.arange(3)}, "have 'Labels' and no 'label'"),
        ({"label": np.array([1, 3, 2, -1])}, "class 0 has no examples; do the labels begin at 1"),
        ({"label": np.eye(3)}, r"one-hot.*labels.argmax\(axis=1\)"),
        ({"label": np.array([0.0, 2.0])}, r"'label' is float64, .* labels.astype\(int\)"),
    ],
)
def test_what_is_probably_not_meant(arrays, message):
    with pytest.warns(UserWarning, match=message) as caught:
        data.from_arrays(arrays)
    assert len(caught) == 1


@pytest.mark.parametrize(
    "arrays",
    [
        {"image": np.linspace(-3, 90, 48).reshape(1, 4, 4, 3), "labels": [0], "label": [0]},
        {"image": np.zeros((2, 3, 32, 3)), "depth": np.full((2, 32, 32), 90.0)},
        {"image": np.zeros((2, 4, 4, 512)), "label": [2, 3]},
        {"label": np.array([0.5, 2.0])},
        {"label": np.array([[1, 1, 0], [0, 0, 0]])},
        {"image": IMAGES, "boxes": np.zeros((3, 5, 4)), "labels": np.zeros((3, 5), int)},
        {"label": np.array(["cat"])[:0], "image": IMAGES[:0]},
    ],
)
def test_what_may_be_meant(arrays):
    with warnings.catch_warnings(action="error"):
        data.from_arrays(arrays)


def test_class_names_end_doubts_about_labels():
    arrays = {"label": np.array([1, 2])}
    assert not [*doubts(arrays, {"label": data.Field("label")}, named=True)]
    assert not [*doubts(arrays, {"label": data.Field("label", ("a", "b", "c"))}, named=False)]


def test_no_batches_of_no_examples():
    with pytest.raises(ValueError, match="there are no examples to make batches of"):
        data.from_arrays({"image": IMAGES[:0]}).batches(4)


@pytest.mark.parametrize("options", [{"in_channels": 3}, {"min_size": 16}])
def test_a_model_says_that_channels_come_last(options):
    with pytest.raises(ValueError, match=r"got \(64, 3, 12, 12\): .*x.transpose\(0, 2, 3, 1\)"):
        models.check_images(np.zeros((64, 3, 12, 12), np.float32), **options)


def test_pixels_of_64_bits_are_named():
    with pytest.raises(TypeError, match="got int32 or int64; pixels"):
        data.to_float(jnp.asarray(IMAGES.astype(np.int32)))


@pytest.mark.parametrize("name", ["Digits", "CIFAR10", "Mnist"])
def test_capitals_are_refused_in_every_name(name):
    with pytest.raises(data.DatasetError, match=f"did you mean '{name.lower()}'"):
        data.load(name, "train")


def test_a_model_with_a_remedy_of_its_own_says_so_too():
    images = np.zeros((64, 3, 12, 12), np.float32)
    with pytest.raises(ValueError, match=r"x.transpose\(0, 2, 3, 1\)"):
        jax.eval_shape(models.create_model("lenet5").init, jax.random.key(0), images)
