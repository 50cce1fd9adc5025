"""Weights that fit, that are adapted, and that do not fit."""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxvision import models
from jaxvision._trees import by_path
from jaxvision.models import layers
from jaxvision.models.weights.names import (
    CONV_AS_DENSE,
    DENSE_AS_CONV,
    Constant,
    Form,
    Rule,
    TorchNames,
    after_flatten,
    with_axes,
)

RANDOM = np.random.default_rng(0)


class Tiny(models.Model, kw_only=True):
    """A stem, a token, and a head; known to torchvision."""

    num_classes: int = 3

    def setup(self) -> None:
        self.stem = layers.ConvNorm(features=4, kernel_size=3)
        self.token = self.param("token", nn.initializers.zeros, (4,))
        self.head = nn.Dense(self.num_classes)

    def features(self, x, train=False):
        return {1: self.stem(x, train) + self.token}

    def torch_names(self):
        rules = [
            Rule("stem/conv", "conv"),
            Rule("stem/norm", "bn"),
            Rule("token", "extra.token", with_axes(0, 1)),
            Rule("head", "fc"),
        ]
        torchvision = TorchNames(
            rules, ignored=[r"index"], unused={r"aux\..*": "the auxiliary head"}
        )
        return {
            "torchvision": torchvision,
            "timm": TorchNames([*rules[:3], Rule("head", "head.fc")]),
        }


