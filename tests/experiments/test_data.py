"""Data sets that the scripts of classification take."""

import functools
import importlib

import pytest
from scripts import EXPERIMENTS, modules_of_scripts

from jaxvision import data
from jaxvision.data.builders.shapes import ShapesConfig


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
