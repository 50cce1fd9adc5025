import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models

KEY = jax.random.key(0)


@pytest.mark.parametrize(("name", "count"), [("alexnet", 61_100_840), ("alexnet_2012", 60_965_224)])
def test_parameters(name, count, count_parameters):
    assert count_parameters(models.create_model(name), (1, 224, 224, 3)) == count


def test_maps_of_the_paper():
    model = models.create_model("alexnet_2012")
    features, variables = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        KEY,
        jnp.zeros((1, 224, 224, 3)),
    )
    sizes = {key: value.shape[1:] for key, value in features.items()}
    assert sizes == {
        "stride4": (55, 55, 96),
        "stride8": (27, 27, 256),
        "stride16": (13, 13, 256),
        "stride32": (6, 6, 256),
    }
    kernels = {key: value["kernel"].shape for key, value in variables["params"].items()}
    # Each GPU's half of a layer sees the same GPU's half of the one before, but for the third's.
    assert kernels == {
        "stem": (11, 11, 3, 96),
        "conv2": (5, 5, 48, 256),
        "conv3": (3, 3, 256, 384),
        "conv4": (3, 3, 192, 384),
        "conv5": (3, 3, 192, 256),
    }


@pytest.mark.parametrize("name", ["alexnet", "alexnet_2012"])
def test_receptive_field(name, receptive_field):
    model = models.create_model(name, hidden_sizes=())
    images = jnp.zeros((1, 63, 63, 3))
    variables = jax.eval_shape(model.init, KEY, images)
    variables = jax.tree.map(lambda p: np.broadcast_to(np.float32(0), p.shape), variables)

    def last_map(images):
        return model.apply(variables, images, method="features")["stride32"]

    assert receptive_field(last_map, images) == 195


@pytest.mark.parametrize("size", [(62, 80), (80, 62)])
def test_images_that_are_too_small(size):
    with pytest.raises(ValueError, match=r"at least 63x63, got the shape \(1, \d+, \d+, 3\)"):
        models.create_model("alexnet").init(KEY, jnp.zeros((1, *size, 3)))


def test_any_number_of_dense_layers(count_parameters):
    model = models.create_model("alexnet", hidden_sizes=(8,), num_classes=2)
    convolutions = 61_100_840 - sum(
        a * b + b for a, b in [(9216, 4096), (4096, 4096), (4096, 1000)]
    )
    assert count_parameters(model, (1, 63, 63, 3)) == convolutions + 9217 * 8 + 9 * 2


@pytest.mark.parametrize("name", ["alexnet", "alexnet_2012"])
def test_dropout_is_of_training(name, fill):
    model = models.create_model(name, hidden_sizes=(64,), num_classes=3, dropout=0.5)
    images = jax.random.normal(KEY, (1, 63, 63, 3))
    variables = fill(model, images)

    @jax.jit
    def embed(key):
        return model.apply(variables, images, train=True, rngs={"dropout": key}, method="embed")

    one, other = embed(jax.random.key(1)), embed(jax.random.key(2))
    assert jnp.abs(one - other).max() > 0
    still = jax.jit(lambda: model.apply(variables, images, method="embed"))()
    kept = jnp.isclose(one, 2 * still) | (one == 0)
    # After the dense layer in the paper, before it in torchvision.
    assert kept.all() == (name == "alexnet_2012")


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_dropout_out_of_range(dropout):
    with pytest.raises(ValueError, match=rf"dropout must be in \[0, 1\), got {dropout}"):
        models.create_model("alexnet", dropout=dropout)