@pytest.fixture
def state() -> dict[str, np.ndarray]:
    shapes = {
        "conv.weight": (4, 3, 3, 3),
        "bn.weight": (4,),
        "bn.bias": (4,),
        "bn.running_mean": (4,),
        "bn.running_var": (4,),
        "extra.token": (1, 1, 4),
        "fc.weight": (3, 4),
        "fc.bias": (3,),
    }
    return {name: RANDOM.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def load(tmp_path: pathlib.Path):
    def load(model, state, **options):
        save_file(state, tmp_path / "tiny.safetensors")
        return models.load_weights(model, tmp_path / "tiny.safetensors", **options)

    return load


def test_every_leaf_finds_its_tensor(load, state) -> None:
    variables = load(Tiny(), state | {"bn.num_batches_tracked": np.array(3), "index": np.ones(2)})
    params = variables["params"]
    np.testing.assert_array_equal(
        params["stem"]["conv"]["kernel"], state["conv.weight"].transpose(2, 3, 1, 0)
    )
    np.testing.assert_array_equal(params["stem"]["norm"]["scale"], state["bn.weight"])
    np.testing.assert_array_equal(params["token"], state["extra.token"][0, 0])
    np.testing.assert_array_equal(params["head"]["kernel"], state["fc.weight"].T)
    statistics = variables["batch_stats"]["stem"]["norm"]
    np.testing.assert_array_equal(statistics["var"], state["bn.running_var"])
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_the_library_is_told_from_the_names(load, state) -> None:
    renamed = {name.replace("fc.", "head.fc."): array for name, array in state.items()}
    variables = load(Tiny(), renamed)
    np.testing.assert_array_equal(variables["params"]["head"]["bias"], state["fc.bias"])


def test_half_precision_becomes_float32(load, state) -> None:
    variables = load(Tiny(), {name: array.astype(np.float16) for name, array in state.items()})
    assert variables["params"]["head"]["bias"].dtype == jnp.float32


def test_another_number_of_classes_makes_a_new_head(load, state) -> None:
    model = Tiny(num_classes=7)
    with pytest.warns(UserWarning, match=r"made anew or adapted: .*head/kernel \(4, 3\) -> \(4, 7"):
        variables = load(model, state)
    assert not variables["params"]["head"]["kernel"].any()
    with pytest.warns(UserWarning, match="made anew"):
        variables = load(model, state, key=jax.random.key(0))
    assert variables["params"]["head"]["kernel"].std() > 0.1
    np.testing.assert_array_equal(variables["params"]["token"], state["extra.token"][0, 0])


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_another_number_of_channels_adapts_the_stem(load, state, channels: int) -> None:
    """What the model answers to gray images stays: exactly where colors are summed or repeated."""
    gray = jnp.asarray(RANDOM.normal(size=(2, 8, 8, 1)), jnp.float32)
    expected = Tiny().apply(load(Tiny(), state), jnp.repeat(gray, 3, axis=-1))
    model = Tiny(in_channels=channels)
    with pytest.warns(UserWarning, match="params/stem/conv/kernel"):
        variables = load(model, state)
    assert variables["params"]["stem"]["conv"]["kernel"].shape == (3, 3, channels, 4)
    logits = model.apply(variables, jnp.repeat(gray, channels, axis=-1))
    if channels != 4:
        np.testing.assert_allclose(logits, expected, atol=1e-5)
    kernel = state["conv.weight"].transpose(2, 3, 1, 0)
    if channels == 4:
        repeated = kernel[:, :, [0, 1, 2, 0]] * 0.75
        np.testing.assert_allclose(variables["params"]["stem"]["conv"]["kernel"], repeated)


def test_what_is_missing_and_what_is_left_over_is_listed(load, state) -> None:
    del state["bn.running_var"]
    state["layer5.weight"] = np.ones(3, np.float32)
    with pytest.raises(models.WeightsError) as error:
        load(Tiny(), state)
    assert "the model has, the weights lack (1): bn.running_var" in str(error.value)
    assert "the weights have, the model lacks (1): layer5.weight" in str(error.value)


def test_parts_that_the_model_does_without_are_left_out(load, state) -> None:
    with pytest.warns(UserWarning, match="the auxiliary head are left out"):
        load(Tiny(), state | {"aux.weight": np.ones(3, np.float32)})


def test_shapes_that_do_not_fit_are_listed(load, state) -> None:
    state["conv.weight"] = np.ones((5, 3, 3, 3), np.float32)
    state["extra.token"] = np.ones((1, 1, 9), np.float32)
    with pytest.raises(models.WeightsError) as error:
        load(Tiny(), state)
    assert "params/stem/conv/kernel (3, 3, 3, 4) from conv.weight (5, 3, 3, 3)" in str(error.value)
    assert "params/token (4,) from extra.token (1, 1, 9)" in str(error.value)


def test_models_that_nobody_else_has(load, state) -> None:
    with pytest.raises(models.WeightsError, match="lenet5 exists in neither torchvision nor timm"):
        load(models.create_model("lenet5"), state)


@pytest.mark.parametrize("library", [None, "torchvision", "timm"])
def test_what_is_saved_is_what_was_loaded(load, state, library, tmp_path: pathlib.Path) -> None:
    variables = load(Tiny(), state)
    models.save_weights(Tiny(), variables, tmp_path / "again.safetensors", library=library)
    again = load_file(tmp_path / "again.safetensors")
    assert again.pop("bn.num_batches_tracked") == 0
    expected = {
        name.replace("fc.", "head.fc." if library == "timm" else "fc."): array
        for name, array in state.items()
    }
    assert again.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(again[name], array)


def test_saving_elsewhere(load, state, tmp_path: pathlib.Path) -> None:
    variables = load(Tiny(), state)
    with pytest.raises(models.WeightsError, match="names of torchvision, timm, not 'keras'"):
        models.save_weights(Tiny(), variables, tmp_path / "a.safetensors", library="keras")
    with pytest.raises(ValueError, match=r"written as \.safetensors, got the name a\.pth"):
        models.save_weights(Tiny(), variables, tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("form", "ours", "theirs"),
    [
        (DENSE_AS_CONV, (4, 5), (5, 4, 1, 1)),
        (CONV_AS_DENSE, (1, 1, 4, 5), (5, 4)),
        (with_axes(1, 2), (7,), (7, 1, 1)),
        (after_flatten(2, 3), (30, 7), (7, 30)),
    ],
)
def test_forms_are_bijections(form, ours: tuple, theirs: tuple) -> None:
    array = RANDOM.normal(size=ours)
    assert form.write(array).shape == theirs
    np.testing.assert_array_equal(form.read(form.write(array)), array)
    other = RANDOM.normal(size=theirs)
    np.testing.assert_array_equal(form.write(form.read(other)), other)


def test_a_dense_layer_behind_a_flattened_map() -> None:
    """The product with a map flattened with its channels last, and with its channels first."""
    maps, theirs = RANDOM.normal(size=(2, 2, 3, 5)), RANDOM.normal(size=(7, 30))
    expected = maps.transpose(0, 3, 1, 2).reshape(2, -1) @ theirs.T
    actual = maps.reshape(2, -1) @ after_flatten(2, 3).read(theirs)
    np.testing.assert_allclose(actual, expected)


def test_weights_without_a_classifier_get_a_new_one(load, state) -> None:
    del state["fc.weight"], state["fc.bias"]
    with pytest.warns(UserWarning, match=r"made anew or adapted: params/head/bias .*-> \(3,\)"):
        variables = load(Tiny(), state, key=jax.random.key(0))
    assert np.abs(variables["params"]["head"]["kernel"]).max() > 0
    np.testing.assert_array_equal(variables["params"]["stem"]["norm"]["scale"], state["bn.weight"])
    with pytest.raises(models.WeightsError, match=r"the weights lack \(3\): bn.bias, fc.bias, fc"):
        load(Tiny(), {name: value for name, value in state.items() if name != "bn.bias"})


def test_half_a_classifier_is_a_mistake(load, state) -> None:
    del state["fc.bias"]
    with pytest.raises(models.WeightsError, match=r"the weights lack \(1\): fc.bias"):
        load(Tiny(), state)


def test_another_number_of_axes(load, state) -> None:
    state["conv.weight"] = state["conv.weight"][..., 0]
    message = r"params/stem/conv/kernel \(3, 3, 3, 4\) from conv.weight \(4, 3, 3\)"
    with pytest.raises(models.WeightsError, match=message):
        load(Tiny(), state)


class Parted(Tiny, kw_only=True):
    """Stem and token as above; both leaves of the head are parts of one tensor elsewhere."""

    def torch_names(self):
        kernel = Form(lambda theirs: theirs[1:], lambda ours: ours, axis=0)
        bias = Form(lambda theirs: theirs[0], lambda ours: ours[None], axis=0)
        rules = Tiny.torch_names(self)["torchvision"].rules[:3]
        parts = [Rule("head/kernel", "fc.all", kernel), Rule("head/bias", "fc.all", bias)]
        return {
            "timm": TorchNames(
                [*rules, *parts],
                ignored=["table"],
                constants=[Constant(r"extra\.token", "table", np.arange(5))],
                renamed={r"classifier\.(.*)": r"fc.\1"},
            )
        }


def test_leaves_that_share_a_tensor_constants_and_older_names(
    load, state, tmp_path: pathlib.Path
) -> None:
    bias, kernel = state.pop("fc.bias"), state.pop("fc.weight").T
    # In the order of the paths, the bias comes first.
    together = np.ascontiguousarray(np.concatenate([bias[None], kernel]))
    variables = load(Parted(), state | {"classifier.all": together})
    np.testing.assert_array_equal(variables["params"]["head"]["kernel"], kernel)
    np.testing.assert_array_equal(variables["params"]["head"]["bias"], bias)
    models.save_weights(Parted(), variables, tmp_path / "saved.safetensors")
    saved = load_file(tmp_path / "saved.safetensors")
    assert saved.keys() == {*state, "fc.all", "bn.num_batches_tracked", "table"}
    np.testing.assert_array_equal(saved["fc.all"], together)
    np.testing.assert_array_equal(saved["table"], np.arange(5))


class Bounded(Tiny, kw_only=True):
    """A model with an option that makes other logits of the same weights."""

    bound: float = 6.0

    def torch_names(self):
        rules = super().torch_names()["torchvision"].rules
        return {"torchvision": TorchNames(rules, options={"bound": 6.0})}


def test_a_model_that_makes_other_logits_of_the_same_weights_is_warned_of(
    load, state, tmp_path: pathlib.Path
) -> None:
    variables = load(Bounded(), state)
    with pytest.warns(UserWarning, match=r"Bounded has bound=6.0, but bound=1.0 here"):
        load(Bounded(bound=1.0), state)
    with pytest.warns(UserWarning, match=r"create it with bound=6.0"):
        models.save_weights(Bounded(bound=1.0), variables, tmp_path / "other.safetensors")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "net."])
