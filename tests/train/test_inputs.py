"""How batches are made ready for a model."""

import jax
import numpy as np
import pytest
import quick

from jaxvision import data, train

IMAGES = np.arange(2 * 3 * 4 * 2, dtype=np.uint8).reshape(2, 3, 4, 2) * 5
BATCH = {"image": IMAGES, "label": np.array([0, 1]), "depth": IMAGES[..., 0]}


def test_images_are_floating_and_normalized_and_the_rest_stays() -> None:
    inputs = train.Inputs(mean=(0.5, 0.25), std=(0.25, 0.5))
    ready = jax.device_get(quick.jit(inputs.evaluate)(BATCH))
    expected = (IMAGES / 255 - np.array([0.5, 0.25])) / np.array([0.25, 0.5])
    np.testing.assert_allclose(ready["image"], expected, atol=1e-5)
    np.testing.assert_array_equal(ready["depth"], BATCH["depth"])
    assert ready["label"].tolist() == [0, 1]


def test_augmentation_sees_floats_from_0_to_1_and_is_for_training() -> None:
    flip = data.augment.random_flip(1.0)
    inputs = train.Inputs((0.5,), (0.5,), flip)
    batch = {name: BATCH[name] for name in ("image", "label")}
    ready = jax.device_get(quick.jit(inputs.train)(jax.random.key(0), batch))
    expected = (IMAGES[:, :, ::-1] / 255 - 0.5) / 0.5
    np.testing.assert_allclose(ready["image"], expected, atol=1e-5)
    plain = jax.device_get(quick.jit(inputs.evaluate)(batch))
    np.testing.assert_allclose(plain["image"], expected[:, :, ::-1], atol=1e-5)


def test_batches_without_images() -> None:
    tokens = {"tokens": np.arange(3)}
    assert train.Inputs().evaluate(tokens)["tokens"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"std": (0.0,)}, r"std must be finite numbers above 0, got \(0.0,\)"),
        ({"std": ()}, "std must be"),
        ({"mean": (np.nan,)}, "mean must be finite numbers"),
    ],
)
def test_numbers_that_normalize_nothing(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train.Inputs(**options)
