from typing import Unpack

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models import registry


@pytest.fixture
def scratch(monkeypatch):
    """Lets a test register models that are gone after it."""
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))


def test_list_models():
    assert models.list_models("cifar_resnet?0") == ["cifar_resnet20"]
    assert models.list_models("no such model") == []
    names = models.list_models()
    assert names == sorted(names)
    assert {"linear_classifier", "mlp", "lenet5", "resnet18", "cifar_resnet110"} <= set(names)


def test_names_that_models_have_are_exported():
    for name in models.list_models():
        assert getattr(models, name).__name__ == name
        assert name in models.__all__


@pytest.mark.parametrize(
    ("name", "num_classes"), [("resnet50", 1000), ("lenet5", 10), ("cifar_resnet56", 10)]
)
def test_the_default_number_of_classes_is_the_models_own(name, num_classes):
    assert models.create_model(name).num_classes == num_classes
    assert models.create_model(name, num_classes=3).num_classes == 3


def test_unknown_model():
    with pytest.raises(ValueError, match=r"unknown model 'resnet81'; did you mean 'resnet18'\?"):
        models.create_model("resnet81")


def test_unknown_option():
    message = r"resnet18 option 'small_image'; did you mean 'small_images'\? \(known: .*axis_name"
    with pytest.raises(TypeError, match=message):
        models.create_model("resnet18", small_image=True)


def test_weights_come_from_elsewhere():
    with pytest.raises(TypeError, match=r"option 'pretrained' .*; models.load_pretrained makes"):
        models.create_model("resnet18", pretrained=True)


