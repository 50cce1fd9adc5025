import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models import base


def test_images_of_numpy_are_taken():
    x = np.ones((2, 4, 5, 3), np.float32)
    assert isinstance(models.check_images(x), jax.Array)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_check_images_keeps_the_dtype(dtype):
    images = np.ones((2, 4, 5, 3), dtype)
    assert jax.eval_shape(models.check_images, images).dtype == dtype


@pytest.mark.parametrize("dtype", [np.int32, np.bool_, np.complex64])
def test_images_are_floating_point(dtype):
    with pytest.raises(TypeError, match=r"must be floating point, got .*x.astype\(jnp.float32\)"):
        models.check_images(np.ones((2, 4, 5, 3), dtype))


def test_a_model_must_define_its_features():
    class Nothing(models.Model, kw_only=True):
        pass

    with pytest.raises(NotImplementedError, match="Nothing must define features"):
        jax.eval_shape(Nothing().init, jax.random.key(0), np.ones((1, 4, 4, 3)))


def test_the_specification_is_not_shown():
    model = models.create_model("lenet5")
    assert model.spec is not None
    assert "spec" not in repr(model)


def test_canonical_dtype():
    assert base.canonical_dtype(None) is None
    assert base.canonical_dtype("float32") == jnp.float32
    with pytest.raises(ValueError, match="got 'uint8'"):
        base.canonical_dtype("uint8")
