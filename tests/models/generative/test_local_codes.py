"""Local codes: which pixels each part of a code sees and changes, classes, descriptions, errors."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import models

SHAPE, PARTS, LATENTS = (12, 16, 3), (3, 4), 24


def coders():
    encoder = models.ConvEncoder(channels=(8, 8), activation="tanh", local=True)
    decoder = models.ConvDecoder(shape=SHAPE, channels=(8, 8), activation="tanh", local=True)
    return {"encoder": encoder, "decoder": decoder}


@pytest.fixture(scope="module")
def trained():
    model = models.VariationalAutoencoder(**coders(), latent_size=LATENTS, num_classes=2)
    images = jax.random.normal(jax.random.key(1), (2, *SHAPE))
    labels = jnp.array([0, 1])

    @jax.jit
    def run():
        variables = model.init(jax.random.key(0), images, labels)
        encode = jax.jacobian(lambda x: model.apply(variables, x, labels, method="encode")[0])
        decode = jax.jacobian(lambda z: model.apply(variables, z, labels, method="decode"))
        mean, log_variance = model.apply(variables, images, labels, method="encode")
        same = jnp.tile(mean[:1], (2, 1))
        both = model.apply(variables, same, labels, method="decode")
        return variables["params"], mean, log_variance, encode(images), decode(mean), both

    return run()


def test_a_part_of_a_code_sees_and_changes_only_pixels_near_its_place(trained):
    _, mean, log_variance, of_codes, of_images, _ = trained
    assert mean.shape == log_variance.shape == (2, LATENTS)
    row, column = 1, 2
    # Through two 3x3 convolutions of stride 2, it sees 7x7 pixels around 4 times its place.
    seen = np.zeros(SHAPE[:2], bool)
    seen[1:8, 5:12] = True
    by_place = np.abs(of_codes[0, :, 0]).reshape(*PARTS, -1, *SHAPE)[row, column]
    np.testing.assert_array_equal(by_place.sum(axis=(0, -1)) > 0, seen)
    # Two transposed 4x4 convolutions of stride 2 spread it over 10x10 pixels.
    changed = np.zeros(SHAPE[:2], bool)
    changed[1:11, 5:15] = True
    by_place = np.abs(of_images[0, ..., 0, :]).reshape(*SHAPE, *PARTS, -1)[..., row, column, :]
    np.testing.assert_array_equal(by_place.sum(axis=(2, 3)) > 0, changed)


def test_all_places_share_one_layer_and_see_the_class(trained):
    params, _, _, _, _, of_both_classes = trained
    assert params["code"]["kernel"].shape == (8, 2 * LATENTS // 12)
    assert params["decoder"]["project"]["kernel"].shape == (LATENTS // 12 + 2, 8)
    difference = np.abs(of_both_classes[0] - of_both_classes[1])
    assert np.all(difference.reshape(3, 4, 4, 4, 3).max(axis=(1, 3, 4)) > 1e-3)


@pytest.mark.parametrize("kind", [models.Autoencoder, models.VariationalAutoencoder])
def test_codes_that_cannot_be_split(kind):
    model = kind(**coders(), latent_size=20)
    assert models.from_description(models.describe(model)) == model
    message = "latent_size must be a multiple of 12, since each place of the map of 3x4"
    with pytest.raises(ValueError, match=re.escape(message)):
        quick.jit(model.init)(jax.random.key(0), jnp.zeros((2, *SHAPE)))
    with pytest.raises(ValueError, match="multiple of 12"):
        coders()["decoder"].init(jax.random.key(0), jnp.zeros((2, 20)))


def test_empty_batch():
    model = models.Autoencoder(**coders(), latent_size=LATENTS)
    x, key = jnp.zeros((0, *SHAPE), jnp.bfloat16), jax.random.key(0)
    assert jax.eval_shape(model.init_with_output, key, x)[0].shape == (0, *SHAPE)
