import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick

from jaxvision import explain

FIXTURE = pathlib.Path(__file__).parents[2] / "fixtures" / "style.json"
MAPS = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)


def test_gram_matrices_and_their_normalizations() -> None:
    @quick.jit
    def all_of(maps):
        names = ("none", "pixels", "elements")
        return [explain.gram_matrix(maps, name) for name in names]

    rows = MAPS.reshape(2, 12, 5)
    expected = rows.transpose(0, 2, 1) @ rows
    for found, count in zip(all_of(MAPS), (1, 12, 60), strict=True):
        np.testing.assert_allclose(found, expected / count, rtol=1e-4, atol=1e-5)
    # Constant maps have the outer product of their values.
    vector = np.array([1.0, -2, 3, 0, 4], np.float32)
    _, constant, _ = all_of(np.broadcast_to(vector, MAPS.shape).copy())
    np.testing.assert_allclose(constant, [np.outer(vector, vector)] * 2, rtol=1e-6)


def test_the_loss_is_that_of_pytorchs_tutorial_and_a_quarter_is_that_of_gatys() -> None:
    known = {
        name: np.array(value, np.float32) for name, value in json.loads(FIXTURE.read_text()).items()
    }

    @quick.jit
    def loss(maps, style):
        def elements(maps):
            return explain.style_loss(maps, explain.gram_matrix(style)).sum()

        pixels = explain.style_loss(maps, explain.gram_matrix(style, "pixels"), "pixels")
        return explain.gram_matrix(maps), *jax.value_and_grad(elements)(maps), pixels

    gram, value, gradient, pixels = loss(known["maps"], known["style"])
    np.testing.assert_allclose(gram[0], known["gram"], rtol=1e-5)
    np.testing.assert_allclose(value, known["loss"], rtol=1e-5)
    np.testing.assert_allclose(gradient, known["gradient"], rtol=1e-3, atol=1e-8)
    # Gatys et al., equation 4, for maps of one size: the sum of squares over 4 N² M².
    rows = known["maps"].reshape(-1, 3)
    other = known["style"].reshape(-1, 3)
    target = other.T @ other * (len(rows) / len(other))
    gatys = ((rows.T @ rows - target) ** 2).sum() / (4 * 3**2 * len(rows) ** 2)
    np.testing.assert_allclose(pixels / 4, gatys, rtol=1e-4)


def test_pixels_may_be_permuted() -> None:
    order = np.random.default_rng(1).permutation(12)
    permuted = MAPS.reshape(2, 12, 5)[:, order].reshape(MAPS.shape)
    loss = quick.jit(lambda x, y: explain.style_loss(x, explain.gram_matrix(y)))(MAPS, permuted)
    np.testing.assert_allclose(loss, 0, atol=1e-10)


def maps_of(x):
    """The image, its neighbors' products and a coarse copy: layers that any image has."""
    return {1: jnp.concatenate([x, jnp.roll(x, 1, axis=2)], axis=-1), 2: x[:, ::2, ::2]}


def test_a_texture_has_the_gram_matrices_and_not_the_pixels() -> None:
    """Columns of a period of 2: neighbors are opposite everywhere, in an image of another size."""
    texture = np.tile(np.array([0.2, 0.8], np.float32)[:, None], (1, 6, 4, 1))

    @quick.jit
    def make(texture, key):
        return explain.synthesize_texture(
            lambda x: {1: maps_of(x)[1]}, texture, key, layers={1: 1.0}, image_size=(8, 8),
            steps=400, optimizer=optax.adam(0.1),
        )  # fmt: skip

    made = make(jnp.asarray(texture), jax.random.key(0))
    assert made.images.shape == (1, 8, 8, 1)
    assert made.losses[-1, 0] < 1e-5 < made.losses[0, 0]
    found = np.asarray(made.images[0, :, :, 0])
    np.testing.assert_allclose((found**2).mean(), 0.34, atol=0.01)
    np.testing.assert_allclose((found * np.roll(found, 1, 1)).mean(), 0.16, atol=0.01)


def test_a_style_is_transferred_and_its_weight_decides() -> None:
    rng = np.random.default_rng(0)
    content = rng.uniform(0.3, 0.5, (2, 6, 6, 1)).astype(np.float32)
    style = np.full((1, 5, 7, 1), 0.9, np.float32)

    @quick.jit
    def paint(content, style):
        def with_weight(weight):
            return explain.transfer_style(
                maps_of, content, style, content_layers={2: 1.0}, style_layers={1: weight},
                normalization="pixels", steps=200, optimizer=optax.adam(0.05),
            ).images  # fmt: skip

        return with_weight(0.0), with_weight(1e3)

    kept, painted = paint(jnp.asarray(content), jnp.asarray(style))
    np.testing.assert_allclose(kept, content, atol=1e-4)
    np.testing.assert_allclose((np.asarray(painted) ** 2).mean((1, 2, 3)), 0.81, atol=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style_layers": {3: 1.0}}, r"no layer 3, but \[1, 2\]"),
        ({"content_layers": {}}, "at least one layer"),
        ({"normalization": "pixel"}, "did you mean 'pixels'"),
        ({"style": jnp.ones((2, 4, 4, 1))}, "one image whose style is taken, got 2"),
    ],
)
def test_wrong_inputs_are_named(options, message, unchecked) -> None:
    given = {"style": jnp.ones((1, 4, 4, 1)), "content_layers": {2: 1}, "style_layers": {1: 1}}
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(
            lambda: explain.transfer_style(maps_of, jnp.ones((1, 4, 4, 1)), **{**given, **options})
        )
