import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import explain

IMAGES = np.random.default_rng(0).uniform(0.4, 0.6, (2, 9, 12, 3)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(9, 12, 3)).astype(np.float32)


def test_a_linear_unit_adds_its_weights_at_each_step() -> None:
    def unit(x):
        return (x * WEIGHTS).sum((1, 2, 3))

    found = quick.jit(
        lambda images, key: explain.deep_dream(
            unit, images, key, target=lambda y: y, octaves=1, steps=3, step_size=0.02, jitter=0
        )
    )(jnp.asarray(IMAGES), jax.random.key(0))
    expected = IMAGES + 3 * 0.02 * WEIGHTS / np.abs(WEIGHTS).mean()
    np.testing.assert_allclose(found, np.clip(expected, 0, 1), atol=1e-5)


def test_octaves_enhance_what_a_layer_sees_and_an_unmoved_image_stays() -> None:
    kernel = np.array([1.0, -2.0, 1.0], np.float32)

    def edges(x):
        return kernel[0] * x[:, :, :-2] + kernel[1] * x[:, :, 1:-1] + kernel[2] * x[:, :, 2:]

    @quick.jit
    def dream(images, key):
        options = {"octaves": 3, "steps": 4, "jitter": 5}
        still = explain.deep_dream(edges, images, key, step_size=0.0, **options)
        dreamed = explain.deep_dream(edges, images, key, **options)
        energies = [(edges(x) ** 2).mean((1, 2, 3)) for x in (images, dreamed)]
        return still, dreamed, energies

    still, dreamed, (before, after) = dream(jnp.asarray(IMAGES), jax.random.key(0))
    np.testing.assert_allclose(still, IMAGES, atol=1e-6)
    assert (after > 2 * before).all()
    assert dreamed.shape == IMAGES.shape
    assert ((np.asarray(dreamed) >= 0) & (np.asarray(dreamed) <= 1)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"octaves": 0}, "got 0 and 1.4"),
        ({"octave_scale": 1.0}, "got 4 and 1.0"),
        ({"octaves": 12}, "first of 12 octaves of 9x12 pixels has none"),
    ],
)
def test_wrong_octaves_are_named(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        explain.deep_dream(lambda x: x, jnp.asarray(IMAGES), jax.random.key(0), **options)
