import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_parameters_of_a_first_layer_on_imagenet():
    # One neuron has 224 * 224 * 3 weights and a bias: 150,529 (lecture slides have misprinted it).
    traced = shapes_of(models.create_model("mlp", num_classes=1, hidden_sizes=(128,)), 224, 224)
    first = traced.variables["params"]["hidden0"]
    assert sum(p.size for p in jax.tree.leaves(first)) == 128 * 150_529 == 19_267_712
    assert traced.num_parameters == 19_267_712 + 129


@pytest.mark.parametrize(
    ("initializer", "rms"),
    quick.only(
        [("he_normal", 0.9), ("glorot_normal", 8.8e-4), ("normal_0.01", 1.1e-16)],
        "glorot_normal",
        slow=(),
    ),
)
def test_activations_after_twenty_layers(initializer, rms):
    model = models.create_model("mlp", hidden_sizes=(512,) * 20, initializer=initializer)
    # Not under jit: the twenty layers are one to the compiler as long as they are compiled apart.
    activations, _ = model.init_with_output(jax.random.key(1), draw(64, 16, 32, 1), method="embed")
    measured = np.sqrt(np.mean(np.asarray(activations) ** 2))
    assert rms / 2 < measured < rms * 2


def test_the_network_by_hand(fill):
    model = models.create_model("mlp", num_classes=3, hidden_sizes=[5, 4], activation="tanh")
    images = draw(6, 3, 4, 1)
    variables = fill(model, images)

    @quick.jit
    def calls(variables, images):
        # Without dropout, training needs no key.
        vector = model.apply(variables, images, method="embed")
        return vector, model.apply(variables, images), model.apply(variables, images, train=True)

    vector, logits, trained = calls(variables, images)
    params = variables["params"]
    assert set(params) == {"hidden0", "hidden1", "head"}
    x = images.reshape(6, 12)
    for name in ("hidden0", "hidden1"):
        x = np.tanh(x @ params[name]["kernel"] + params[name]["bias"])
    np.testing.assert_allclose(vector, x, atol=1e-6)
    expected = x @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    np.testing.assert_array_equal(trained, logits)


def test_dropout_drops_its_share_of_every_hidden_layer_in_training_only():
    rate = 0.25
    model = models.create_model(
        "mlp", num_classes=1, hidden_sizes=(4000,), dropout=rate, activation="identity"
    )

    @quick.jit
    def train(variables, images, seed):
        keys = {"dropout": jax.random.key(seed)}
        return model.apply(variables, images, train=True, rngs=keys)

    ones = np.ones(4000, np.float32)
    variables = {
        "params": {
            "hidden0": {"kernel": ones[None], "bias": np.zeros_like(ones)},
            "head": {"kernel": ones[:, None], "bias": np.zeros(1, np.float32)},
        }
    }
    images = np.ones((1, 1, 1, 1), np.float32)
    assert quick.jit(model.apply)(variables, images) == 4000
    first, again, other = (train(variables, images, seed).item() for seed in (0, 0, 1))
    # What is kept is divided by the share kept, so that the mean stays: 4 standard deviations.
    spread = (4000 * rate / (1 - rate)) ** 0.5
    assert abs(first - 4000) < 4 * spread
    assert first != 4000
    assert first == again
    assert first != other


def test_without_hidden_layers_it_is_a_linear_classifier():
    model = models.create_model("mlp", num_classes=10, hidden_sizes=())
    assert shapes_of(model, 32, 32).num_parameters == 30730
    assert models.create_model(**models.describe(model)) == model
