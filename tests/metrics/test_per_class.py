"""Scores of single classes."""

import numpy as np
import pytest

from jaxvision import metrics

MATRIX = [[8, 2, 0], [0, 10, 0], [1, 0, 0]]


def test_values_are_those_of_the_report() -> None:
    matrix = np.array([[8, 2, 1], [3, 10, 0], [1, 0, 5]])
    scores = metrics.class_scores(matrix, ["a", "b", "c"])
    report = metrics.classification_report(matrix)
    for name, attribute in (
        ("precision", "precision"),
        ("recall", "sensitivity"),
        ("f1", "f1_score"),
    ):
        values = [getattr(score, name).value for score in scores.values()]
        np.testing.assert_allclose(values, getattr(report, attribute))
    assert [score.num_examples for score in scores.values()] == report.support.tolist()


def test_intervals_are_wilsons() -> None:
    cat = metrics.class_scores(MATRIX, confidence=0.9)["0"]
    assert cat.precision[1:3] == metrics.wilson_interval(8, 9, 0.9)
    assert cat.recall[1:3] == metrics.wilson_interval(8, 10, 0.9)
    low, high = metrics.wilson_interval(8, 11, 0.9)
    assert cat.f1[1:3] == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))


def test_the_interval_of_f1_covers_what_it_claims() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([[0.2, 0.1], [0.05, 0.65]])
    truth = 2 * 0.2 / (2 * 0.2 + 0.1 + 0.05)
    covered = 0
    for _ in range(400):
        counts = rng.multinomial(150, shares.ravel()).reshape(2, 2)
        score = metrics.class_scores(counts)["0"].f1
        covered += score.low <= truth <= score.high
    assert 0.92 <= covered / 400 <= 0.98


def test_what_is_undefined_is_said() -> None:
    scores = metrics.class_scores(MATRIX, ["cat", "dog", "owl"])
    owl = scores["owl"]
    assert np.isnan(owl.precision.value)
    assert owl.precision.note == "never predicted"
    assert (owl.recall.value, owl.f1.value) == (0, 0)
    absent = metrics.class_scores([[1, 0], [0, 0]])["1"]
    assert np.isnan([absent.recall.value, absent.f1.value]).all()
    table = metrics.class_table(scores)
    assert "never predicted" in table.splitlines()[-1]


def test_of_many_classes_the_table_has_the_worst() -> None:
    matrix = np.diag(np.full(30, 9))
    matrix[7, 8] = 5
    table = metrics.class_table(metrics.class_scores(matrix), most=2).splitlines()
    assert [line.split()[0] for line in table[1:3]] == ["7", "8"]
    assert table[-1] == "(28 classes with a higher F1 are left out)"


@pytest.mark.parametrize(
    ("matrix", "names", "message"),
    [
        ([[1, 2]], None, r"must be of shape \(classes, classes\)"),
        ([[1, 0], [0, 1]], ["a"], "2 classes need as many names, got 1"),
        ([[1.5, 0], [0, 1]], None, "whole numbers"),
    ],
)
def test_what_is_no_matrix_of_counts_is_refused(matrix, names, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.class_scores(matrix, names)
