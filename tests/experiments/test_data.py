"""Data sets that the scripts of classification take."""

import functools
import importlib
import types
from collections.abc import Iterator

import numpy as np
import pytest
from scripts import EXPERIMENTS, modules_of_scripts

from jaxvision import data
from jaxvision.data.builders.shapes import ShapesConfig


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    with modules_of_scripts():
        importlib.import_module("common.masks")
        yield importlib.import_module("common")


def test_boxes_masks_and_captions_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    small = ShapesConfig(size=(32, 32), num_scenes=(3, 2, 2))
    monkeypatch.setattr(data, "load", functools.partial(data.load, config=small))
    monkeypatch.syspath_prepend(EXPERIMENTS)
    with modules_of_scripts():
        settings = importlib.import_module("common.data").Data(dataset="shapes", image_size=None)
        learned, held_out = settings.load_splits(seed=0)
    assert (len(learned), len(held_out)) == (3, 2)
    assert sorted(learned[0]) == ["image", "label"]
    assert learned.num_classes == 3


def test_channels_of_a_data_set_are_converted(common: types.ModuleType) -> None:
    gray = common.data.Data(image_size=None).load("test")
    assert gray.image_shape == (8, 8, 1)
    for channels in (3, 4):
        converted = common.data.Data(image_size=None, channels=channels).load("test")
        assert converted.image_shape == (8, 8, channels)
        for channel in range(3):
            np.testing.assert_array_equal(
                converted[0]["image"][..., channel], gray[0]["image"][..., 0]
            )
    assert (converted[0]["image"][..., 3] == 255).all()


def test_channels_of_images_with_masks_are_converted(
    common: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ShapesConfig(size=(32, 32), num_scenes=(3, 2, 2))
    monkeypatch.setattr(data, "load", functools.partial(data.load, config=small))
    color, gray = (common.masks.MaskData(channels=count).load("test") for count in (None, 1))
    assert (color.image_shape, gray.image_shape) == ((32, 32, 3), (32, 32, 1))
    luma = color[0]["image"] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(gray[0]["image"][..., 0], luma, atol=1)
    np.testing.assert_array_equal(gray[0]["mask"], color[0]["mask"])


def test_images_that_cannot_be_converted_are_refused(common: types.ModuleType) -> None:
    convert = common.data.with_channels(lambda example: example, 3)
    with pytest.raises(
        SystemExit, match=r"--channels 3 converts .* have uint8 of shape \(4, 4, 2\)"
    ):
        convert({"image": np.zeros((4, 4, 2), np.uint8)})
