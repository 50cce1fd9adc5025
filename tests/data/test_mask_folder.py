"""Folders of images and masks."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from jaxvision import data

RNG = np.random.default_rng(0)
CLASSES = RNG.integers(0, 3, (5, 6, 8)).astype(np.uint8)
COLORS = {0: (0, 0, 0), 1: (128, 64, 128), 2: (70, 70, 70)}
NAMES = ("road", "car", "sky")


def save(folder: pathlib.Path, values: np.ndarray, kind: str) -> None:
    """Masks of one kind, with the same classes in them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, classes in enumerate(values):
        if kind == "color":
            image = Image.fromarray(np.array([*COLORS.values()], np.uint8)[classes])
        elif kind == "palette":
            image = Image.frombytes("P", classes.shape[::-1], classes.tobytes())
            image.putpalette([value for color in COLORS.values() for value in color])
        elif kind == "deep":
            image = Image.fromarray(classes.astype(np.uint16))
        else:
            image = Image.fromarray(classes)
        place = folder / ("deeper" if number == 4 else "") / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        image.save(place)


@pytest.fixture
def images(tmp_path) -> pathlib.Path:
    folder = tmp_path / "images"
    for number in range(5):
        place = folder / ("deeper" if number == 4 else "") / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (50 * number, 0, 0)).save(place)
    return folder


@pytest.mark.parametrize("kind", ["gray", "palette", "deep", "color"])
def test_masks_of_every_kind(images, tmp_path, kind) -> None:
    save(tmp_path / "masks", CLASSES, kind)
    table = {color: number for number, color in COLORS.items()} if kind == "color" else None
    dataset = data.load_masks(images, tmp_path / "masks", class_names=NAMES, classes=table)
    assert len(dataset) == 5
    assert dataset.fields["mask"] == data.Field("mask", NAMES)
    assert dataset.examples["mask"].dtype == np.uint8
    np.testing.assert_array_equal(dataset.examples["mask"], CLASSES)
    red = dataset.examples["image"][:, 0, 0, 0].astype(int)
    assert np.abs(red - 50 * np.arange(5)).max() < 3
    assert dataset.file_names == ("0.jpg", "1.jpg", "2.jpg", "3.jpg", "deeper/4.jpg")


def test_values_are_translated_and_255_is_none(images, tmp_path) -> None:
    save(tmp_path / "masks", CLASSES * 100, "gray")
    table = {0: 255, 100: 0, 200: 1}
    dataset = data.load_masks(images, tmp_path / "masks", class_names=NAMES[:2], classes=table)
    expected = np.array([255, 0, 1], np.uint8)[CLASSES]
    np.testing.assert_array_equal(dataset.examples["mask"], expected)


def test_masks_of_other_names_and_parts(images, tmp_path) -> None:
    save(tmp_path / "masks", CLASSES, "gray")
    for path in list((tmp_path / "masks").rglob("*.png")):
        path.rename(path.with_name(f"{path.stem}_labels.png"))
    parts = [
        data.load_masks(
            images, tmp_path / "masks", mask_of=lambda name: f"{name}_labels", split=split
        )
        for split in ("all[:40%]", "all[40%:]")
    ]
    assert [len(part) for part in parts] == [2, 3]
    together = np.concatenate([part.examples["mask"] for part in parts])
    assert sorted(map(bytes, together)) == sorted(map(bytes, CLASSES))


def test_masks_are_resized_by_the_nearest_pixel(images, tmp_path) -> None:
    save(tmp_path / "masks", CLASSES, "gray")
    dataset = data.load_masks(images, tmp_path / "masks", image_size=(12, 16))
    assert dataset.image_shape == (12, 16, 3)
    np.testing.assert_array_equal(
        dataset.examples["mask"], CLASSES.repeat(2, axis=1).repeat(2, axis=2)
    )


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (
            lambda masks: Image.new("L", (8, 5)).save(masks / "2.png"),
            {},
            r"masks/2.png is 5x8 pixels \(height x width\), and its image .*images/2.jpg is 6x8",
        ),
        (lambda masks: (masks / "1.png").unlink(), {}, r"no mask called 1 \(of .*images/1.jpg\)"),
        (
            lambda masks: Image.new("L", (8, 6)).save(masks / "9.png"),
            {},
            "no image for .*masks/9.png, and for 0 more",
        ),
        (
            lambda masks: Image.new("L", (8, 6)).save(masks / "3.bmp"),
            {},
            "3.bmp and .*3.png have one name",
        ),
        (
            lambda masks: Image.new("L", (8, 6), 7).save(masks / "2.png"),
            {"class_names": NAMES},
            "2.png has the class 7 at row 0, column 0, and there are 3",
        ),
        (
            lambda masks: (masks / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing"),
            {},
            "cannot decode .*masks/0.png",
        ),
    ],
)
def test_what_is_wrong_names_the_file(images, tmp_path, spoil, options, message) -> None:
    save(tmp_path / "masks", CLASSES, "gray")
    spoil(tmp_path / "masks")
    with pytest.raises(data.DatasetError, match=message):
        data.load_masks(images, tmp_path / "masks", **options)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "keys of classes must be gray values or colors"),
        ({0: 0, (1, 2, 3): 1}, "gray values or colors, one or more, not both"),
        ({0: 3}, "classes gives 0 the class 3, and classes are 0 to 2, or 255 for none"),
        ({(0, 0, 0): -1}, r"gives \(0, 0, 0\) the class -1"),
    ],
)
def test_tables_that_are_not_allowed(images, table, message) -> None:
    with pytest.raises(ValueError, match=message):
        data.load_masks(images, images, class_names=NAMES, classes=table)


def test_folders_that_are_not_there(images, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(data.DatasetError, match=r"there is no folder .*nowhere"):
        data.load_masks(tmp_path / "nowhere", images)
    with pytest.raises(data.DatasetError, match="empty has no image"):
        data.load_masks(tmp_path / "empty", tmp_path / "empty")


def test_images_that_cannot_be_decoded_may_be_left_out(images, tmp_path) -> None:
    save(tmp_path / "masks", CLASSES, "gray")
    (images / "1.jpg").write_bytes(b"\xff\xd8\xff and then nothing")
    with pytest.warns(UserWarning, match="1 of 5"):
        dataset = data.load_masks(images, tmp_path / "masks", corrupt="skip")
    np.testing.assert_array_equal(dataset.examples["mask"], CLASSES[[0, 2, 3, 4]])


def test_data_are_called_as_the_folder_around_images_and_masks(tmp_path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "scans" / "train" / folder).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "scans" / "train" / folder / "1.png")
    place = tmp_path / "scans" / "train"
    dataset = data.load_masks(place / "images", place / "masks")
    assert (dataset.name, dataset.split) == ("scans", "train")
