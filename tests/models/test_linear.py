import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models


@pytest.mark.parametrize(("num_classes", "count"), [(1, 3073), (10, 30730)])
def test_parameters_on_cifar(num_classes, count, count_parameters):
    model = models.create_model("linear_classifier", num_classes=num_classes)
    assert count_parameters(model, (1, 32, 32, 3)) == count


def test_logits_are_scores_of_templates():
    model = models.create_model("linear_classifier", num_classes=2)
    images = jax.random.normal(jax.random.key(0), (3, 2, 2, 1))
    kernel, bias = jnp.arange(8.0).reshape(4, 2), jnp.array([1.0, -1.0])
    variables = {"params": {"head": {"kernel": kernel, "bias": bias}}}
    templates = kernel.T.reshape(2, 2, 2, 1)
    expected = jnp.einsum("bhwc,khwc->bk", images, templates) + bias
    np.testing.assert_allclose(model.apply(variables, images), expected, rtol=1e-5)


def test_features_and_vector_are_the_image(fill):
    model = models.create_model("linear_classifier")
    image = jnp.arange(12.0).reshape(1, 2, 2, 3)
    variables = fill(model, image)
    features = model.apply(variables, image, method="features")
    assert list(features) == ["stride1"]
    np.testing.assert_array_equal(features["stride1"], image)
    assert model.apply(variables, image, method="embed").tolist() == [list(range(12))]
