"""Folders of images without classes."""

import numpy as np
import pytest
from PIL import Image

from jaxvision import data


@pytest.fixture
def photos(tmp_path):
    """Images of 4x3 pixels whose value is their number: three in the folder, one deeper inside."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, place in enumerate(("a.png", "b.png", "c.png", "more/d.png")):
        Image.fromarray(np.full((4, 3), number, np.uint8)).save(folder / place)
    (folder / "notes.txt").write_text("no image")
    return folder


def values(dataset: data.Dataset) -> list[int]:
    return [int(dataset[index]["image"][0, 0, 0]) for index in range(len(dataset))]


@pytest.mark.parametrize("in_memory", [False, True])
def test_images_at_any_depth_are_read_without_labels(photos, in_memory):
    dataset = data.load_images(photos, channels=1, in_memory=in_memory)
    assert (dataset.name, dataset.split, dataset.class_names) == ("photos", "all", ())
    assert dataset.file_names == ("a.png", "b.png", "c.png", "more/d.png")
    assert values(dataset) == [0, 1, 2, 3]
    assert list(dataset[0]) == ["image"]
    batch = next(iter(dataset.batches(2, seed=0)))
    assert batch["image"].shape == (2, 4, 3, 1)
    assert "label" not in batch


def test_splits_and_parts(photos):
    assert values(data.load_images(photos, split="more")) == [3]
    assert values(data.load_images(photos, split="photos")) == [0, 1, 2, 3]
    parts = [values(data.load_images(photos, split=part)) for part in ("all[:50%]", "all[50%:]")]
    assert [len(part) for part in parts] == [2, 2]
    assert sorted(parts[0] + parts[1]) == [0, 1, 2, 3]


def test_what_is_missing_is_said(photos, tmp_path):
    with pytest.raises(data.SplitError, match=r"unknown photos split 'test'"):
        data.load_images(photos, split="test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(data.DatasetError, match=r"empty holds no images: files with a suffix"):
        data.load_images(tmp_path / "empty")
    with pytest.raises(data.DatasetError, match="nowhere"):
        data.load_images(tmp_path / "nowhere")
