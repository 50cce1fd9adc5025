import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick

from jaxvision import explain

WEIGHTS = np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32)
KEY = jax.random.key(0)


def linear(x):
    """Three units, each a product with its weights."""
    return jnp.einsum("bhwc,uhwc->bu", x, WEIGHTS)


def test_the_best_input_of_a_linear_unit_is_its_weights() -> None:
    made = quick.jit(
        lambda key: explain.maximize_on_sphere(
            linear, np.array([0, 2]), (4, 5, 2), key, radius=3.0, steps=40
        )
    )(KEY)
    lengths = np.linalg.norm(WEIGHTS.reshape(3, -1), axis=1)[[0, 2]]
    expected = 3 * WEIGHTS[[0, 2]] / lengths[:, None, None, None]
    np.testing.assert_allclose(made.images, expected, atol=1e-5)
    np.testing.assert_allclose(made.losses[-1], -3 * lengths, rtol=1e-5)
    assert made.losses.shape == (40, 2)


def test_a_class_image_raises_its_class_and_depends_on_the_key() -> None:
    @quick.jit
    def make(key):
        return explain.maximize(
            linear, np.array([1, 1]), (4, 5, 2), key, steps=100, jitter=0, canvas=explain.pixels()
        )

    made, other = make(KEY), make(jax.random.key(1))
    # Without a prior, each pixel follows the sign of its weight.
    assert ((np.asarray(made.images) > 0.5) == (WEIGHTS[1] > 0)).all()
    assert (made.losses[-1] < made.losses[0] - 3).all()
    assert not np.array_equal(made.images, other.images)
    assert np.array_equal(make(KEY).images, made.images)


def test_smoothness_flattens_and_jitter_moves() -> None:
    """Moved by all shifts, a unit of weights that add up to 0 has no direction left."""
    checks = np.indices((4, 4)).sum(0)[..., None] % 2 * 2.0 - 1

    def unit(x):
        return (x * checks).sum((1, 2, 3))

    @quick.jit
    def make(key):
        options = {"steps": 60, "canvas": explain.pixels(), "count": 2}
        still = explain.maximize(unit, lambda y: y, (4, 4, 1), key, jitter=0, **options)
        smooth = explain.maximize(
            unit, lambda y: y, (4, 4, 1), key, jitter=0, smoothness=100.0, **options
        )
        moved = explain.maximize(unit, lambda y: y, (4, 4, 1), key, jitter=2, **options)
        return [each.images for each in (still, smooth, moved)]

    still, smooth, moved = map(np.asarray, make(KEY))
    assert still.std() > 0.4
    assert smooth.std() < 0.05
    assert moved.std() < still.std()


def test_an_optimizer_of_optax_and_what_it_started_from() -> None:
    """One step of gradient descent on a square in logits, written out."""
    start = np.full((1, 1, 2, 1), 0.5, np.float32)

    def loss(x):
        return ((x - 0.75) ** 2).sum((1, 2, 3))

    made = quick.jit(lambda x: explain.synthesize(loss, x, steps=1, optimizer=optax.sgd(1.0)))(
        jnp.asarray(start)
    )
    np.testing.assert_allclose(made.images, 1 / (1 + np.exp(-0.125)), rtol=1e-5)
    np.testing.assert_allclose(made.losses, [[0.125]])


def test_inverting_features_of_a_linear_map_gives_the_image() -> None:
    rng = np.random.default_rng(0)
    matrix = np.linalg.qr(rng.normal(size=(24, 24)))[0].astype(np.float32) * 2
    images = rng.uniform(0.1, 0.9, (2, 4, 3, 2)).astype(np.float32)

    def f(x):
        return x.reshape(len(x), 24) @ matrix

    invert = quick.jit(lambda features, key: explain.invert_features(f, features, (4, 3, 2), key))
    made = invert(jnp.asarray(f(images)), KEY)
    np.testing.assert_allclose(made.images, images, atol=1e-4)
    assert (made.losses[-1] < 1e-8).all()


def test_what_features_lose_is_filled_in_by_the_prior() -> None:
    """Features that know the left half: the right half becomes flat."""
    images = np.random.default_rng(0).uniform(0.2, 0.8, (1, 4, 8, 1)).astype(np.float32)

    def f(x):
        return x[:, :, :4]

    made = quick.jit(
        lambda features, key: explain.invert_features(
            f, features, (4, 8, 1), key, smoothness=1e-4, steps=300, optimizer=optax.adam(0.05)
        )
    )(jnp.asarray(images[:, :, :4]), KEY)
    np.testing.assert_allclose(made.images[:, :, :4], images[:, :, :4], atol=0.02)
    inside = np.asarray(made.images[0, :, 4:, 0])
    assert np.abs(np.diff(inside, axis=1)).max() < 0.05


def scores(x):
    return x.sum((1, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: explain.maximize(scores, None, (4, 4, 3), KEY), "a class or a function"),
        (lambda: explain.maximize(scores, 3, (4, 4, 3), KEY), "class from 0 to 2, got 3"),
        (lambda: explain.maximize_on_sphere(scores, None, (4, 4, 3), KEY), "got None"),
        (lambda: explain.maximize_on_sphere(scores, 0, (4, 4, 3), KEY, radius=0.0), "positive"),
        (lambda: explain.synthesize(scores, jnp.ones((2, 4, 4, 3))), r"\(2,\), got \(2, 3\)"),
        (lambda: explain.synthesize(scores, jnp.ones((2, 4, 4, 3)), steps=-1), "got -1 and 0"),
        (lambda: explain.synthesize(scores, jnp.ones((2, 4, 4, 3)), jitter=4), "4 pixels .* key"),
        (
            lambda: explain.invert_features(scores, jnp.ones((1, 4)), (4, 4, 3), KEY),
            r"\(1, 3\), got \(1, 4\)",
        ),
    ],
)
def test_wrong_inputs_are_named(call, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(call)
