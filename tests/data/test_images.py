import contextlib
import io
import itertools
import re
import struct
import zlib

import jax
import numpy as np
import pytest
import quick
from PIL import Image, PngImagePlugin

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


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 3), ("LA", None), ("P", None), ("RGB", 4), ("RGBA", 3)],
)
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


NEARLY_BLACK = "uses the lower 12 at most and becomes nearly black"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_twelve_bits_stored_as_sixteen_are_said_and_can_be_scaled(kind):
    encoded = encode(Image.fromarray(np.array([[100, 2100], [3100, 4095]], np.uint16)), kind)
    with pytest.warns(UserWarning, match=NEARLY_BLACK):
        pixels = data.decode_image(encoded, channels=1)
    assert pixels[..., 0].tolist() == [[0, 8], [12, 15]]
    scaled = data.decode_image(encoded, channels=1, sixteen_bit="range")
    expected = [[0, round(2000 * 255 / 3995)], [round(3000 * 255 / 3995), 255]]
    assert scaled[..., 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0], [0, 0]),
        ([700, 700], [0, 0]),
        ([0, 65535], [0, 255]),
        ([65534, 65535], [0, 255]),
        ([0, 4096], [0, 255]),
    ],
)
def test_ranges_of_sixteen_bits(values, expected):
    encoded = encode(Image.fromarray(np.array([values], np.uint16)))
    pixels = data.decode_image(encoded, channels=1, sixteen_bit="range")
    assert pixels[0, :, 0].tolist() == expected


@pytest.mark.parametrize("values", [[0, 0], [0, 4096], [0, 65535]])
def test_sixteen_bits_that_are_used_or_wholly_black_are_not_said(values):
    # A warning would be an error here.
    pixels = data.decode_image(encode(Image.fromarray(np.array([values], np.uint16))), channels=1)
    assert pixels[0, :, 0].tolist() == [value >> 8 for value in values]


