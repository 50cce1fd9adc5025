import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.explain.estimate import Estimate, mean_of_samples


@pytest.mark.parametrize(("count", "copies"), [(2, 1), (7, 3), (10, 64), (9, 9)])
def test_means_and_standard_errors(count, copies) -> None:
    values = np.random.default_rng(0).normal(1000, 1, (count, 3)).astype(np.float32)
    values[0, 2] = np.nan
    mean, error = quick.jit(
        lambda rows: mean_of_samples(lambda number: rows[number], count, copies)
    )(values)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-6)
    expected = values.astype(float).std(axis=0, ddof=1) / np.sqrt(count)
    np.testing.assert_allclose(error, expected, rtol=2e-3)


def test_bands_contain_the_mean_as_often_as_they_say() -> None:
    @quick.jit
    def ends(key):
        mean, error = mean_of_samples(
            lambda number: jax.random.normal(jax.random.fold_in(key, number), (2000,)), 40, 40
        )
        found = Estimate(mean[None], jnp.zeros(1), "none", 0.0, error[None])
        return found.band(0.9), found.band(0.99)

    for (low, high), (least, most) in zip(
        ends(jax.random.key(0)), ((0.86, 0.91), (0.975, 0.993)), strict=True
    ):
        assert least < ((low < 0) & (high > 0)).mean() < most


def test_no_band_is_certain() -> None:
    found = Estimate(jnp.zeros((1, 1)), jnp.zeros(1), "none", 0.0, jnp.zeros((1, 1)))
    with pytest.raises(ValueError, match=r"confidence must be between 0 and 1, got 1\.0"):
        found.band(1.0)
