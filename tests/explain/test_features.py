import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from jaxvision import explain, models
from jaxvision.explain.features import Split

IMAGES = np.zeros((2, 8, 6, 3), np.float32)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.relu(nn.Conv(4, (3, 3), strides=2, name="conv")(x))


class Net(nn.Module):
    def setup(self):
        self.first, self.second, self.head = Block(), nn.remat(Block)(), nn.Dense(5)

    def embed(self, x):
        return checkpoint_name(self.second(self.first(x)), "last").mean(axis=(1, 2))

    def __call__(self, x):
        return self.head(self.embed(x))


def zeros(model, images):
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)


def branched(x):
    """A function without modules."""
    with jax.named_scope("stem"):
        x = jnp.tanh(x)
    halved = x[:, ::2, ::2] + 1.0
    return jnp.sin(jnp.sin(halved).sum(axis=(1, 2))) @ jnp.ones((3, 2))


def test_modules_are_named_by_their_path() -> None:
    apply = functools.partial(Net().apply, zeros(Net(), IMAGES))
    expected = {
        "first/conv": (2, 4, 3, 4),
        "first": (2, 4, 3, 4),
        "second/conv": (2, 2, 2, 4),
        "second": (2, 2, 2, 4),
        "last": (2, 2, 2, 4),
        "head": (2, 5),
    }
    images = jax.ShapeDtypeStruct(IMAGES.shape, IMAGES.dtype)
    assert explain.layer_names(apply, images) == expected
    assert explain.layer_names(jax.jit(apply), images) == expected
    rows = jax.vmap(lambda row: apply(row[None])[0])
    assert {*expected} < {*explain.layer_names(rows, images)}


def test_values_without_names_are_named_by_their_primitive() -> None:
    names = explain.layer_names(branched, IMAGES)
    assert list(names) == ["stem", "slice", "add", "sin", "reduce_sum", "sin_2", "dot_general"]


@pytest.mark.slow
def test_models_of_the_library() -> None:
    model = models.create_model("resnet18", num_classes=4)
    images = np.zeros((1, 64, 64, 3), np.float32)
    names = explain.layer_names(functools.partial(model.apply, zeros(model, images)), images)
    assert names["stem"] == (1, 32, 32, 64)
    assert names["stage4_block1/conv2"] == names["stage4_block1"] == (1, 2, 2, 512)
    assert [*names][-1] == "head"
    chosen = Split(functools.partial(model.apply, zeros(model, images)), images, None).feature
    assert chosen.scopes == ("ResNet", "stage4_block1")


def test_the_last_map_is_the_default() -> None:
    assert Split(branched, IMAGES, None).feature == Split(branched, IMAGES, "sin").feature


def test_a_function_is_split_at_a_value() -> None:
    x = np.random.default_rng(0).normal(size=IMAGES.shape).astype(np.float32)
    split = Split(lambda x: {"out": jax.jit(branched)(x)}, x, "stem")
    same, value = split.run(lambda each: each)
    np.testing.assert_allclose(value, np.tanh(x), rtol=1e-5)
    np.testing.assert_allclose(same["out"], branched(x), rtol=1e-5)
    changed, before = split.run(lambda each: each * 0)
    np.testing.assert_array_equal(before, value)
    np.testing.assert_allclose(changed["out"], branched(x * 0), rtol=1e-5)


def test_layers_that_do_not_exist() -> None:
    message = r"unknown layer 'sinn'; did you mean 'sin'\? \(known: add, .*stem\)"
    with pytest.raises(ValueError, match=message):
        Split(branched, IMAGES, "sinn")


def test_functions_without_maps() -> None:
    with pytest.raises(ValueError, match="no feature map, of the shape"):
        Split(lambda x: x.reshape(2, -1) @ jnp.ones((144, 2)), IMAGES, None)