def test_the_range_of_eight_bits_stays():
    encoded = encode(Image.fromarray(PIXELS // 2))
    np.testing.assert_array_equal(data.decode_image(encoded, sixteen_bit="range"), PIXELS // 2)


def test_sixteen_bits_of_a_portable_graymap():
    encoded = b"P5 3 1 65535\n" + np.array([0, 256, 65535], ">u2").tobytes()
    assert data.decode_image(encoded, channels=1).ravel().tolist() == [0, 1, 255]


def png_chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def deep_png(color_type, pixels):
    """A PNG of 16 bits, of the kinds that Pillow does not write."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


@pytest.mark.parametrize(("color_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_that_pillow_reads_by_the_higher_eight(color_type, channels):
    pixels = np.full((1, 2, channels), 4095)
    pixels[..., 3 if channels == 4 else 1 if channels == 2 else 0] = 65535
    if channels == 3:
        assert data.decode_image(deep_png(2, pixels))[0, 0].tolist() == [255, 15, 15]
        pixels[..., 0] = 4095
    with pytest.warns(UserWarning, match=NEARLY_BLACK):
        assert data.decode_image(deep_png(color_type, pixels))[0, 0].tolist() == [15, 15, 15]
    with pytest.raises(data.CorruptImageError, match="Pillow reads the higher 8 of its 16 bits on"):
        data.decode_image(deep_png(color_type, pixels), sixteen_bit="range")


def test_sixteen_bits_of_a_color_tiff():
    """Of a kind that Pillow does not write: one pixel, whose color lies behind the tags."""
    tags = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 3, 122), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 128), (277, 3, 1, 3), (278, 3, 1, 1), (279, 4, 1, 6)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    encoded = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    encoded += struct.pack("<6H", 16, 16, 16, 4095, 2048, 256)
    with pytest.warns(UserWarning, match=NEARLY_BLACK):
        assert data.decode_image(encoded)[0, 0].tolist() == [15, 8, 1]


@pytest.mark.usefixtures("unchecked")
def test_unknown_way_to_make_eight_bits():
    with pytest.raises(ValueError, match="sixteen_bit must be 'high' or 'range', got 'low'"):
        data.decode_image(encode(smooth(2, 2)), sixteen_bit="low")


def test_cmyk_jpeg():
    image = smooth(16, 24)
    pixels = data.decode_image(encode(image.convert("CMYK"), "JPEG", quality=100))
    assert np.abs(pixels.astype(int) - np.asarray(image)).max() < 12


UPRIGHT = np.asarray(smooth(16, 24))
OPTIONS = {
    "PNG": {},
    "JPEG": {"quality": 100, "subsampling": 0},
    "WEBP": {"lossless": True},
    "TIFF": {},
}


def turned(orientation):
    """What a camera stores of the upright picture."""
    # The tag says which sides of the picture the first row and column are: TIFF 6.0, page 36.
    stored = np.swapaxes(UPRIGHT, 0, 1) if orientation >= 5 else UPRIGHT
    stored = stored[::-1] if orientation in (3, 4, 6, 7) else stored
    stored = stored[:, ::-1] if orientation in (2, 3, 7, 8) else stored
    return Image.fromarray(np.ascontiguousarray(stored))


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def xmp_of(tag):
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        f'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" {tag}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def encode_with_xmp(image, kind, tag, **options):
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp_of(tag))
        return encode(image, kind, pnginfo=info, **options)
    return encode(image, kind, xmp=xmp_of(tag).encode(), **OPTIONS[kind], **options)


def assert_upright(encoded):
    decoded = data.decode_image(encoded)
    assert decoded.shape == UPRIGHT.shape
    assert np.abs(decoded.astype(int) - UPRIGHT).max() < 4


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_camera_held_any_way_up(kind):
    for orientation in range(1, 9):
        assert_upright(
            encode(turned(orientation), kind, exif=exif_of(orientation), **OPTIONS[kind])
        )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    "tag", ['tiff:Orientation="{}">', "tiff:Orientation='{}'>", "><tiff:Orientation> {}</tiff:O>"]
)
def test_orientation_in_xmp(kind, tag):
    for orientation in range(1, 9):
        assert_upright(encode_with_xmp(turned(orientation), kind, tag.format(orientation)))


def test_exif_goes_before_xmp():
    tag = 'tiff:Orientation="3">'
    assert_upright(encode_with_xmp(turned(6), "JPEG", tag, exif=exif_of(6)))
    assert_upright(encode_with_xmp(turned(1), "JPEG", tag, exif=exif_of(1)))
    assert_upright(encode_with_xmp(turned(3), "JPEG", tag, exif=Image.Exif()))


def test_exif_behind_the_pixels():
    """PNG allows it, and other programs write it there."""
    encoded = encode(turned(6))
    content = exif_of(6).tobytes().removeprefix(b"Exif\0\0")
    end = encoded.index(b"IEND") - 4
    assert_upright(encoded[:end] + png_chunk(b"eXIf", content) + encoded[end:])


@pytest.mark.parametrize("tag", ['tiff:Orientation="9">', 'tiff:Orientation="0">', ">"])
def test_orientation_in_xmp_that_is_none(tag):
    assert_upright(encode_with_xmp(turned(1), "PNG", tag))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
def test_damaged_orientation_is_passed_over(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = encode(smooth(16, 24), kind, exif=exif)
    start = {"JPEG": 0, "WEBP": encoded.rfind(b"EXIF"), "TIFF": 0}[kind]
    random = np.random.default_rng(0)
    decoded = 0
    for position in list(range(start, min(start + 250, len(encoded)))) * 2:
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


def test_size_and_type():
    shapes = ((12, 10), (12, 10, 1), (9, 13, 3), (1, 1, 4), (2, 33, 5))
    dtypes = (bool, np.uint8, np.int16, np.int64, np.float16, np.float64)
    sizes = ((1, 1), (5, 3), (3, 17), (31, 7), (40, 40))
    for shape, dtype, size in itertools.product(shapes, dtypes, sizes):
        image = RANDOM.integers(0, 2, shape).astype(dtype)
        for nearest in (True, False):
            resized = data.resize_and_crop(image, data.Preprocessing(size), nearest=nearest)
            case = (shape, dtype, size, nearest)
            assert (resized.shape, resized.dtype) == ((*size, *shape[2:]), dtype), case
            assert image.min() <= resized.min() <= resized.max() <= image.max(), case


def test_bilinear_is_that_of_jax():
    changes = (((12, 10), (6, 5)), ((9, 9), (30, 30)), ((64, 32), (10, 5)), ((8, 4), (6, 3)))
    cases = [
        (old + channels, new, channels)
        for old, new in changes
        for channels in ((), (1,), (3,), (4,))
    ]
    images = [
        np.random.default_rng(2).integers(0, 256, old).astype(np.uint8) for old, _, _ in cases
    ]

    @quick.jit
    def resize(images):
        return [
            jax.image.resize(image.astype(np.float32), (*new, *channels), "linear", antialias=True)
            for image, (_, new, channels) in zip(images, cases, strict=True)
        ]

    for image, wanted, (old, new, _) in zip(images, resize(images), cases, strict=True):
        resized = data.resize_and_crop(image, data.Preprocessing(new))
        assert np.abs(resized - np.asarray(wanted)).max() <= 1, (old, new)
        floats = data.resize_and_crop(image.astype(np.float32), data.Preprocessing(new))
        np.testing.assert_allclose(floats, wanted, atol=1e-3, err_msg=str((old, new)))


@pytest.mark.parametrize(
    ("old", "new"), [((13, 13), (6, 6)), ((9, 9), (30, 30)), ((61, 31), (10, 5))]
)
def test_nearest_is_that_of_pillow(old, new):
    image = np.random.default_rng(3).integers(0, 256, (*old, 3), dtype=np.uint8)
    expected = Image.fromarray(image).resize(new[::-1], Image.Resampling.NEAREST)
    np.testing.assert_array_equal(
        data.resize_and_crop(image, data.Preprocessing(new), nearest=True), expected
    )


def test_interpolation_that_overshoots_stays_within_the_type():
    image = 65535 * (np.indices((6, 6)).sum(0) % 2).astype(np.uint16)
    how = data.Preprocessing((17, 17), interpolation="bicubic")
    floats = data.resize_and_crop(image.astype(np.float32), how)
    assert (floats.min() < 0, floats.max() > 65535) == (True, True)
    resized = data.resize_and_crop(image, how).astype(np.float32)
    np.testing.assert_allclose(resized, floats.clip(0, 65535), atol=1)


def test_labels_of_any_size_survive():
    labels = np.array([[0, 2**40], [255, -7]], np.int64)
    resized = data.resize_and_crop(labels, data.Preprocessing((5, 9)), nearest=True)
    assert set(np.unique(resized)) == set(labels.ravel())


@pytest.mark.parametrize("nearest", [True, False])
def test_center_is_cut_out_and_the_aspect_ratio_kept(nearest):
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
