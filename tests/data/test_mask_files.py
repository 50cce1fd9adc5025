"""Masks in files, read and written."""

import itertools
import pathlib

import numpy as np
import pytest
from PIL import Image

from jaxvision import data

RNG = np.random.default_rng(0)
MASK = RNG.integers(0, 256, (37, 23)).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (Image.new("L", (8, 6), 7), {"classes": {0: 0, 1: 1}}, "has 7 at row 0, column 0, which"),
        (
            Image.new("RGB", (8, 6), (1, 2, 3)),
            {},
            r"has colors \(Pillow's mode RGB\): give classes={\(red, green, blue\): class}",
        ),
        (
            Image.new("RGB", (8, 6), (1, 2, 3)),
            {"classes": {(0, 0, 0): 0}},
            r"has \(1, 2, 3\) at row 0",
        ),
        (
            Image.fromarray(np.full((6, 8), 300, np.uint16)),
            {},
            "has the value 300, and classes go up to 254",
        ),
    ],
)
def test_values_that_are_no_class(tmp_path, image, options, message) -> None:
    image.save(tmp_path / "0.png")
    with pytest.raises(data.DatasetError, match=f"0.png {message}"):
        data.read_mask(tmp_path / "0.png", **options)


def test_files_that_are_no_mask(tmp_path) -> None:
    Image.new("L", (8, 6)).save(tmp_path / "0.jpg")
    with pytest.raises(data.DatasetError, match=r"0\.jpg is a JPEG, which does not keep classes"):
        data.read_mask(tmp_path / "0.jpg")
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    with pytest.raises(data.CorruptImageError, match=r"cannot decode .*1\.png"):
        data.read_mask(tmp_path / "1.png")


@pytest.mark.parametrize("mask", [MASK, MASK[:1, :1], np.zeros((3, 5), np.uint8), MASK.T])
@pytest.mark.parametrize("as_name", [str, pathlib.Path])
def test_what_is_written_is_read_back(tmp_path, mask, as_name) -> None:
    path = as_name(tmp_path / "mask.PNG")
    data.write_mask(path, mask)
    read = data.read_mask(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask)
    with Image.open(path) as image:
        shown = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(shown, data.mask_colors(256)[mask])


@pytest.mark.parametrize("colors", [[(1, 2, 3), (4, 5, 6)], np.uint8([[1, 2, 3], [4, 5, 6]])])
def test_colors_that_are_given(tmp_path, colors) -> None:
    mask = np.uint8([[0, 1, 255]])
    data.write_mask(tmp_path / "mask.png", mask, colors)
    np.testing.assert_array_equal(data.read_mask(tmp_path / "mask.png"), mask)
    by_color = {(1, 2, 3): 1, (4, 5, 6): 0, (255, 255, 255): 255}
    np.testing.assert_array_equal(data.read_mask(tmp_path / "mask.png", by_color), [[1, 0, 255]])


def test_all_values_may_have_a_color(tmp_path) -> None:
    colors = np.arange(768).reshape(256, 3).astype(np.uint8)
    data.write_mask(tmp_path / "mask.png", np.uint8([[254, 255]]), colors)
    with Image.open(tmp_path / "mask.png") as image:
        assert np.asarray(image.convert("RGB")).tolist() == colors[None, 254:].tolist()


def test_a_mask_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    path = tmp_path / "mask.png"
    data.write_mask(path, MASK)
    kept = path.read_bytes()
    save = Image.Image.save

    def fail(image, file, *args, **options) -> None:
        save(image, file, *args, **options)
        raise OSError("no space left")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        data.write_mask(path, np.zeros_like(MASK))
    assert path.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "mask", "colors", "message"),
    [
        ("mask.jpg", MASK, None, "the name must end in .png, got .*mask.jpg"),
        ("mask", MASK, None, "the name must end in .png"),
        ("mask.png", MASK.astype(int), None, r"must be uint8 .* got int64 of shape \(37, 23\)"),
        ("mask.png", MASK[None], None, r"got uint8 of shape \(1, 37, 23\)"),
        ("mask.png", MASK[:0], None, r"got uint8 of shape \(0, 23\)"),
        ("mask.png", np.uint8([[2, 255]]), [(0, 0, 0)] * 2, "the class 2, .* colors of 2 classes"),
        ("mask.png", MASK, [], "from 0 to 255 of 1 to 256 classes, got"),
        ("mask.png", MASK, [(0, 0, 256)], "from 0 to 255 of 1 to 256 classes, got"),
        ("mask.png", MASK, [(0, 0.5, 0)], "from 0 to 255 of 1 to 256 classes, got"),
        ("mask.png", MASK, [(0, 0)], "from 0 to 255 of 1 to 256 classes, got"),
    ],
)
def test_what_cannot_be_written(unchecked, tmp_path, name, mask, colors, message) -> None:
    with pytest.raises(ValueError, match=message):
        data.write_mask(tmp_path / name, mask, colors)
    assert list(tmp_path.iterdir()) == []


def test_colors_are_different_and_stay_the_same() -> None:
    colors = data.mask_colors(256).astype(int)
    assert colors[0].tolist() == [0, 0, 0]
    assert colors[1].tolist() == [0, 114, 178]
    assert colors[255].tolist() == [255, 255, 255]
    assert len(set(map(tuple, colors.tolist()))) == 256
    for count in (1, 7, 21, 255):
        np.testing.assert_array_equal(data.mask_colors(count), colors[:count])
    for count, least in ((21, 65), (64, 60), (256, 32)):
        pairs = itertools.combinations(colors[:count], 2)
        assert min(np.linalg.norm(one - other) for one, other in pairs) >= least


@pytest.mark.parametrize("count", [0, -1, 257])
def test_there_are_256_colors(count) -> None:
    with pytest.raises(ValueError, match=f"colors of 1 to 256 classes, got {count}"):
        data.mask_colors(count)
