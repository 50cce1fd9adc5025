"""Mistakes, by their files."""

import numpy as np
import pytest
from PIL import Image

from jaxvision import data, plots
from jaxvision.train import classification

LOGITS = np.log(np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.4, 0.6]], np.float32))


@pytest.fixture
def pets(tmp_path) -> data.Dataset:
    for kind, count in (("cat", 3), ("dog", 2)):
        (tmp_path / kind).mkdir()
        for number in range(count):
            Image.new("RGB", (4, 4), (50 * number, 0, 0)).save(tmp_path / kind / f"{number}.png")
    return data.load_folder(tmp_path)


def test_mistakes_name_their_files_and_come_the_most_confident_first(pets: data.Dataset) -> None:
    predictions = classification.Predictions(LOGITS, np.array([0, 0, 0, 1]), np.array([0, 1, 2, 4]))
    found = classification.mistakes(predictions, pets)
    assert [tuple(each) for each in found] == [
        ("cat/2.png", "cat", "dog", pytest.approx(0.8, abs=1e-5)),
        ("cat/1.png", "cat", "dog", pytest.approx(0.7, abs=1e-5)),
    ]


def test_parts_of_a_folder_keep_the_names_of_their_files(pets: data.Dataset) -> None:
    rest, held_out = data.split(pets, 0.4, seed=1)
    names = [*rest.file_names, *held_out.file_names]
    assert sorted(names) == sorted(pets.file_names)
    dogs = data.subset(pets, classes=["dog"])
    assert dogs.file_names == ("dog/0.png", "dog/1.png")
    for part in (rest, held_out, dogs):
        for index, name in enumerate(part.file_names):
            assert part[index]["image"][0, 0, 0] == 50 * int(name.split("/")[1][0])


def test_data_without_files_have_places_and_labels_may_be_missing() -> None:
    arrays = data.from_arrays({"image": np.zeros((4, 4, 4, 1)), "label": np.array([0, 0, 1, -1])})
    predictions = classification.Predictions(LOGITS, np.array([0, 0, 1, -1]), np.arange(4))
    (found,) = classification.mistakes(predictions, arrays)
    assert found[:3] == ("1", "0", "1")


def test_the_figure_shows_the_names_of_files() -> None:
    images = np.zeros((2, 4, 4, 1), np.uint8)
    figure = plots.mistakes(images, [0, 1], [0, 0], [0.9, 0.6], file_names=["a.png", "b.png"])
    assert [axes.get_title() for axes in figure.axes] == ["b.png\ntrue 1\npredicted 0 (60.0%)"]
    with pytest.raises(ValueError, match="2 images need as many file names, got 1"):
        plots.mistakes(images, [0, 1], [0, 0], [0.9, 0.6], file_names=["a.png"])
