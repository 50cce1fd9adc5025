"""Masks made of tiles, against those of whole images."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from jax import lax

from jaxvision.train.segmentation.tiling import predict_tiled

ROOT = pathlib.Path(__file__).parents[3]
RNG = np.random.default_rng(0)
RADIUS = 3
KERNELS = [
    RNG.normal(size=(3, 3, *channels)).astype(np.float32) for channels in ((3, 6), (6, 6), (6, 4))
]


def small_net(kernels, images):
    """Three convolutions of 3x3: each logit depends on what is at most RADIUS pixels away."""
    for kernel in kernels:
        images = lax.conv_general_dilated(
            jnp.tanh(images), kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    return images


def pixelwise(scale, images):
    return jnp.concatenate([scale * images, -scale * images], axis=-1)


def image_of(*size) -> np.ndarray:
    return RNG.normal(size=(*size, 3)).astype(np.float32)


def whole(apply, variables, image) -> np.ndarray:
    program = quick.jit(lambda v, x: jax.nn.softmax(apply(v, x[None]))[0])
    return np.asarray(program(variables, image))


@pytest.mark.parametrize(
    ("size", "tile", "overlap", "margin"),
    [
        ((70, 53), (24, 20), 12, None),  # the last tiles are moved back
        ((48, 36), (24, 20), (12, 12), RADIUS),  # the last tiles end at the border by themselves
        ((41, 20), 16, 2 * RADIUS, RADIUS),  # no pixel is blended, and none sees padding
        ((20, 25), 16, 15, 4),  # many tiles over every pixel
        ((10, 60), 24, 12, None),  # lower than a tile
    ],
)
def test_tiles_have_no_seams(size, tile, overlap, margin) -> None:
    image = image_of(*size)
    options = {"tile": tile, "overlap": overlap, "margin": margin}
    expected = whole(small_net, KERNELS, image)
    found = predict_tiled(small_net, KERNELS, image, output="probabilities", **options)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    classes = predict_tiled(small_net, KERNELS, image, **options)
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes, found.argmax(-1))


def test_margins_that_are_too_small_leave_seams() -> None:
    image = image_of(70, 53)
    expected = whole(small_net, KERNELS, image)
    for overlap, margin, wrong in ((0, 0, 0.1), (12, RADIUS - 1, 1e-4)):
        found = predict_tiled(
            small_net,
            KERNELS,
            image,
            tile=24,
            overlap=overlap,
            margin=margin,
            output="probabilities",
        )
        assert np.abs(found - expected).max() > wrong


def test_a_net_with_strides_has_no_seams_where_tiles_start_at_multiples_of_them() -> None:
    def strided_net(kernels, images):
        wide = small_net(kernels[:1], images)
        pooled = lax.reduce_window(wide, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return small_net(kernels[1:2], pooled).repeat(2, 1).repeat(2, 2)

    image = image_of(54, 38)
    expected = whole(strided_net, KERNELS, image)
    for overlap, differs in ((10, False), (11, True)):
        found = predict_tiled(
            strided_net, KERNELS, image, tile=24, overlap=overlap, margin=5, output="probabilities"
        )
        assert (np.abs(found - expected).max() > 0.1) == differs
        if not differs:
            np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(24, 24), (9, 17), (1, 1)])
def test_an_image_within_a_tile_is_computed_whole(size) -> None:
    image = image_of(*size)
    found = predict_tiled(small_net, KERNELS, image, tile=24, overlap=8, output="probabilities")
    np.testing.assert_allclose(found, whole(small_net, KERNELS, image), atol=1e-6)


def test_weights_of_two_tiles_are_squared_sines() -> None:
    """The class of a tile is 1 where its first pixel is, so that class shows the weight."""

    def first_pixel(variables, images):
        ones = jnp.ones_like(images) * images[:, :1, :1]
        return 1000 * jnp.concatenate([1 - ones, ones], axis=-1)

    image = np.zeros((1, 54, 1), np.float32)
    image[0, 0] = 1
    blended = predict_tiled(
        first_pixel, {}, image, tile=32, overlap=10, margin=2, output="probabilities"
    )
    place = np.arange(54) + 0.5
    expected = np.cos(np.pi / 2 * np.clip((place - 24) / 6, 0, 1)) ** 2  # 24 to 30 is shared
    np.testing.assert_allclose(blended[0, :, 1], expected, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 9, 1000])
def test_batches_of_any_size_on_all_devices(batch_size) -> None:
    image = image_of(30, 40)
    options = {"tile": 12, "overlap": 7, "margin": RADIUS, "output": "probabilities"}
    found = predict_tiled(small_net, KERNELS, image, batch_size=batch_size, **options)
    np.testing.assert_allclose(found, whole(small_net, KERNELS, image), atol=1e-5)


def test_one_program_for_all_batches_and_images() -> None:
    traced = []

    def counted(scale, images):
        traced.append(images.shape)
        return pixelwise(scale, images)

    for width in (90, 77):  # more tiles than a batch, and batches that are not full
        image = RNG.normal(size=(20, width, 1)).astype(np.float32)
        classes = predict_tiled(counted, 2.0, image, tile=10, overlap=2, batch_size=8)
        np.testing.assert_array_equal(classes, image[..., 0] < 0)
    assert traced == [(8, 10, 10, 1)]


class Sliced:
    """An array on a disk: it is read by slices, and counts what is read at once."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.shape, self.dtype, self._pixels, self.most = pixels.shape, pixels.dtype, pixels, 0

    def __getitem__(self, place: tuple[slice, slice]) -> np.ndarray:
        part = self._pixels[place]
        self.most = max(self.most, part.size)
        return part

    def __array__(self, *_, **__) -> np.ndarray:
        raise AssertionError("the whole image is read")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_are_sliced_and_their_integers_become_shares(tmp_path, dtype) -> None:
    most = np.iinfo(dtype).max
    pixels = RNG.integers(0, most, (20, 33, 1), endpoint=True).astype(dtype)
    np.save(tmp_path / "image.npy", pixels)
    sliced = Sliced(pixels)
    images = [np.load(tmp_path / "image.npy", mmap_mode="r"), sliced, jnp.asarray(pixels)]
    share = pixels[..., 0] / most
    for image in images:
        found = predict_tiled(
            pixelwise, np.float32(1), image, tile=12, overlap=4, output="probabilities"
        )
        np.testing.assert_allclose(found[..., 0], 1 / (1 + np.exp(-2 * share)), atol=1e-6)
    assert sliced.most == 12 * 12


