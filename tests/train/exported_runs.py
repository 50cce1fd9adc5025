"""Runs as if they were read from their folders, and what their exported programs give."""

import pathlib
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.export
import numpy as np
import optax

from jaxvision import data, models, rl, train
from jaxvision.rl import tabular
from jaxvision.train.run.record import make_record

NAMES = ("cat", "dog", "owl")
INPUTS = train.Inputs((0.4,), (0.3,))
SIDE = 16


def pixels(rows: int = 3, size: tuple[int, int] = (SIDE, SIDE), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, *size, 1), dtype=np.uint8)


def dataset(**fields: Any) -> data.Dataset:
    return data.from_arrays({"image": pixels(), "label": np.arange(3), **fields}, class_names=NAMES)


class Resized(NamedTuple):
    """A data set of images that were resized, as far as a record tells of it."""

    images: data.Dataset
    preprocessing: data.Preprocessing

    def describe(self) -> dict[str, Any]:
        return {**self.images.describe(), "preprocessing": self.preprocessing.describe()}


def saved(folder: pathlib.Path, step: Any, learned: Any, state: Any) -> train.SavedRun:
    """A run, as if it were read from its folder."""
    if not isinstance(step, rl.Agent | tabular.TemporalDifference | train.gan.GANStep | None):
        step = train.make_train_step(step, optax.sgd(0.1))
    return train.SavedRun(folder, 7, make_record(None, step, learned), state)


def state_of(model: nn.Module, *inputs: Any) -> dict[str, Any]:
    """The state of a model with drawn parameters and statistics."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)
    random = np.random.default_rng(0)

    def draw(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        wide = 3 / np.sqrt(np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.3
        return (wide * random.normal(size=leaf.shape)).astype(leaf.dtype)

    drawn = jax.tree.map(draw, shapes)
    params = drawn.pop("params")
    return {"params": params, "model_state": jax.tree.map(lambda leaf: 0.5 + abs(leaf), drawn)}


def classifier(
    folder: pathlib.Path, name: str = "lenet5", how: data.Preprocessing | None = None, **options
) -> train.classification.TrainedClassifier:
    model = models.create_model(name, num_classes=3, in_channels=1, **options)
    step = train.classification.make_loss_fn(model, inputs=INPUTS)
    learned = dataset() if how is None else Resized(dataset(), how)
    state = state_of(model, np.zeros((1, SIDE, SIDE, 1), np.float32))
    return train.classification.TrainedClassifier(saved(folder, step, learned, state))


def load(exported: train.Exported) -> jax.export.Exported:
    return jax.export.deserialize(bytearray((exported.folder / "model.stablehlo").read_bytes()))


def convolutions(exported: train.Exported) -> list[str]:
    """The lines of a program that convolve by XLA's own operation."""
    lines = load(exported).mlir_module().splitlines()
    return [line for line in lines if "stablehlo.convolution(" in line]


def call(exported: train.Exported, *inputs: Any) -> dict[str, np.ndarray]:
    """What the program on the disk gives, with the shapes and types that were told."""
    outputs = jax.device_get(jax.jit(load(exported).call)(*inputs))
    told = {info.name: (info.dtype, info.shape[1:]) for info in exported.outputs}
    assert told == {name: (each.dtype.name, each.shape[1:]) for name, each in outputs.items()}
    assert {len(each) for each in outputs.values()} == {len(inputs[0])}
    return outputs


def assert_near(given: dict[str, np.ndarray], **wanted: Any) -> None:
    assert given.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(given[name], array, rtol=1e-5, atol=1e-5, err_msg=name)
        assert np.ptp(given[name]) > 0, f"{name} is the same everywhere"
