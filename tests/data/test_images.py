import contextlib
import io
import re

import jax
import numpy as np
import pytest
from PIL import Image

from jaxvision import data

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (12, 10, 3), dtype=np.uint8)


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def smooth(height, width):
    """An image that JPEG keeps to within a few levels."""
    return Image.fromarray(PIXELS[:3, :3]).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("channels", [1, 3, 4, None])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_of_every_mode(mode, channels):
    image = Image.fromarray(PIXELS).convert(mode)
    pixels = data.decode_image(encode(image), channels=channels)
    as_stored = {"1": "L", "LA": "RGBA", "P": "RGB"}.get(mode, mode)
    expected = image.convert({1: "L", 3: "RGB", 4: "RGBA", None: as_stored}[channels])
    np.testing.assert_array_equal(pixels, np.asarray(expected).reshape(pixels.shape))
    assert pixels.shape == (12, 10, channels or len(as_stored))
    assert pixels.flags.writeable


def test_palette_with_transparency():
    image = Image.fromarray(PIXELS).quantize(8)
    encoded = encode(image, transparency=0)
    assert data.decode_image(encoded).shape == (12, 10, 3)
    pixels = data.decode_image(encoded, channels=None)
    np.testing.assert_array_equal(pixels[..., 3] == 0, np.asarray(image) == 0)


@pytest.mark.parametrize("channels", [1, 3, None])
def test_sixteen_bits_keep_the_higher_eight(channels):
    values = np.array([[0, 255, 256, 511], [32767, 32768, 65279, 65535]], np.uint16)
    pixels = data.decode_image(encode(Image.fromarray(values)), channels=channels)
    expected = [[0, 0, 1, 1], [127, 128, 254, 255]]
    np.testing.assert_array_equal(pixels, np.stack([expected] * (channels or 1), axis=-1))


def test_cmyk_jpeg():
    image = smooth(16, 24)
    pixels = data.decode_image(encode(image.convert("CMYK"), "JPEG", quality=100))
    assert np.abs(pixels.astype(int) - np.asarray(image)).max() < 12


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_camera_held_any_way_up(kind, orientation):
    # The tag says which sides of the picture the first row and column are: TIFF 6.0, page 36.
    upright = np.asarray(smooth(16, 24))
    stored = np.swapaxes(upright, 0, 1) if orientation >= 5 else upright
    stored = stored[::-1] if orientation in (3, 4, 6, 7) else stored
    stored = stored[:, ::-1] if orientation in (2, 3, 7, 8) else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {} if kind == "PNG" else {"quality": 100, "subsampling": 0}
    encoded = encode(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)
    assert np.abs(data.decode_image(encoded).astype(int) - upright).max() < 4


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
def test_damaged_orientation_is_passed_over(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = encode(smooth(16, 24), kind, exif=exif)
    start = {"JPEG": 0, "WEBP": encoded.rfind(b"EXIF"), "TIFF": 0}[kind]
    random = np.random.default_rng(0)
    decoded = 0
    for position in list(range(start, min(start + 250, len(encoded)))) * 4:
        damaged = bytearray(encoded)
        damaged[position] ^= int(random.integers(1, 256))
        with contextlib.suppress(data.CorruptImageError):
            decoded += data.decode_image(bytes(damaged)).ndim == 3
    assert decoded > 20


def test_file_and_bytes(tmp_path):
    file = tmp_path / "image.png"
    file.write_bytes(encode(Image.fromarray(PIXELS)))
    np.testing.assert_array_equal(data.decode_image(file), PIXELS)
    np.testing.assert_array_equal(data.decode_image(file.read_bytes()), PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_truncated_file_is_an_error_that_names_it(tmp_path, kind):
    encoded = encode(Image.fromarray(PIXELS), kind)
    file = tmp_path / f"cut.{kind}"
    for length in range(0, len(encoded) - 24, 7):  # a PNG's last bytes are check sums and an end
        file.write_bytes(encoded[:length])
        with pytest.raises(data.CorruptImageError, match=re.escape(f"cannot decode {file}: ")):
            data.decode_image(file)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_damage_anywhere_raises_no_other_error(kind):
    encoded = encode(Image.fromarray(PIXELS), kind)
    random = np.random.default_rng(1)
    corrupt = 0
    for position in range(len(encoded)):
        damaged = bytearray(encoded)
        damaged[position] ^= int(random.integers(1, 256))
        try:
            assert data.decode_image(bytes(damaged)).dtype == np.uint8
        except data.CorruptImageError:
            corrupt += 1
    assert corrupt > 50


@pytest.mark.parametrize("encoded", [b"", b"no image", encode(smooth(2, 2), "GIF")[:20]])
def test_no_image_at_all(encoded):
    with pytest.raises(data.CorruptImageError, match="cannot decode an image in memory: "):
        data.decode_image(encoded)
    with pytest.raises(data.CorruptImageError, match="cannot decode record 5: "):
        data.decode_image(encoded, name="record 5")


def test_more_pixels_than_pillow_trusts(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(data.CorruptImageError, match=r"cannot decode .*exceeds limit"):
        data.decode_image(encode(smooth(20, 20)))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_that_are_no_pixels(dtype):
    with pytest.raises(data.CorruptImageError, match="its pixels are 32-bit numbers"):
        data.decode_image(encode(Image.fromarray(np.ones((2, 2), dtype)), "TIFF"))


def test_a_file_that_cannot_be_read_is_not_corrupt(tmp_path):
    with pytest.raises(FileNotFoundError):
        data.decode_image(tmp_path / "missing.png")
    with pytest.raises(IsADirectoryError):
        data.decode_image(tmp_path)


def test_unknown_channels():
    with pytest.raises(ValueError, match="channels must be 1, 3, 4 or None, got 2"):
        data.decode_image(encode(smooth(2, 2)), channels=2)


@pytest.mark.parametrize("nearest", [True, False])
def test_equal_size_is_identity(nearest):
    resized = data.resize_and_crop(PIXELS, data.Preprocessing((12, 10)), nearest=nearest)
    np.testing.assert_array_equal(resized, PIXELS)
    assert np.shares_memory(resized, PIXELS)


@pytest.mark.parametrize("nearest", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (3, 17), (31, 7), (40, 40)])
@pytest.mark.parametrize("shape", [(12, 10), (12, 10, 1), (9, 13, 3), (1, 1, 4), (2, 33, 5)])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.float16, np.float64])
def test_size_and_type(dtype, shape, size, nearest):
    image = RANDOM.integers(0, 2, shape).astype(dtype)
    resized = data.resize_and_crop(image, data.Preprocessing(size), nearest=nearest)
    assert resized.shape == (*size, *shape[2:])
    assert resized.dtype == dtype
    assert image.min() <= resized.min() <= resized.max() <= image.max()