def test_views_of_tiles() -> None:
    image = image_of(28, 44)  # tiles that lie the same way after a flip
    options = {"tile": 12, "overlap": 4, "views": "flips", "output": "probabilities"}
    found = predict_tiled(small_net, KERNELS, image, **options)
    turned = predict_tiled(small_net, KERNELS, image[::-1, ::-1], **options)
    np.testing.assert_allclose(turned[::-1, ::-1], found, atol=1e-5)
    alone = predict_tiled(small_net, KERNELS, image, **{**options, "views": "none"})
    assert np.abs(alone - found).max() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 0}, "tile must be a whole number of pixels, at least 1, got 0"),
        ({"tile": (8, 8, 8)}, r"tile must be one number, or a height and a width, got \(8, 8, 8\)"),
        ({"tile": 8.0}, "tile must be a whole number of pixels, at least 1, got 8.0"),
        ({"overlap": -1}, "overlap must be a whole number of pixels, at least 0, got -1"),
        ({"overlap": 16}, r"overlap must be less than tile, got \(16, 16\) and \(16, 16\)"),
        ({"tile": (64, 8), "overlap": 8}, r"less than tile, got \(8, 8\) and \(64, 8\)"),
        ({"margin": -1}, "margin must be a whole number of pixels, at least 0, got -1"),
        ({"margin": 3}, r"margin must be at most half of overlap, got \(3, 3\) and \(4, 4\)"),
        ({"batch_size": 0}, "batch_size must be a whole number of tiles, at least 1, got 0"),
        ({"views": "all"}, "unknown views 'all'"),
        ({"output": "class"}, "unknown output 'class'; did you mean 'classes'"),
        ({"image": np.zeros((40, 40))}, r"of shape \(height, width, channels\).* got \(40, 40\)"),
        ({"image": np.zeros((1, 40, 40, 3))}, r"got \(1, 40, 40, 3\)"),
        ({"image": np.zeros((0, 40, 3))}, r"none of them 0, got \(0, 40, 3\)"),
        (
            {"apply": lambda _, x: x[:, ::2, ::2]},
            r"logits of shape \(9, 8, 8, 3\) for images of shape \(9, 16, 16, 3\)",
        ),
        ({"apply": lambda _, x: jnp.repeat(x, 100, 3)}, "300 classes, and a mask of uint8 holds"),
    ],
)
def test_what_is_not_allowed(unchecked, monkeypatch, options, message) -> None:
    one = jax.local_devices()[:1]
    monkeypatch.setattr(jax, "local_devices", lambda: one)
    given = {"apply": lambda _, x: x, "image": np.zeros((40, 40, 3), np.float32)}
    given |= {"tile": 16, "overlap": 4, "batch_size": 9, **options}
    with pytest.raises(ValueError, match=message):
        predict_tiled(variables={}, **given)


def test_pixels_whose_white_is_not_known(unchecked) -> None:
    with pytest.raises(TypeError, match="pixels must be uint8, uint16, bool or floating point"):
        predict_tiled(pixelwise, np.float32(1), np.zeros((4, 4, 1), np.int32))


def test_numbers_that_are_not_name_the_tile() -> None:
    image = np.zeros((40, 40, 1), np.float32)
    image[30, 5] = np.nan
    with pytest.raises(ValueError, match="for the tile of rows 24 to 40 and columns 0 to 16"):
        predict_tiled(pixelwise, np.float32(1), image, tile=16, overlap=4)


MEASURED = """
import pathlib, re, sys
import jax.numpy as jnp
import numpy as np
from jaxvision.train.segmentation.tiling import predict_tiled

path = pathlib.Path(sys.argv[1])
image = np.lib.format.open_memmap(path, "w+", np.uint8, (4000, 6000, 3))
image[:, 3000:] = 255
colors = np.linspace(-1, 1, 63, dtype=np.float32).reshape(3, 21)
classes = predict_tiled(lambda colors, images: images @ colors, colors, image)
assert classes.shape == (4000, 6000) and classes.dtype == np.uint8
assert (classes[:, :3000] == 0).all() and (classes[:, 3000:] == 20).all()
# Unlike ru_maxrss, which begins with that of the process that started this one.
print(re.search(r"VmHWM:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the largest size from /proc")
def test_memory_of_a_large_image(tmp_path) -> None:
    optimized = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / "image.npy")],
        cwd=ROOT,
        env=optimized,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) / 2**20 < 2.0
