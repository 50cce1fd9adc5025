import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.data import augment

LEVEL = 1e-5  # half of the fixture's 16-bit step, and float32 rounding
FUNCTIONS = {
    "invert": augment.invert,
    "posterize": lambda image: augment.posterize(image, 3),
    "solarize": lambda image: augment.solarize(image, 0.5),
    "autocontrast": augment.autocontrast,
    "equalize": augment.equalize,
}


@pytest.mark.parametrize("kind", ["rgb", "gray"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("invert", []),
        ("solarize", [0.5]),
        ("posterize", [0]),
        ("posterize", [1]),
        ("posterize", [3]),
        ("posterize", [8]),
    ],
)
def test_tones_equal_torchvision(torchvision, kind, name, arguments):
    result = getattr(augment, name)(torchvision[kind], *arguments)
    stored = torchvision["/".join([kind, name, *(map(str, arguments or [""]))])]
    np.testing.assert_allclose(result, stored, atol=LEVEL)


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_statistics_equal_torchvision(torchvision, name):
    result = getattr(augment, name)(torchvision["large"])
    np.testing.assert_allclose(result, torchvision[f"large/{name}/"], atol=LEVEL)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dtype_batching_and_range(name, dtype):
    images = jax.random.uniform(jax.random.key(0), (3, 17, 16, 2)).astype(dtype)
    batch = jax.jit(jax.vmap(FUNCTIONS[name]))(images)
    assert batch.dtype == dtype
    assert float(batch.min()) >= 0
    assert float(batch.max()) <= 1
    np.testing.assert_array_equal(batch[1], jax.jit(FUNCTIONS[name])(images[1]))


@pytest.mark.parametrize(
    "function",
    [
        lambda image: augment.posterize(image, 8),
        lambda image: augment.solarize(image, 1.01),
        lambda image: augment.invert(augment.invert(image)),
    ],
)
def test_identities(function):
    image = jnp.arange(257).reshape(1, 257, 1) / 256  # values between the 8-bit levels too
    np.testing.assert_array_equal(function(image), image)


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_flat_channel_stays_beside_one_that_changes(name, value):
    ramp = jnp.linspace(0.2, 0.5, 400).reshape(20, 20)
    image = jnp.stack([jnp.full((20, 20), value), ramp], axis=-1)
    result = FUNCTIONS[name](image)
    np.testing.assert_array_equal(result[..., 0], image[..., 0])
    assert float(result[..., 1].min()) == 0
    assert float(result[..., 1].max()) == 1


def test_equalize_makes_levels_equally_frequent():
    dark = jax.random.beta(jax.random.key(0), 2.0, 8.0, (64, 64, 1))
    shares = np.histogram(augment.equalize(dark), bins=8, range=(0, 1))[0] / 64**2
    assert np.abs(shares - 1 / 8).max() < 0.02


def test_posterize_takes_traced_bits():
    image = jnp.arange(256).reshape(16, 16, 1) / 255
    bits = jnp.arange(9)
    batch = jax.vmap(lambda bits: augment.posterize(image, bits))(bits)
    assert [len(np.unique(levels)) for levels in batch] == [2**k for k in range(9)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_integers_are_refused(name):
    with pytest.raises(TypeError, match=r"(?i)float"):
        FUNCTIONS[name](jnp.zeros((2, 2, 3), jnp.uint8))
