import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import data


@pytest.mark.parametrize(("dtype", "largest"), [(jnp.uint8, 255), (jnp.uint16, 65535), (bool, 1)])
def test_integers_become_fractions(dtype, largest):
    images = np.array([0, 1, largest // 2, largest]).astype(dtype).reshape(1, 2, 2, 1)
    floats = quick.jit(data.to_float)(images)
    assert floats.dtype == jnp.float32
    expected = images.astype(np.float64) / largest
    np.testing.assert_allclose(floats, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.int8])
def test_integers_that_do_not_tell_what_white_is(dtype):
    with pytest.raises(TypeError, match=r"got int.*images.astype\("):
        data.to_float(jnp.asarray(np.ones((2, 2, 1), dtype)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_floats_stay_as_they_are(dtype):
    images = jnp.asarray(np.array([-1.5, 0, 3, np.nan], dtype).reshape(2, 2, 1))
    assert data.to_float(images) is images


def test_doubles_stay_doubles():
    with jax.enable_x64(True):
        images = jax.ShapeDtypeStruct((2, 2, 1), jnp.float64)
        assert jax.eval_shape(data.to_float, images).dtype == jnp.float64
        normalized = jax.eval_shape(lambda x: data.normalize(x, (0.5,), (0.5,)), images)
        assert normalized.dtype == jnp.float64


def test_normalize():
    shapes = ((4, 5, 3), (2, 4, 5, 3), (2, 2, 4, 5, 3), (0, 4, 5, 3))
    means = ((0.5,), (0.485, 0.456, 0.406))
    stds = ((0.25,), (0.229, 0.224, 0.225))
    cases = list(itertools.product(range(len(shapes)), means, stds))
    images = [np.random.default_rng(0).random(shape, np.float32) for shape in shapes]

    @quick.jit
    def normalize(images):
        return [data.normalize(images[each], mean, std) for each, mean, std in cases]

    for normalized, (each, mean, std) in zip(normalize(images), cases, strict=True):
        expected = (images[each].astype(np.float64) - mean) / std
        case = str((shapes[each], mean, std))
        np.testing.assert_allclose(normalized, expected, rtol=1e-5, atol=1e-6, err_msg=case)


def test_half_precision_is_rounded_once():
    images = np.linspace(0, 1, 256).astype(jnp.bfloat16).reshape(16, 16, 1)
    normalized = quick.jit(lambda x: data.normalize(x, (0.485,), (0.229,)))(images)
    assert normalized.dtype == jnp.bfloat16
    exact = (images.astype(np.float64) - 0.485) / 0.229
    # Some results lie halfway between two numbers of eight bits, and may be rounded to either.
    half = np.exp2(np.floor(np.log2(np.abs(exact))) - 8)
    assert np.all(np.abs(np.asarray(normalized, np.float64) - exact) <= 1.0001 * half)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5, 0.5), (1.0,), "mean has 2 numbers and the images have 3 channels"),
        ((0.5,), (1.0,) * 4, "std has 4 numbers and the images have 3 channels"),
        ((), (1.0,), "mean has 0 numbers"),
    ],
)
def test_numbers_for_other_channels(mean, std, message):
    with pytest.raises(ValueError, match=message):
        data.normalize(jnp.asarray(np.ones((2, 2, 3), np.float32)), mean, std)
