"""The table of all models says what they are."""

import importlib.util
import pathlib

import pytest
import quick

from jaxvision import models

DOCS = pathlib.Path(__file__).parent.parent / "docs"
ROWS = (DOCS / "models.md").read_text().partition("| --- |")[2].splitlines()[1:]


@pytest.fixture(scope="module")
def make_models():
    """The script that writes the page."""
    spec = importlib.util.spec_from_file_location("make_models", DOCS / "make_models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_model_has_a_row(make_models):
    assert [row.split("`")[1] for row in ROWS] == models.list_models()
    assert (DOCS / "models.md").read_text().startswith(make_models.HEAD)


QUICK = ("alexnet", "lenet5", "linear_classifier", "resnet18", "shufflenet_v2_x0_5", "vgg11")


@pytest.mark.parametrize("name", quick.only(models.list_models(), *QUICK))
def test_rows_are_what_the_registry_says(name, make_models):
    """To be mended by  python docs/make_models.py."""
    assert make_models.row(name) in ROWS
