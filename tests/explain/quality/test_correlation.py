import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import metrics
from jaxvision.explain import quality

KEY = jax.random.key(0)
WEIGHTS = np.random.default_rng(1).normal(size=(7, 5, 3)).astype(np.float32)
IMAGES = np.random.default_rng(2).normal(size=(3, 7, 5, 3)).astype(np.float32)


def linear(x):
    return jnp.stack([(x * WEIGHTS).sum(axis=(1, 2, 3)), x.mean(axis=(1, 2, 3))], axis=1)


def correlations(f, sizes, **options):
    return quick.jit(
        lambda x, maps: quality.sensitivity_n(f, x, maps, 0, key=KEY, sizes=sizes, **options)
    )


def test_gradient_x_input_of_a_linear_function_has_sensitivity_n_for_all_n() -> None:
    measure = correlations(linear, [1, 2, 17, 34], num_subsets=30, batch_size=20)
    np.testing.assert_allclose(measure(IMAGES, IMAGES * WEIGHTS), 1, atol=1e-5)
    np.testing.assert_allclose(measure(IMAGES, -1e-12 * IMAGES * WEIGHTS), -1, atol=1e-5)


@pytest.mark.parametrize("size", [2, 4])
def test_all_subsets_of_a_small_image(size) -> None:
    random = np.random.default_rng(size)
    images, maps = random.normal(size=(2, 2, 2, 3, 1)).astype(np.float32)
    weights = random.normal(size=(6, 4)).astype(np.float32)

    def f(x):
        return jnp.tanh(x.reshape(len(x), -1) @ weights)

    found = correlations(f, [size], num_subsets=4000, batch_size=4000)(images, maps)
    for row in range(2):
        relevance, falls = [], []
        for subset in itertools.combinations(range(6), size):
            hidden = images[row].copy().ravel()
            hidden[list(subset)] = 0
            relevance.append(maps[row].ravel()[list(subset)].sum())
            falls.append(np.tanh(images[row].ravel() @ weights)[0] - np.tanh(hidden @ weights)[0])
        expected = np.corrcoef(relevance, falls)[0, 1]
        np.testing.assert_allclose(found[row, 0], expected, atol=0.04)


def test_equals_quantus_but_for_the_draws(fixture, network) -> None:
    f, images, maps, labels = network
    found = quick.jit(
        lambda *args: quality.faithfulness_correlation(
            f, *args, key=KEY, subset_size=9, num_subsets=4000, baseline=0.25, batch_size=3000
        )
    )(images, maps, labels)
    expected = fixture["faithfulness"]["faithfulness_correlation"]
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_what_has_no_correlation_is_nan_and_the_interval_leaves_it_out() -> None:
    maps = IMAGES * WEIGHTS + np.random.default_rng(3).normal(size=IMAGES.shape)
    maps = np.concatenate([maps, IMAGES * 0 + 0.1]).astype(np.float32)
    maps[1, 0, 0, 0] = np.inf
    images = np.concatenate([IMAGES, IMAGES])
    values = np.asarray(correlations(linear, [9], num_subsets=20)(images, maps))[:, 0]
    assert np.isnan(values).tolist() == [False, True, False, True, True, True]
    low, high = metrics.t_interval(values[~np.isnan(values)])
    assert low < values[[0, 2]].mean() < high
    assert np.isnan(correlations(lambda x: x[:, 0, 0, :] * 0 + 1, [9])(IMAGES, IMAGES)).all()


def test_rows_have_subsets_of_their_own_and_an_empty_batch_has_none() -> None:
    random = np.random.default_rng(4)
    images = np.broadcast_to(random.normal(size=(1, 7, 5, 3)), (2, 7, 5, 3)).astype(np.float32)
    maps = np.broadcast_to(random.normal(size=(1, 7, 5, 1)), (2, 7, 5, 1)).astype(np.float32)
    measure = correlations(linear, [9], num_subsets=20)
    first, second = measure(images, maps)[:, 0]
    assert first != second
    assert measure(images[:0], maps[:0]).shape == (0, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": [0]}, "size of a subset must be a whole number of pixels, at least 1, got 0"),
        ({"sizes": [3, 35]}, "less than the 35 pixels of an image, got 35"),
        ({"sizes": [3], "num_subsets": 1}, "num_subsets must be a whole number, at least 2"),
    ],
)
def test_what_cannot_be(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        quality.sensitivity_n(lambda x: np.zeros((3, 2)), IMAGES, IMAGES, key=KEY, **options)
