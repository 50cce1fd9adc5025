import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.data import augment

LEVEL = 1e-5  # half of the fixture's 16-bit step, and float32 rounding
FUNCTIONS = {
    "invert": augment.invert,
    "posterize": lambda image: augment.posterize(image, 3),
    "solarize": lambda image: augment.solarize(image, 0.5),
    "autocontrast": augment.autocontrast,
    "equalize": augment.equalize,
}
STATISTICS = ("autocontrast", "equalize")


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


@pytest.mark.parametrize("kind", ["rgb", "gray"])
def test_tones_equal_torchvision(torchvision, kind):
    bits = (0, 1, 3, 8)

    def toned(image, bits):
        posterized = jax.vmap(augment.posterize, (None, 0))(image, bits)
        return augment.invert(image), augment.solarize(image, 0.5), posterized

    inverted, solarized, posterized = run(toned, torchvision[kind], np.array(bits))
    np.testing.assert_allclose(inverted, torchvision[f"{kind}/invert/"], atol=LEVEL)
    np.testing.assert_allclose(solarized, torchvision[f"{kind}/solarize/0.5"], atol=LEVEL)
    for kept, result in zip(bits, posterized, strict=True):
        stored = torchvision[f"{kind}/posterize/{kept}"]
        np.testing.assert_allclose(result, stored, atol=LEVEL, err_msg=f"{kept} bits")


def test_statistics_equal_torchvision(torchvision):
    results = run(
        lambda image: [FUNCTIONS[name](image) for name in STATISTICS], torchvision["large"]
    )
    for name, result in zip(STATISTICS, results, strict=True):
        np.testing.assert_allclose(result, torchvision[f"large/{name}/"], atol=LEVEL, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_dtype_batching_and_range(dtype):
    def batched_and_alone(images):
        return {name: (jax.vmap(tone)(images), tone(images[1])) for name, tone in FUNCTIONS.items()}

    images = np.random.default_rng(0).uniform(size=(3, 17, 16, 2)).astype(dtype)
    for name, (batch, alone) in run(batched_and_alone, images).items():
        assert batch.dtype == dtype, name
        assert 0 <= batch.min() <= batch.max() <= 1, name
        np.testing.assert_array_equal(batch[1], alone, name)


def test_identities():
    image = np.arange(257, dtype=np.float32).reshape(1, 257, 1) / 256  # also between the levels
    results = run(
        lambda image: (
            augment.posterize(image, 8),
            augment.solarize(image, 1.01),
            augment.invert(augment.invert(image)),
        ),
        image,
    )
    for result in results:
        np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_flat_channel_stays_beside_one_that_changes(name):
    ramp = np.linspace(0.2, 0.5, 400).reshape(20, 20)
    flat = [np.full((20, 20), value) for value in (0.0, 0.3, 1.0)]
    image = np.stack([*flat, ramp], axis=-1).astype(np.float32)
    result = run(FUNCTIONS[name], image)
    np.testing.assert_array_equal(result[..., :3], image[..., :3])
    assert (result[..., 3].min(), result[..., 3].max()) == (0, 1)


def test_equalize_makes_levels_equally_frequent():
    dark = np.random.default_rng(0).beta(2.0, 8.0, (64, 64, 1)).astype(np.float32)
    shares = np.histogram(run(augment.equalize, dark), bins=8, range=(0, 1))[0] / 64**2
    assert np.abs(shares - 1 / 8).max() < 0.02


def test_posterize_takes_traced_bits():
    image = np.arange(256, dtype=np.float32).reshape(16, 16, 1) / 255
    batch = run(jax.vmap(augment.posterize, (None, 0)), image, np.arange(9))
    assert [len(np.unique(levels)) for levels in batch] == [2**k for k in range(9)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_integers_are_refused(name):
    with pytest.raises(TypeError, match=r"(?i)float"):
        jax.eval_shape(FUNCTIONS[name], np.zeros((2, 2, 3), np.uint8))
