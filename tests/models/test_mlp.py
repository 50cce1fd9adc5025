import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models


def test_parameters_of_a_first_layer_on_imagenet(count_parameters):
    # One neuron has 224 * 224 * 3 weights and a bias: 150,529 (lecture slides have misprinted it).
    model = models.create_model("mlp", num_classes=1, hidden_sizes=(128,))
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    first = variables["params"]["hidden0"]
    assert sum(p.size for p in jax.tree.leaves(first)) == 128 * 150_529 == 19_267_712
    assert count_parameters(model, (1, 224, 224, 3)) == 19_267_712 + 129


@pytest.mark.parametrize(
    ("initializer", "rms"),
    [("he_normal", 0.9), ("glorot_normal", 8.8e-4), ("normal_0.01", 1.1e-16)],
)
def test_activations_after_twenty_layers(initializer, rms):
    model = models.create_model("mlp", hidden_sizes=(512,) * 20, initializer=initializer)
    images = jax.random.normal(jax.random.key(0), (64, 16, 32, 1))
    # Not under jit: the twenty layers are one to the compiler as long as they are compiled apart.
    activations, _ = model.init_with_output(jax.random.key(1), images, method="embed")
    measured = float(jnp.sqrt(jnp.mean(activations**2)))
    assert rms / 2 < measured < rms * 2


def test_the_network_by_hand(fill):
    model = models.create_model("mlp", num_classes=3, hidden_sizes=[5, 4], activation="tanh")
    images = jax.random.normal(jax.random.key(0), (6, 3, 4, 1))
    variables = fill(model, images)
    params = variables["params"]
    assert set(params) == {"hidden0", "hidden1", "head"}
    x = images.reshape(6, 12)
    for name in ("hidden0", "hidden1"):
        x = jnp.tanh(x @ params[name]["kernel"] + params[name]["bias"])
    np.testing.assert_allclose(model.apply(variables, images, method="embed"), x, atol=1e-6)
    logits = x @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(model.apply(variables, images), logits, atol=1e-6)


def test_dropout_drops_its_share_of_every_hidden_layer_in_training_only():
    rate = 0.25
    model = models.create_model(
        "mlp", num_classes=1, hidden_sizes=(4000,), dropout=rate, activation="identity"
    )
    images = jnp.ones((1, 1, 1, 1))
    kernel = jnp.ones((4000, 1))
    variables = {
        "params": {
            "hidden0": {"kernel": jnp.ones((1, 4000)), "bias": jnp.zeros(4000)},
            "head": {"kernel": kernel, "bias": jnp.zeros(1)},
        }
    }
    assert model.apply(variables, images).item() == 4000

    def train(key):
        return model.apply(variables, images, train=True, rngs={"dropout": key}).item()

    # What is kept is divided by the share kept, so that the mean stays: 4 standard deviations.
    spread = (4000 * rate / (1 - rate)) ** 0.5
    first, again, other = (train(jax.random.key(seed)) for seed in (0, 0, 1))
    assert abs(first - 4000) < 4 * spread
    assert first != 4000
    assert first == again
    assert first != other


def test_dropout_needs_a_key_only_where_it_drops(fill):
    images = jnp.ones((2, 2, 2, 1))
    model = models.create_model("mlp", hidden_sizes=(4,))
    variables = fill(model, images)
    np.testing.assert_array_equal(
        model.apply(variables, images, train=True), model.apply(variables, images)
    )


def test_without_hidden_layers_it_is_a_linear_classifier(count_parameters):
    model = models.create_model("mlp", num_classes=10, hidden_sizes=())
    assert count_parameters(model, (1, 32, 32, 3)) == 30730
    assert models.create_model(**models.describe(model)) == model