def test_a_prefix_of_all_names_is_cut_off(load, state, prefix: str) -> None:
    with pytest.warns(UserWarning, match=rf"'{prefix}' was cut off the names of all tensors"):
        variables = load(Tiny(), {prefix + name: array for name, array in state.items()})
    np.testing.assert_array_equal(variables["params"]["head"]["bias"], state["fc.bias"])


def test_a_prefix_of_some_names_is_no_prefix(load, state) -> None:
    state["model.fc.bias"] = state.pop("fc.bias")
    with pytest.raises(models.WeightsError, match=r"the weights lack \(1\): fc.bias"):
        load(Tiny(), state)


class Tensor:
    """What is asked of a tensor of torch, which NumPy does not take while it keeps a gradient."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def detach(self):
        return self

    cpu = resolve_conj = resolve_neg = detach

    def is_floating_point(self) -> bool:
        return True

    def float(self):
        return Tensor(self._array.astype(np.float32))

    def numpy(self) -> np.ndarray:
        assert self._array.dtype == np.float32
        return self._array


@pytest.mark.parametrize(
    "convert", [np.asarray, jnp.asarray, Tensor, lambda array: Tensor(array.astype(jnp.bfloat16))]
)
def test_a_state_dict_in_memory(state, convert) -> None:
    variables = models.load_weights(Tiny(), {name: convert(a) for name, a in state.items()})
    np.testing.assert_allclose(variables["params"]["token"], state["extra.token"][0, 0], rtol=0.01)
    assert variables["params"]["token"].dtype == jnp.float32


def test_what_is_no_state_dict_in_memory(state) -> None:
    with pytest.raises(
        models.WeightsError, match=r"arrays or tensors by name.*'state_dict', a dict"
    ):
        models.load_weights(Tiny(), {"state_dict": state})
    with pytest.raises(models.WeightsError, match="the state dict is not of Tiny:"):
        models.load_weights(Tiny(), {"a": np.ones(3)})
    with pytest.raises(models.WeightsError, match="the state dict is not of Tiny:"):
        models.load_weights(Tiny(), {})


def test_shapes_are_compared_before_numbers_are_converted(state) -> None:
    """Half a tensor that repeats one number 2**33 times would be 32 GiB in float32."""
    state["conv.weight"] = np.broadcast_to(np.float16(1), (2**31, 2, 2, 1))
    with pytest.raises(models.WeightsError, match=r"conv.weight \(2147483648, 2, 2, 1\)"):
        models.load_weights(Tiny(), state)


def test_names_of_the_authors_of_se_networks_are_known() -> None:
    """Their files ask for another padding and other strides, which a warning says."""
    model = models.create_model("se_resnet50", num_classes=3)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    variables = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes)
    legacy = model.torch_names()["timm-legacy"]
    names = {legacy.find(path.partition("/")[2], leaf.ndim)[0] for path, leaf in
             by_path(variables).items()}  # fmt: skip
    assert {"layer0.conv1.weight", "last_linear.weight", "layer1.0.se_module.fc1.weight"} <= names
    stored = {}
    for path, leaf in by_path(variables).items():
        name, form = legacy.find(path.partition("/")[2], leaf.ndim)
        stored[name] = form.write(leaf)
    with pytest.warns(UserWarning, match=r"has original=True, but original=False here"):
        models.load_weights(model, stored)
    models.load_weights(models.create_model("se_resnet50", num_classes=3, original=True), stored)