@pytest.mark.parametrize("name", [5, models.ResNet, None])
def test_what_is_no_name(name, unchecked):
    with pytest.raises(TypeError, match=r"name must be one of models.list_models\(\), got "):
        models.create_model(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18", {"small_images": "yes"}, r"small_images must be True or False, got 'yes'"),
        ("resnet18", {"small_images": 1}, r"small_images must be True or False, got 1"),
        ("resnet18", {"norm": "bacth"}, r"unknown norm 'bacth'; did you mean 'batch'\? .*group"),
        ("resnet18", {"norm": None}, r"norm must be a string, got None"),
        ("cifar_resnet20", {"norm": "none"}, r"unknown norm 'none'.*batch, group, instance, layer"),
        ("cifar_resnet20", {"activation": "rleu"}, r"unknown activation 'rleu'; .*'relu'"),
        ("mlp", {"activation": "Relu"}, r"unknown activation 'Relu'"),
        ("mlp", {"initializer": "he"}, r"unknown initializer 'he'.*he_normal"),
        ("mlp", {"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ("mlp", {"dropout": "a lot"}, r"dropout must be a number, got 'a lot'"),
        ("mlp", {"hidden_sizes": (10, 0)}, r"hidden_sizes must be 1 or more each, got \(10, 0\)"),
        ("mlp", {"hidden_sizes": 10}, r"hidden_sizes must be a list or tuple, got 10"),
        ("mlp", {"hidden_sizes": (10, 2.5)}, r"mlp: hidden_sizes\[1\] must be an integer, got 2.5"),
        ("lenet5", {"pooling": "mean"}, r"unknown pooling 'mean'.*average, max"),
        ("lenet5", {"original": True, "pooling": "average"}, r"original=True has .* own"),
        (
            "resnet18",
            {"num_classes": 0},
            r"model's num_classes must be 1 or more, got 0; .* 'label'",
        ),
        ("resnet18", {"num_classes": True}, r"num_classes must be an integer, got True"),
        ("resnet18", {"in_channels": 0}, r"in_channels must be 1 or more, or None, got 0"),
        ("resnet18", {"dtype": "int32"}, r"dtype must be a floating-point .* got 'int32'"),
        ("resnet18", {"dtype": "bfloat17"}, r"dtype must be a floating-point .* got 'bfloat17'"),
    ],
)
def test_values_that_are_not_allowed(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.create_model(name, **options)


@pytest.mark.parametrize("dtype", ["bfloat16", jnp.bfloat16, jnp.dtype("bfloat16")])
def test_the_forms_of_a_dtype_make_equal_models(dtype):
    model = models.create_model("resnet18", dtype=dtype)
    assert model == models.create_model("resnet18", dtype="bfloat16")
    assert models.resnet18(dtype=dtype) == models.resnet18(dtype="bfloat16")


def test_numbers_of_numpy_are_described_as_pythons():
    model = models.create_model("mlp", hidden_sizes=[np.int32(8), 4], dropout=np.float32(0.5))
    description = models.describe(model)
    assert description["hidden_sizes"] == [8, 4]
    assert [type(size) for size in description["hidden_sizes"]] == [int, int]
    assert type(description["dropout"]) is float
    assert models.create_model(**description) == model


def test_description_has_every_option():
    assert models.describe(models.create_model("resnet18", num_classes=10, small_images=True)) == {
        "name": "resnet18",
        "num_classes": 10,
        "in_channels": None,
        "dtype": None,
        "small_images": True,
        "output_stride": None,
        "dilate_first": False,
        "zero_init_residual": False,
        "channels": 64,
        "norm": "batch",
        "activation": "relu",
        "axis_name": None,
    }


def test_a_model_of_other_make_has_no_description():
    with pytest.raises(ValueError, match=r"this ResNet was not made by create_model"):
        models.describe(models.resnet18())


def test_a_changed_clone_has_no_description():
    model = models.create_model("lenet5")
    assert models.describe(model.clone()) == models.describe(model)
    with pytest.raises(ValueError, match=r"this LeNet5 no longer is what create_model"):
        models.describe(model.clone(pooling="average"))


def test_register(scratch):
    def tiny(*, num_classes=2, in_channels=None, dtype=None, width=3):
        return models.mlp(
            num_classes=num_classes, in_channels=in_channels, dtype=dtype, hidden_sizes=(width,)
        )

    assert models.register(tiny) is tiny
    model = models.create_model("tiny", width=4)
    assert model.hidden_sizes == (4,)
    assert models.describe(model)["width"] == 4
    assert "tiny" in models.list_models()


def test_register_by_a_typed_dict(scratch):
    """The options are the fields that the dict names, with the model class's defaults."""

    class Options(models.ModelOptions, total=False):
        norm: str

    def tiny(**options: Unpack[Options]) -> models.CifarResNet:
        return models.CifarResNet(stage_sizes=(1, 1, 1), **options)

    models.register(tiny)
    model = models.create_model("tiny", norm="group")
    assert (model.stage_sizes, model.norm, model.num_classes) == ((1, 1, 1), "group", 10)
    assert models.describe(model) == {
        "name": "tiny",
        "num_classes": 10,
        "in_channels": None,
        "dtype": None,
        "norm": "group",
    }
    with pytest.raises(TypeError, match=r"unknown tiny option 'activation' \(known: dtype"):
        models.create_model("tiny", activation="relu")


def test_a_name_belongs_to_the_module_that_took_it(scratch):
    models.register(models.resnet18)

    def resnet18(*, num_classes=2, in_channels=None, dtype=None):
        return models.mlp()

    with pytest.raises(ValueError, match=r"'resnet18' is already registered by jaxvision"):
        models.register(resnet18)


def test_a_builder_has_keyword_options_with_defaults(scratch):
    def positional(num_classes=2, *, in_channels=None, dtype=None):
        return models.mlp()

    def required(*, num_classes, in_channels=None, dtype=None):
        return models.mlp()

    def incomplete(*, num_classes=2, in_channels=None):
        return models.mlp()

    for builder, message in [
        (positional, "num_classes=2 must be keyword-only with a default"),
        (required, "num_classes must be keyword-only with a default"),
        (incomplete, "incomplete must take dtype, as every model does"),
    ]:
        with pytest.raises(TypeError, match=message):
            models.register(builder)
