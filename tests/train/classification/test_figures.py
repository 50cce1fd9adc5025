"""The figures of a run folder, also where there is little to show."""

import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image

from jaxvision import data, plots
from jaxvision.train import classification
from jaxvision.train.run.log import MetricsLog


def dataset(labels: list[int]) -> data.Dataset:
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((4, 4, 1))
    return data.from_arrays(
        {"image": images.astype(np.uint8), "label": np.array(labels)}, class_names=["cat", "dog"]
    )


def predictions(classes: list[int], labels: list[int]) -> classification.Predictions:
    logits = 5 * np.eye(2, dtype=np.float32)[classes]
    return classification.Predictions(logits, np.array(labels), np.arange(len(labels)))


@pytest.mark.parametrize("classes", [[0, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 1]])
def test_all_right_some_wrong_all_wrong(tmp_path: pathlib.Path, classes: list[int]) -> None:
    log = MetricsLog(tmp_path, step=0)
    log.write(1, "train", {"loss": 1.0})
    log.close()
    labels = [0, 1, 1, 0]
    paths = classification.draw(tmp_path, predictions(classes, labels), dataset(labels))
    of_data = [f"arrays_all/{name}" for name in ("confusion_matrix", "mistakes", "reliability")]
    names = ["learning_curves", *of_data]
    assert paths == [tmp_path / "figures" / f"{name}.png" for name in names]
    for path in paths:
        with Image.open(path) as image:
            image.verify()


def test_without_a_log_there_are_no_curves(tmp_path: pathlib.Path) -> None:
    paths = classification.draw(tmp_path, predictions([0, 1], [0, 1]), dataset([0, 1]))
    assert "learning_curves.png" not in [path.name for path in paths]


def test_figures_of_one_split_leave_those_of_another(tmp_path: pathlib.Path, monkeypatch) -> None:
    """They lie apart, and their titles name the data."""
    titles = []
    monkeypatch.setattr(
        plots, "save", lambda figure, path: titles.append((path.parent.name, figure.get_suptitle()))
    )
    for split in ("test", "train[:10%]"):
        given = dataclasses.replace(dataset([0, 1]), name="pets", split=split)
        classification.draw(tmp_path, predictions([1, 1], [0, 1]), given)
    files = "pets_test", "pets_train(-10pct)"
    named = "pets/test", "pets/train[:10%]"
    assert [file for file, _ in titles] == [file for file in files for _ in range(3)]
    for number, (_, title) in enumerate(titles):
        assert title.startswith(f"{named[number // 3]}: ")
    assert titles[1][1] == "pets/test: 1 mistake in 2 images"


def test_mistakes_show_their_own_images(tmp_path: pathlib.Path, monkeypatch) -> None:
    """Where an image could not be decoded, its row is missing among the predictions."""
    for index in range(6):
        folder = tmp_path / "pets" / ("cat" if index < 3 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 40 * index).save(folder / f"{index}.png")
    (tmp_path / "pets" / "cat" / "1.png").write_bytes(b"damaged")
    pets = data.load_folder(tmp_path / "pets", channels=1, in_memory=False, corrupt="skip")
    shown = []
    draw = plots.images.image_grid

    def spy(images, *arguments, **options):
        shown.extend(int(image[0, 0, 0]) for image in images)
        return draw(images, *arguments, **options)

    monkeypatch.setattr(plots.images, "image_grid", spy)
    with pets.batches(3, shuffle=False, epochs=1) as batches:
        kept = np.concatenate([batch["weight"] > 0 for batch in batches])
    given = predictions([1, 0, 1, 0, 1], [0, 0, 1, 1, 1])._replace(indices=np.flatnonzero(kept))
    classification.draw(tmp_path / "run", given, pets)
    assert sorted(shown) == [0, 160]
