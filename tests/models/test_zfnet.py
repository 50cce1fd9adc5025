import jax
import jax.numpy as jnp
import pytest

from jaxvision import models

KEY = jax.random.key(0)


def test_parameters(count_parameters):
    assert count_parameters(models.create_model("zfnet"), (1, 224, 224, 3)) == 62_357_608


def test_maps_of_figure_3():
    model = models.create_model("zfnet")
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"),
        KEY,
        jnp.zeros((1, 224, 224, 3)),
    )
    assert {key: value.shape[1:] for key, value in features.items()} == {
        "stride2": (110, 110, 96),
        "stride4": (55, 55, 96),
        "stride8": (26, 26, 256),
        "stride16": (13, 13, 256),
        "stride32": (6, 6, 256),
    }


@pytest.mark.parametrize("size", [(46, 60), (60, 46)])
def test_images_that_are_too_small(size):
    with pytest.raises(ValueError, match=r"at least 47x47, got the shape \(1, \d+, \d+, 3\)"):
        models.create_model("zfnet").init(KEY, jnp.zeros((1, *size, 3)))


def test_dropout_out_of_range():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 2"):
        models.create_model("zfnet", dropout=2.0)
