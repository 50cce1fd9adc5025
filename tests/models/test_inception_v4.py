import jax
import jax.numpy as jnp
import pytest

from jaxvision import models

KEY = jax.random.key(0)


def test_parameters(count_parameters):
    assert count_parameters(models.create_model("inception_v4"), (1, 75, 75, 3)) == 42_679_816


def test_maps_of_figure_9():
    model = models.create_model("inception_v4")
    size = model.default_image_size
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        KEY,
        jnp.zeros((1, size, size, 3)),
    )
    assert {key: value.shape[1:] for key, value in features.items()} == {
        "stride2": (147, 147, 64),
        "stride4": (71, 71, 192),
        "stride8": (35, 35, 384),
        "stride16": (17, 17, 1024),
        "stride32": (8, 8, 1536),
    }


@pytest.mark.parametrize("size", [(74, 80), (80, 74)])
def test_images_that_are_too_small(size):
    model = models.create_model("inception_v4", stage_sizes=(1, 1, 1))
    with pytest.raises(ValueError, match=r"at least 75x75, got the shape \(1, \d+, \d+, 3\)"):
        model.init(KEY, jnp.zeros((1, *size, 3)))


def test_options_that_are_refused():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create_model("inception_v4", dropout=1.0)
    for sizes in [(1, 2), (1, 0, 1)]:
        with pytest.raises(ValueError, match="stage_sizes must be three numbers from 1"):
            models.create_model("inception_v4", stage_sizes=sizes)
