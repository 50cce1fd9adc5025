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


QUICK = ("lenet5", "linear_classifier", "resnet18")
FAMILIES = (
    *("alexnet", "cifar_resnet20", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet"),
    *("inception_resnet_v1", "inception_v3", "mixer_b_16", "mlp", "mobilenet_v1", "mobilenet_v2"),
    *("mobilenet_v3_small", "preact_resnet18", "resnext50_32x4d", "se_resnet50", "swin_t"),
    *("shufflenet_v1_g1", "shufflenet_v2_x0_5", "squeezenet1_0", "vgg11", "vit_ti_16"),
    *("wrn_28_2", "xception", "zfnet"),
)


@pytest.mark.parametrize("name", quick.only(models.list_models(), *QUICK, slow=FAMILIES))
def test_rows_are_what_the_registry_says(name, make_models):
    """To be mended by  python docs/make_models.py."""
    assert make_models.row(name) in ROWS
