"""Distances between sets of features: closed forms, and the values of other libraries."""

import json

import make_generative as fixture
import numpy as np
import pytest

from jaxvision import metrics

FOUND = json.loads(fixture.PATH.read_text())
REAL, FAKE = fixture.features()


@pytest.mark.parametrize("library", ["clean-fid", "torch-fidelity"])
def test_frechet_distance_is_that_of_other_libraries(library) -> None:
    """With more examples than features, and with fewer, whose covariances are singular."""
    expected = FOUND["frechet_distance"]
    assert metrics.frechet_distance(REAL, FAKE) == pytest.approx(expected["many"][library])
    few = metrics.frechet_distance(*fixture.few_features())
    assert few == pytest.approx(expected["few"][library])


def test_frechet_distance_of_what_is_moved() -> None:
    assert metrics.frechet_distance(REAL, REAL) == pytest.approx(0, abs=1e-9)
    assert metrics.frechet_distance(REAL, REAL[::-1] + 2) == pytest.approx(20)


def test_frechet_distance_of_normals() -> None:
    found = metrics.frechet_distance_of_moments([0] * 4, np.eye(4), [1, 2, 0, 0], 4 * np.eye(4))
    assert found == pytest.approx(9, abs=1e-12)
    rank_one = np.diag([1.0, 0.0])  # fewer examples than features leave such
    assert metrics.frechet_distance_of_moments([0, 0], rank_one, [0, 0], np.eye(2)) == 1
    assert metrics.frechet_distance_of_moments([0, 0], rank_one, [0, 0], rank_one) == 0
    real, fake = (each.astype(np.float32) for each in fixture.few_features())
    moments = [
        (each.mean(0), np.cov(each, rowvar=False).astype(np.float32)) for each in (real, fake)
    ]
    of_rounded = metrics.frechet_distance_of_moments(*moments[0], *moments[1])
    assert of_rounded == pytest.approx(metrics.frechet_distance(real, fake), rel=1e-4)


def test_large_features_lose_no_digits() -> None:
    assert metrics.frechet_distance(1e6 + REAL, 1e6 + FAKE) == pytest.approx(
        FOUND["frechet_distance"]["many"]["clean-fid"], rel=1e-6
    )


def test_kernel_distance_is_torch_fidelitys(monkeypatch) -> None:
    found = metrics.kernel_distance(REAL[: len(FAKE)], FAKE)
    assert found == pytest.approx(FOUND["kernel_distance"])
    monkeypatch.setattr("jaxvision.metrics._distances._BLOCK", 100)
    assert metrics.kernel_distance(REAL[: len(FAKE)], FAKE) == pytest.approx(found)


def test_kernel_distance_of_the_same_is_0_on_average() -> None:
    random = np.random.default_rng(0)
    found = [metrics.kernel_distance(*random.normal(size=(2, 20, 2))) for _ in range(500)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(500)
    assert min(found) < 0


@pytest.mark.parametrize("block", [None, 70])
def test_support_is_that_of_prdc(block, monkeypatch) -> None:
    if block:
        monkeypatch.setattr("jaxvision.metrics._distances._BLOCK", block)
    found = metrics.support(REAL, FAKE, neighbors=fixture.NEIGHBORS)
    assert found._asdict() == pytest.approx(FOUND["support"])


def test_support_of_a_collapsed_generator() -> None:
    found = metrics.support(REAL, REAL[:2].repeat(30, axis=0) + 1e-9)
    assert found.precision == 1
    assert found.recall < 0.1
    assert found.coverage < 0.3


def test_inception_score_is_torch_fidelitys() -> None:
    assert metrics.inception_score(fixture.probabilities()) == pytest.approx(
        FOUND["inception_score"]
    )
    assert metrics.inception_score(np.full((7, 5), 0.2)) == pytest.approx(1)
    assert metrics.inception_score(np.eye(5)) == pytest.approx(5)


def test_modes() -> None:
    found = metrics.mode_coverage([0] * 90 + [1] * 8 + [3] * 2, 4, least_share=0.05)
    np.testing.assert_allclose(found.shares, [0.9, 0.08, 0, 0.02])
    assert found.modes == 2
    assert metrics.mode_coverage([0, 1, 2, 3], 4).divergence == 0
    assert metrics.mode_coverage([2] * 9, 4).divergence == pytest.approx(np.log(4))
    expected = metrics.mode_coverage([0, 0, 0, 1], 2, expected=[0.75, 0.25])
    assert expected.divergence == pytest.approx(0)
    assert metrics.mode_coverage([0, 1], 2, expected=[1, 0]).divergence == np.inf


def test_nearest(monkeypatch) -> None:
    indices, distances = metrics.nearest(FAKE, REAL)
    table = np.linalg.norm(FAKE[:, None] - REAL, axis=-1)
    np.testing.assert_array_equal(indices, table.argmin(1))
    np.testing.assert_allclose(distances, table.min(1), rtol=1e-6)
    monkeypatch.setattr("jaxvision.metrics._distances._BLOCK", 100)
    among, apart = metrics.nearest(REAL, REAL, skip_self=True)
    assert (among != np.arange(60)).all()
    assert (apart > 0).all()
    one, apart = metrics.nearest([[0.0, 0.0]], [[3.0, 4.0]])
    assert (one.tolist(), apart.tolist()) == ([0], [5.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.frechet_distance(REAL, FAKE[:, :3]), r"same features.*\(40, 3\)"),
        (lambda: metrics.frechet_distance(REAL[:1], FAKE), "2 examples or more, got 1 and 40"),
        (lambda: metrics.kernel_distance(REAL * np.inf, FAKE), "not finite|NaN"),
        (lambda: metrics.support(REAL, FAKE, neighbors=40), "less than the examples, 40, got 40"),
        (lambda: metrics.inception_score(REAL), "sum to 1"),
        (lambda: metrics.mode_coverage([0, 5], 4), "0 to 3, got 5"),
        (lambda: metrics.mode_coverage([0], 2, expected=[1.0]), "must be 2 shares"),
        (lambda: metrics.frechet_distance([], FAKE), "empty"),
        (
            lambda: metrics.frechet_distance_of_moments([0] * 2, -np.eye(2), [0] * 2, np.eye(2)),
            "covariance1 must have no negative eigenvalue, and has -1",
        ),
        (
            lambda: metrics.frechet_distance_of_moments(
                [0] * 2, np.eye(2), [0] * 2, [[1, 0.5], [0, 1]]
            ),
            "covariance2 must be symmetric, and two opposite numbers differ by 0.5",
        ),
        (lambda: metrics.nearest(REAL, FAKE[:, :3]), "queries and references must be"),
        (lambda: metrics.nearest(REAL[:1], REAL[:1], skip_self=True), "2 examples or more"),
    ],
)
def test_what_is_not_allowed(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
