"""The picture of a batch."""

import numpy as np
import pytest
from PIL import Image

from jaxvision import data, plots, train
from jaxvision.train import batch_picture

RNG = np.random.default_rng(0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    figures: list = []
    real = plots.save

    def save(figure, path) -> None:
        figures.append(figure)
        real(figure, path)

    monkeypatch.setattr(plots, "save", save)
    return figures


def test_images_have_their_labels_and_their_own_colors(tmp_path, drawn: list) -> None:
    images = np.full((3, 4, 4, 1), 51, np.uint8)
    pets = data.from_arrays(
        {"image": images, "label": np.array([0, 1, 1])}, class_names=["cat", "dog"], name="pets"
    )
    path = train.draw_batch(tmp_path, pets, train.Inputs(mean=(0.5,), std=(0.25,)))
    assert path == tmp_path / "figures" / "batch.png"
    with Image.open(path) as image:
        assert image.size[0] > 100
    (figure,) = drawn
    assert sorted(axes.get_title() for axes in figure.axes) == ["cat", "dog", "dog"]
    assert figure.get_suptitle().startswith("pets/all: training images, as the model sees them")
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(np.asarray(shown).ravel()[:3], 0.2, atol=1e-6)


def test_mixed_labels_are_written_as_shares(tmp_path, drawn: list) -> None:
    images = RNG.integers(0, 255, (8, 4, 4, 3)).astype(np.uint8)
    pets = data.from_arrays(
        {"image": images, "label": np.arange(8) % 2}, class_names=["cat", "dog"]
    )
    mixing = train.Inputs(augment=data.augment.mixup(1.0, num_classes=2))
    train.draw_batch(tmp_path, pets, mixing)
    (figure,) = drawn
    assert any("%" in axes.get_title() for axes in figure.axes)
    assert "augmented" in figure.get_suptitle()


def test_masks_lie_beside_their_images(tmp_path, drawn: list) -> None:
    masks = RNG.integers(0, 2, (2, 4, 4)).astype(np.uint8)
    fields = {"mask": data.Field("mask", ("tissue", "tumor"))}
    images = RNG.uniform(size=(2, 4, 4, 5)).astype(np.float32)
    scans = data.from_arrays({"image": images, "mask": masks}, fields=fields)
    assert train.draw_batch(tmp_path, scans, train.Inputs()) is not None
    (figure,) = drawn
    assert [axes.get_title() for axes in figure.axes] == ["image 0", "its mask"] * 1 + [
        "image 1",
        "its mask",
    ]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["tissue", "tumor"]


def test_volumes_have_no_picture(tmp_path) -> None:
    volumes = data.from_arrays({"image": np.zeros((2, 3, 4, 4, 1), np.float32)})
    assert train.draw_batch(tmp_path, volumes, train.Inputs()) is None
    assert not (tmp_path / "figures").exists()


def test_a_label_in_words() -> None:
    names = ("cat", "dog", "owl")
    assert batch_picture.label_in_words(np.int64(2), names) == "owl"
    assert batch_picture.label_in_words(np.int64(-1), names) == "no label"
    assert batch_picture.label_in_words(np.array([0.999, 0.001, 0.0]), names) == "cat"