@pytest.mark.parametrize("channels", [None, 1, 3, 4])
@pytest.mark.parametrize(
    ("old", "new"), [((12, 10), (6, 5)), ((9, 9), (30, 30)), ((64, 32), (10, 5)), ((8, 4), (6, 3))]
)
def test_bilinear_is_that_of_jax(old, new, channels):
    shape = old if channels is None else (*old, channels)
    image = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    resized = data.resize_and_crop(image, data.Preprocessing(new))
    target = (*new, *shape[2:])
    expected = jax.image.resize(image.astype(np.float32), target, "linear", antialias=True)
    assert np.abs(resized - np.asarray(expected)).max() <= 1
    floats = data.resize_and_crop(image.astype(np.float32), data.Preprocessing(new))
    np.testing.assert_allclose(floats, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("old", "new"), [((13, 13), (6, 6)), ((9, 9), (30, 30)), ((61, 31), (10, 5))]
)
def test_nearest_is_that_of_pillow(old, new):
    image = np.random.default_rng(3).integers(0, 256, (*old, 3), dtype=np.uint8)
    expected = Image.fromarray(image).resize(new[::-1], Image.Resampling.NEAREST)
    np.testing.assert_array_equal(
        data.resize_and_crop(image, data.Preprocessing(new), nearest=True), expected
    )


def test_labels_of_any_size_survive():
    labels = np.array([[0, 2**40], [255, -7]], np.int64)
    resized = data.resize_and_crop(labels, data.Preprocessing((5, 9)), nearest=True)
    assert set(np.unique(resized)) == set(labels.ravel())


@pytest.mark.parametrize("nearest", [True, False])
def test_centre_is_cut_out_and_the_aspect_ratio_kept(nearest):
    # A square in the middle of a wide image stays a square, and fills what is cut out.
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 200
    np.testing.assert_array_equal(
        data.resize_and_crop(wide, data.Preprocessing((4, 4)), nearest=nearest)[:, 1:3],
        np.full((4, 2), 200),
    )
    tall = data.resize_and_crop(wide.T, data.Preprocessing((4, 4)), nearest=nearest)
    np.testing.assert_array_equal(
        tall, data.resize_and_crop(wide, data.Preprocessing((4, 4)), nearest=nearest).T
    )
    # Without a change of scale it is a cut and nothing else.
    np.testing.assert_array_equal(
        data.resize_and_crop(PIXELS, data.Preprocessing((12, 4)), nearest=nearest), PIXELS[:, 3:7]
    )
