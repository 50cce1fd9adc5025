import functools

import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models


@pytest.mark.parametrize(("num_classes", "count"), [(1, 3073), (10, 30730)])
def test_parameters_on_cifar(num_classes, count):
    model = models.create_model("linear_classifier", num_classes=num_classes)
    assert shapes_of(model, 32, 32).num_parameters == count


def test_logits_are_scores_of_templates_and_the_vector_is_the_image():
    model = models.create_model("linear_classifier", num_classes=2)

    def calls(module, x):
        return module(x), module.features(x), module.embed(x)

    images = np.random.default_rng(0).normal(size=(3, 2, 2, 1)).astype(np.float32)
    kernel = np.arange(8, dtype=np.float32).reshape(4, 2)
    bias = np.float32([1, -1])
    variables = {"params": {"head": {"kernel": kernel, "bias": bias}}}
    logits, features, vector = quick.jit(functools.partial(model.apply, method=calls))(
        variables, images
    )
    templates = kernel.T.reshape(2, 2, 2, 1)
    expected = np.einsum("bhwc,khwc->bk", images, templates) + bias
    np.testing.assert_allclose(logits, expected, rtol=1e-5)
    assert list(features) == [1]
    np.testing.assert_array_equal(features[1], images)
    np.testing.assert_array_equal(vector, images.reshape(3, 4))
