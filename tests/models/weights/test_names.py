"""Names of other libraries, of models and of what is built on them."""

import pathlib

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxvision import models
from jaxvision.models import layers
from jaxvision.models.weights.names import Constant, Rule, TorchNames


class Encoder(models.Model, kw_only=True):
    """A stem and a head, with an option that another library has too."""

    bound: float = 6.0

    def setup(self) -> None:
        self.stem = layers.ConvNorm(features=4, kernel_size=3)
        self.head = nn.Dense(self.num_classes)

    def features(self, x, train=False):
        return {1: self.stem(x, train)}

    def torch_names(self):
        rules = [Rule("stem/conv", "conv"), Rule("stem/norm", "bn"), Rule("head", "fc")]
        unused = {r"aux\..*": "the auxiliary head"}
        return {"torchvision": TorchNames(rules, unused=unused, options={"bound": 6.0})}


class Colored(nn.Module, kw_only=True):
    """A composed model: classes per pixel, over the maps of a backbone."""

    backbone: models.Model
    in_channels: int | None = 3
    default_image_size: int = 8

    @nn.compact
    def __call__(self, x):
        maps = self.backbone.features(x)
        return nn.Dense(2, name="classifier")(maps[min(maps)])

    def torch_names(self):
        backbone = self.backbone.torch_names()["torchvision"].within("backbone", "encoder.body")
        return {"torchvision": backbone + TorchNames([Rule("classifier", "decoder.0")])}

    def adapt_parameter(self, path, value, shape):
        return None


@pytest.fixture
def composed() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    shapes = {
        "encoder.body.conv.weight": (4, 3, 3, 3),
        "encoder.body.bn.weight": (4,),
        "encoder.body.bn.bias": (4,),
        "encoder.body.bn.running_mean": (4,),
        "encoder.body.bn.running_var": (4,),
        "decoder.0.weight": (2, 4),
        "decoder.0.bias": (2,),
    }
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_a_composed_model_has_the_names_of_its_parts(composed, tmp_path: pathlib.Path) -> None:
    model = Colored(backbone=Encoder())
    with pytest.warns(UserWarning, match="the auxiliary head are left out"):
        variables = models.load_weights(model, composed | {"encoder.body.aux.fc": np.zeros(3)})
    params = variables["params"]
    np.testing.assert_array_equal(params["classifier"]["kernel"].T, composed["decoder.0.weight"])
    stem = params["backbone"]["stem"]["conv"]["kernel"]
    np.testing.assert_array_equal(stem.transpose(3, 2, 0, 1), composed["encoder.body.conv.weight"])
    models.save_weights(model, variables, tmp_path / "saved.safetensors")
    saved = load_file(tmp_path / "saved.safetensors")
    assert saved.keys() == {*composed, "encoder.body.bn.num_batches_tracked"}
    for name, array in composed.items():
        np.testing.assert_array_equal(saved[name], array)
    assert model.apply(variables, jnp.zeros((1, 8, 8, 3))).shape == (1, 8, 8, 2)


def test_the_stem_of_a_part_is_adapted_and_its_options_are_compared(composed) -> None:
    with pytest.warns(UserWarning, match=r"backbone/stem/conv/kernel \(3, 3, 3, 4\) ->"):
        gray = models.load_weights(Colored(backbone=Encoder(), in_channels=1), composed)
    assert gray["params"]["backbone"]["stem"]["conv"]["kernel"].shape == (3, 3, 1, 4)
    with pytest.warns(UserWarning, match=r"Colored has backbone.bound=6.0, but"):
        models.load_weights(Colored(backbone=Encoder(bound=1.0)), composed)


def test_names_within_a_larger_model() -> None:
    names = TorchNames(
        [Rule(r"b(\d)", r"layer.\1"), Rule("c", lambda match: f"{match[0]}1")],
        ignored=["index|table"],
        constants=[Constant(r"(.*)\.token", r"\1.size", np.arange(2))],
        renamed={r"old(\d)\.(.*)": r"layer.\1.\2"},
    ).within("net.0/body", "0.body")
    assert names.find("net.0/body/b3/kernel", 2)[0] == "0.body.layer.3.weight"
    assert names.find("net.0/body/c/bias", 1)[0] == "0.body.c1.bias"
    assert names.is_ignored("0.body.table")
    assert not names.is_ignored("table")
    assert not names.is_ignored("0.body.index1")
    assert names.current_name("0.body.old3.bias") == "0.body.layer.3.bias"
    assert [*names.constants_beside("0.body.x.token")] == ["0.body.x.size"]
    for path in ("body/b3/kernel", "net_0/body/b3/kernel", "b3/kernel"):
        with pytest.raises(LookupError):
            names.find(path, 2)
