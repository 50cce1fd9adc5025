"""Sums of losses: what is added, who gets the weights of pixels, and what a record keeps."""

import functools
import json

import jax.numpy as jnp
import make_segmentation_losses as fixture
import numpy as np
import pytest
import quick

from jaxvision import losses

LOGITS, LABELS = fixture.draw()
DICE = functools.partial(losses.soft_dice, smooth=1.0, classes=(1, 2))
CROSS_ENTROPY = functools.partial(
    losses.pixel_cross_entropy, class_weights=np.float32(fixture.WEIGHTS)
)


def test_terms_are_added_and_pixels_weighed_where_it_can_be() -> None:
    loss = losses.Sum((losses.Sum((CROSS_ENTROPY, 0.5), (DICE, 2)), 3), (losses.pixel_focal, 1))

    def values(logits, labels, weight, pixel_weight):
        given = {"reduce": "batch", "weight": weight}
        weighed = {**given, "pixel_weight": pixel_weight}
        parts = (
            CROSS_ENTROPY(logits, labels, **weighed),
            DICE(logits, labels, **given),
            losses.pixel_focal(logits, labels, **weighed),
        )
        return loss(logits, labels, **weighed), parts, loss(logits, labels)

    pixel_weight = np.random.default_rng(1).uniform(size=LABELS.shape).astype(np.float32)
    weight = np.array([True, False, True])
    found, parts, samples = quick.jit(values)(LOGITS, LABELS, weight, pixel_weight)
    assert float(found) == pytest.approx(np.dot([1.5, 6, 1], parts), rel=1e-6)
    assert samples.shape == (3,)


def test_the_record_of_a_sum_is_json() -> None:
    loss = losses.Sum((losses.Sum((CROSS_ENTROPY, 0.5), (DICE, 2)), 3), (losses.lovasz_softmax, 1))
    described = loss.describe()
    assert described == [
        {
            "loss": "pixel_cross_entropy",
            "factor": 1.5,
            "options": {"class_weights": [0.5, 1.0, 3.0, 2.0]},
        },
        {"loss": "soft_dice", "factor": 6.0, "options": {"smooth": 1.0, "classes": [1, 2]}},
        {"loss": "lovasz_softmax", "factor": 1.0, "options": {}},
    ]
    assert json.loads(json.dumps(described)) == described


def test_a_loss_of_your_own_is_a_term() -> None:
    def size(logits, labels, *, reduce="sample", weight=None):
        del labels, reduce, weight
        return jnp.abs(logits).mean((1, 2, 3))

    loss = losses.Sum((size, 2))
    np.testing.assert_allclose(
        quick.jit(loss)(LOGITS, LABELS), 2 * np.abs(LOGITS).mean((1, 2, 3)), rtol=1e-6
    )
    assert loss.describe() == [{"loss": "size", "factor": 2.0, "options": {}}]


def test_weights_of_pixels_that_no_term_takes() -> None:
    loss = losses.Sum((DICE, 1.0), (losses.lovasz_softmax, 1.0))
    with pytest.raises(ValueError, match="takes pixel_weight, only soft_dice, lovasz_softmax"):
        loss(jnp.asarray(LOGITS), jnp.asarray(LABELS), pixel_weight=jnp.asarray(LABELS))


@pytest.mark.parametrize(
    ("terms", "error", "message"),
    [
        ((), ValueError, "at least one term"),
        (((losses.cross_entropy, 1.0),), TypeError, "cross_entropy .* not a mask loss"),
        (((losses.soft_dice, -1),), ValueError, "not negative, got -1"),
        (((losses.soft_dice, float("nan")),), ValueError, "finite .* got nan"),
    ],
)
def test_terms_that_cannot_be(terms, error, message) -> None:
    with pytest.raises(error, match=message):
        losses.Sum(*terms)
