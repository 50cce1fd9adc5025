import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from attribution_nets import captum, inputs, net

from jaxvision import explain

KEY = jax.random.key(0)
SEGMENTS = np.array([[0, 0, 1], [2, 3, 1]])


def game(x):
    """Interactions of the four segments, which SEGMENTS gives 2, 2, 1 and 1 pixels."""
    a, b, c, d = x[:, 0, 0, 0], x[:, 0, 2, 0], x[:, 1, 0, 0], x[:, 1, 1, 0]
    return (3 * a * b + jnp.sin(2 * c + d) + jax.nn.relu(a + c - b * d))[:, None]


def exact(values):
    """Shapley values by enumeration of all subsets."""
    count = len(values)

    def score(subset):
        image = np.where(np.isin(np.arange(count), subset), values, 0.0)[SEGMENTS]
        return float(game(image[None, ..., None])[0, 0])

    found = np.zeros(count)
    scores = {
        subset: score(subset)
        for size in range(count + 1)
        for subset in itertools.combinations(range(count), size)
    }
    for player in range(count):
        for subset, value in scores.items():
            if player not in subset:
                weight = math.factorial(len(subset)) * math.factorial(count - len(subset) - 1)
                rise = scores[tuple(sorted((*subset, player)))] - value
                found[player] += weight / math.factorial(count) * rise
    return found


def test_values_equal_captum() -> None:
    images, baseline, target = inputs()
    found = quick.jit(
        lambda x, b: explain.shapley_sampling(
            net("conv"), x, target, key=KEY, segments=captum()["segments"], baseline=b,
            permutations=400, batch_size=2000,
        )
    )(images, baseline)  # fmt: skip
    sizes = np.bincount(captum()["segments"].ravel())[captum()["segments"]]
    expected = captum()["conv/shapley"][..., :1] / sizes[..., None]
    deviations = (found.map - expected) / (found.standard_error + 1e-7)
    assert np.abs(deviations).max() < 4
    assert np.abs(found.map - expected).max() < 0.05 * np.abs(expected).max()
    assert found.error.max() < 1e-4


def test_efficiency_and_linear_functions() -> None:
    x = np.random.default_rng(0).normal(size=(3, 5, 4, 2)).astype(np.float32)
    weights = np.random.default_rng(1).normal(size=(5, 4, 2)).astype(np.float32)

    @quick.jit
    def found(x):
        return explain.shapley_sampling(
            lambda y: (y * weights).sum(axis=(1, 2)), x, 1, key=KEY, grid=(2, 9), baseline=0.25,
            permutations=4, batch_size=7,
        )  # fmt: skip

    estimate = found(x)
    values = ((x - 0.25) * weights)[..., 1]
    for rows in (slice(0, 3), slice(3, 5)):  # 9 columns are more than there are
        expected = values[:, rows].mean(axis=1, keepdims=True)
        expected = np.broadcast_to(expected, values[:, rows].shape)
        np.testing.assert_allclose(estimate.map[:, rows, :, 0], expected, atol=1e-5)
    assert estimate.error.max() < 1e-4
    np.testing.assert_allclose(estimate.standard_error, 0, atol=1e-5)


@pytest.mark.slow
def test_bands_contain_the_exact_values() -> None:
    values = np.array([1.0, 0.7, -0.4, 0.9])
    expected = (exact(values) / [2, 2, 1, 1])[SEGMENTS][None, ..., None]
    x = values[SEGMENTS][None, ..., None].astype(np.float32)

    @quick.jit
    def found(keys):
        return jax.lax.map(
            lambda key: explain.shapley_sampling(
                game, x, key=key, segments=SEGMENTS, permutations=80
            ),
            keys,
        )

    runs = found(jax.random.split(KEY, 500))
    low, high = runs.band(0.95)
    is_inside = (low - 1e-6 <= expected) & (expected <= high + 1e-6)
    assert 0.92 < is_inside.mean() < 0.98
    np.testing.assert_allclose(runs.map.mean(axis=0), expected, atol=0.005)
    assert runs.error.max() < 1e-4


def test_reverse_orders_cancel_pairwise_interactions() -> None:
    def f(x):
        return (x[:, 0, 0] * x[:, 0, 1] + 2 * x[:, 0, 1] * x[:, 1, 0]).sum(axis=1, keepdims=True)

    found = quick.jit(lambda x: explain.shapley_sampling(f, x, key=KEY, grid=2, permutations=4))(
        np.ones((1, 2, 2, 1), np.float32)
    )
    np.testing.assert_allclose(found.map[0, ..., 0], [[0.5, 1.5], [1, 0]], atol=1e-6)


def test_small_batches_dtypes_and_nan() -> None:
    @quick.jit
    def found(x):
        return explain.shapley_sampling(
            lambda y: y.mean(axis=(1, 2)), x, 0, key=KEY, grid=2, permutations=4
        )

    x = np.ones((2, 3, 3, 1), np.float32)
    assert jax.eval_shape(lambda x: found.__wrapped__(x).map, x[:0]).shape == (0, 3, 3, 1)
    half = found(jnp.asarray(x[:1], "bfloat16"))
    assert half.map.dtype == "float32"
    np.testing.assert_allclose(half.map, 1 / 9, rtol=0.02)
    x[1, 0, 0] = np.nan
    assert found(x).holds.tolist() == [True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"permutations": 2}, "even and at least 4, got 2"),
        ({"permutations": 7}, "even and at least 4, got 7"),
        ({"grid": 0}, "grid must be a positive height and width, got 0"),
        ({"segments": np.zeros((2, 2), int)}, r"of the images, \(2, 3\), got \(2, 2\)"),
        ({"segments": np.array([[0, 0, 0], [2, 2, 3]])}, r"without gaps, .* \[0, 2, 3\]"),
        ({"segments": np.array([[0, 0, 0], [-1, 1, 1]])}, r"from 0 .* \[-1, 0, 1\]"),
    ],
)
def test_wrong_options(options, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        explain.shapley_sampling(
            lambda x: x.mean(axis=(1, 2)), np.ones((1, 2, 3, 1), np.float32), key=KEY, **options
        )
