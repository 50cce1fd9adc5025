"""Messages that name the nearest match."""

import pytest

from jaxvision import data, models, train
from jaxvision.suggest import nearest, unknown


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("AdamW", "adamw"),
        ("CIFAR10", "cifar10"),
        ("cifar-10", "cifar10"),
        ("ResNet-18", "resnet_18"),
        ("resnt_18", "resnet_18"),
        ("whale", None),
    ],
)
def test_capitals_and_hyphens_make_no_difference(given: str, meant: str | None) -> None:
    assert nearest(given, ["adamw", "cifar10", "resnet_18"]) == meant


def test_names_of_other_libraries_lead_to_known_ones_only() -> None:
    elsewhere = {"resnetv2_50": "preact_resnet50", "gone": "not_here"}
    known = ["preact_resnet50", "resnet50"]
    assert nearest("resnetv2_50", known, elsewhere) == "preact_resnet50"
    assert nearest("resnet50", known, {"resnet50": "preact_resnet50"}) == "resnet50"
    assert nearest("gone", known, elsewhere) is None


def test_of_many_names_the_near_ones_are_listed() -> None:
    names = [f"{letter}{digit}" for letter in "abcdef" for digit in range(10)] + ["zebra"]
    message = unknown("animal", "zebar", names)
    assert message.startswith("unknown animal 'zebar'; did you mean 'zebra'? (known: zebra")
    assert message.endswith("more)")
    assert "a0" not in message


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ResNet50", "resnet50"),
        ("resnet50.a1_in1k", "resnet50"),
        ("timm/vit_base_patch16_224.augreg_in21k_ft_in1k", "vit_b_16"),
        ("mobilenetv3_large_100", "mobilenet_v3_large"),
        ("swin_tiny", "swin_t"),
        ("resnet20", "cifar_resnet20"),
        ("resnet", "resnet18"),
        ("vit_base", "vit_b_16"),
    ],
)
def test_a_model_is_found_by_its_name_in_timm(given: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        models.create_model(given)


def test_optimizers_and_data_sets_are_found_whatever_the_capitals(tmp_path) -> None:
    with pytest.raises(ValueError, match="did you mean 'adamw'"):
        train.create_optimizer("AdamW", 0.1)
    with pytest.raises(data.DatasetError, match="did you mean 'cifar100'"):
        data.load("CIFAR-100", "train", tmp_path)
    with pytest.raises(data.DatasetError, match="did you mean 'imagenet2012'"):
        data.load("ImageNet", "train", tmp_path)


@pytest.mark.parametrize("name", ["./pets/train", "two words", "pets.v2"])
def test_what_is_no_name_of_a_data_set_is_said_in_a_line(tmp_path, name: str) -> None:
    with pytest.raises(data.DatasetError, match="is not the name of a data set") as caught:
        data.load(name, "train", tmp_path)
    assert "\n" not in str(caught.value)
    assert "load_folder" in str(caught.value)


def test_an_unknown_configuration_names_those_there_are(tmp_path) -> None:
    with pytest.raises(data.DatasetError, match=r"configuration of coco '2071'.*'2017'") as caught:
        data.load("coco/2071", "train", tmp_path)
    assert "BuilderConfig" not in str(caught.value)
