"""What all convolutional families have."""

from functools import partial

import jax
import numpy as np
import pytest
import quick

from jaxvision import models
from jaxvision.models.preact_resnet import PreActBlock
from jaxvision.models.residual import BasicBlock


@pytest.mark.parametrize("family", [models.ResNet, models.PreActResNet, models.MobileNetV1])
def test_every_family_may_drop_before_its_head(family):
    blocks = {models.ResNet: {"block": BasicBlock}, models.PreActResNet: {"block": PreActBlock}}
    stages = {} if family is models.MobileNetV1 else {"stage_sizes": (1,), **blocks[family]}
    model = family(num_classes=3, small_images=True, dropout=0.5, norm="layer", **stages)
    images = np.ones((2, 8, 8, 3), np.float32)

    @quick.jit
    def calls(images):
        variables = model.init(jax.random.key(0), images)
        drop = partial(model.apply, variables, images, train=True)
        vector = drop(method="embed", rngs={"dropout": jax.random.key(1)})
        return vector, model.apply(variables, images), drop(rngs={"dropout": jax.random.key(1)})

    vector, logits, dropped = calls(images)
    np.testing.assert_array_equal(vector[0], vector[1])
    np.testing.assert_array_equal(logits[0], logits[1])
    assert (dropped[0] != dropped[1]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "bacth"}, "unknown norm 'bacth'"),
        ({"activation": "rleu"}, "unknown activation 'rleu'"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\), got -0.1"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        models.DenseNet(block_sizes=(1,), growth_rate=4, **options)
