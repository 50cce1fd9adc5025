"""Linear models against closed forms and scikit-learn's solvers."""

import jax
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from jaxvision import classical

POINTS, LABELS = load_iris(return_X_y=True)
POINTS = POINTS.astype(np.float32)


def test_linear_regression_is_the_least_squares_solution() -> None:
    targets = POINTS[:, 2:]
    found = classical.linear_regression(POINTS[:, :2], targets, num_steps=500)
    ones = np.concatenate([POINTS[:, :2], np.ones((len(POINTS), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(ones, targets, rcond=None)
    np.testing.assert_allclose(found.kernel, solution[:2], atol=1e-4)
    np.testing.assert_allclose(found.bias, solution[2], atol=1e-3)
    plain = classical.linear_regression(POINTS[:, :2], targets, num_steps=50, momentum=0)
    assert (np.diff(plain.losses) < 1e-6).all()


def standardized() -> np.ndarray:
    return (POINTS - POINTS.mean(0)) / POINTS.std(0)


@pytest.mark.parametrize("kind", ["logistic", "softmax"])
def test_with_a_penalty_they_are_those_of_scikit_learn(kind) -> None:
    l2 = 0.01
    points, labels = standardized(), LABELS if kind == "softmax" else (LABELS == 1).astype(int)
    peer = LogisticRegression(C=1 / (l2 * len(points)), tol=1e-8, max_iter=10_000)
    peer.fit(points.astype(np.float64), labels)
    if kind == "softmax":
        found = classical.softmax_regression(POINTS, labels, num_classes=3, l2=l2, num_steps=4000)
    else:
        found = classical.logistic_regression(POINTS, labels, l2=l2, num_steps=2000)
    logits = np.asarray(found(POINTS))
    expected = peer.decision_function(points)
    expected = expected if kind == "softmax" else expected[:, None]
    if kind == "softmax":
        logits = logits - logits.mean(axis=1, keepdims=True)
        expected = expected - expected.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(logits, expected, atol=2e-2)


def test_points_of_weight_0_do_not_count_and_constant_features_are_left_alone() -> None:
    points = np.concatenate([POINTS, np.full((150, 1), 3, np.float32)], axis=1)
    weight = (np.arange(150) % 3 > 0).astype(np.float32)
    spoiled = points.copy()
    spoiled[::3] = 1e3
    fit = jax.jit(
        lambda points, weight: classical.softmax_regression(
            points, LABELS, num_classes=3, weight=weight, num_steps=50
        )
    )
    first, second = fit(points, weight), fit(spoiled, weight)
    np.testing.assert_allclose(first.kernel, second.kernel, atol=1e-4)
    np.testing.assert_array_equal(first.kernel[4], 0)
    assert (first(points).argmax(1) == LABELS).mean() > 0.95


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="there must be points"):
        classical.linear_regression(POINTS[:0], POINTS[:0])
    with pytest.raises(ValueError, match="l2 must be a number, not negative, got -1"):
        classical.linear_regression(POINTS, POINTS, l2=-1.0)
    with pytest.raises(ValueError, match="num_classes"):
        classical.softmax_regression(POINTS, LABELS, num_classes=1)
