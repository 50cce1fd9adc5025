"""Pixels are resized to those of Pillow."""

import jax.numpy as jnp
import numpy as np
import PIL
import pytest
import quick
from PIL import Image

from jaxvision import data, ops

SIZES = [
    ((9, 14), (23, 31)),
    ((37, 50), (11, 16)),
    ((24, 30), (8, 10)),
    ((12, 60), (12, 7)),
    ((5, 40), (30, 3)),
    ((1, 1), (3, 4)),
]
TALL = ((90, 21), (11, 17))
"""It loses many rows, and Pillow begins with these since version 13."""


def pixels(size: tuple[int, int]) -> np.ndarray:
    """Half of them black or white, so that filters overshoot."""
    random = np.random.default_rng(0)
    drawn = random.integers(0, 256, (2, *size, 3), dtype=np.uint8)
    return np.where(random.random(drawn.shape) < 0.5, drawn, (drawn > 127) * np.uint8(255))


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos", "box", "hamming"])
def test_to_the_last_bit(method: str) -> None:
    pairs = [*SIZES, TALL]
    resized = quick.jit(
        lambda many: [
            ops.resample(images, new, method) for images, (_, new) in zip(many, pairs, strict=True)
        ]
    )([pixels(old) for old, _ in pairs])
    for (old, (height, width)), given in zip(pairs, resized, strict=True):
        how = Image.Resampling[method.upper()]
        wanted = np.stack(
            [np.asarray(Image.fromarray(each).resize((width, height), how)) for each in pixels(old)]
        )
        may_differ = (old, (height, width)) == TALL and int(PIL.__version__.split(".")[0]) < 13
        difference = np.abs(np.asarray(given).astype(int) - wanted)
        assert difference.max() <= may_differ, (old, (height, width))


@pytest.mark.parametrize(
    "how",
    [
        data.Preprocessing(9, 0.7),
        data.Preprocessing((9, 16), 1.0, "bicubic", squash=True),
        data.Preprocessing(9, 0.8, "nearest"),
    ],
)
@pytest.mark.parametrize("channels", [1, 4])
def test_the_whole_way_of_an_image(how: data.Preprocessing, channels: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 20, 33, channels), dtype=np.uint8)
    given = quick.jit(lambda images: data.resize_and_crop_batch(images, how))(images)
    wanted = np.stack([data.resize_and_crop(each, how) for each in images])
    assert given.dtype == np.uint8
    np.testing.assert_array_equal(given, wanted)


def test_what_is_refused() -> None:
    images = jnp.asarray(pixels((4, 4)))
    with pytest.raises(ValueError, match="unknown method 'bicubicc'; did you mean 'bicubic'"):
        ops.resample(images, (2, 2), "bicubicc")
    with pytest.raises(ValueError, match=r"size must be a positive height and width, got \(0, 2\)"):
        ops.resample(images, (0, 2))
