"""Principal components against scikit-learn's."""

import jax
import numpy as np
import pytest
import quick
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA

from jaxvision import classical

IRIS = load_iris().data.astype(np.float32)


def test_iris() -> None:
    found = classical.pca(IRIS, 4)
    np.testing.assert_allclose(
        found.explained_variance_ratio, [0.924619, 0.053066, 0.017103, 0.005212], atol=1e-6
    )
    two = classical.pca(IRIS, 2)
    rest = np.square(IRIS - two.inverse(two.transform(IRIS))).sum(axis=1).mean()
    assert rest == pytest.approx(0.101364, abs=1e-5)


@pytest.mark.parametrize("method", ["exact", "randomized"])
@pytest.mark.parametrize("whiten", [False, True])
def test_digits(method, whiten) -> None:
    points = load_digits().data.astype(np.float32)
    found = classical.pca(points, 5, method=method, whiten=whiten, key=jax.random.key(0))
    peer = PCA(5, svd_solver="full", whiten=whiten).fit(points.astype(np.float64))
    np.testing.assert_allclose(found.components, peer.components_, atol=2e-3)
    np.testing.assert_allclose(found.explained_variance, peer.explained_variance_, rtol=1e-4)
    codes = quick.jit(lambda found, points: found.transform(points))(found, points)
    expected = peer.transform(points)
    np.testing.assert_allclose(codes, expected, atol=2e-3 * np.abs(expected).max())
    np.testing.assert_allclose(found.inverse(codes), peer.inverse_transform(expected), atol=0.05)


def test_points_without_variance_have_codes_too() -> None:
    found = classical.pca(np.ones((3, 2), np.float32), 1, whiten=True)
    np.testing.assert_array_equal(found.explained_variance_ratio, 0)
    np.testing.assert_array_equal(found.transform(np.ones((3, 2), np.float32)), 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_components": 5}, "at most 4 for points of shape"),
        ({"num_components": 0}, "num_components"),
        ({"num_components": 1, "method": "randomized"}, "needs a key"),
        ({"num_components": 1, "method": "exakt"}, "unknown method 'exakt'"),
    ],
)
def test_what_is_refused(options, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        classical.pca(IRIS, **options)
