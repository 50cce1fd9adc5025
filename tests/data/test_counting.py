"""How many examples or pixels there are of each class."""

import numpy as np
import pytest
from PIL import Image

from jaxvision import data, losses


def arrays(labels: list[int]) -> data.Dataset:
    images = np.zeros((len(labels), 4, 4, 1), np.uint8)
    return data.from_arrays({"image": images, "label": np.array(labels)}, class_names=list("abcd"))


def test_examples_of_each_class_are_counted() -> None:
    assert data.class_counts(arrays([0, 2, 2, -1])).tolist() == [1, 0, 2, 0]


def test_labels_of_folders_are_known_without_reading_images(tmp_path) -> None:
    for kind, count in (("cat", 1), ("dog", 2)):
        (tmp_path / kind).mkdir()
        for number in range(count):
            Image.new("RGB", (4, 4)).save(tmp_path / kind / f"{number}.png")
    streamed = data.load_folder(tmp_path, in_memory=False)
    assert data.counts_are_known(streamed)
    for file in tmp_path.rglob("1.png"):
        file.write_bytes(b"")
    assert data.class_counts(streamed).tolist() == [1, 2]


def test_pixels_of_each_class_are_counted() -> None:
    masks = np.array([[[0, 1], [1, 255]], [[1, 1], [0, 0]]], np.uint8)
    images = np.zeros((2, 2, 2, 1), np.uint8)
    scans = data.from_arrays({"image": images, "mask": masks})
    assert data.class_counts(scans, "mask").tolist() == [3, 4]
    assert data.counts_are_known(scans, "mask")


def test_a_field_without_classes_cannot_be_counted() -> None:
    with pytest.raises(data.DatasetError, match="unknown field 'labels'; did you mean 'label'"):
        data.class_counts(arrays([0]), "labels")
    with pytest.raises(data.DatasetError, match="image has the kind image"):
        data.class_counts(arrays([0]), "image")


def test_balanced_weights_make_every_class_count_alike() -> None:
    counts = np.array([90, 0, 10])
    weights = losses.balanced_weights(counts)
    np.testing.assert_allclose(weights * counts, [50, 0, 50])
    assert weights[1] == 0
    for wrong in ([], [0, 0], [-1, 2]):
        with pytest.raises(ValueError, match="counts must be one number per class"):
            losses.balanced_weights(wrong)
