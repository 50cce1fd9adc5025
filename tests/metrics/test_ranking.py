import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import metrics


@pytest.mark.parametrize("index", range(3), ids=["ties", "weights", "all equal"])
def test_binary_equals_scikit_learn(fixture, index):
    case = fixture["binary_ranking"][index]
    data = case["scores"], case["labels"]
    weight = case["weight"]
    for curve in ("roc_curve", "precision_recall_curve"):
        actual = getattr(metrics, curve)(*data, weight)
        for ours, theirs in zip(actual, case[curve], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    for area in ("roc_auc", "average_precision"):
        actual = getattr(metrics, area)(*data, weight=weight)
        assert isinstance(actual, float)
        np.testing.assert_allclose(actual, case[area], rtol=1e-12)


@pytest.mark.parametrize("index", range(2), ids=["unweighted", "weighted"])
@pytest.mark.parametrize("average", ["none", "macro", "micro", "weighted"])
@pytest.mark.parametrize("area", ["roc_auc", "average_precision"])
def test_multiclass_equals_scikit_learn(fixture, index, area, average):
    case = fixture["multiclass_ranking"][index]
    actual = getattr(metrics, area)(
        case["scores"], case["labels"], average=average, weight=case["weight"]
    )
    np.testing.assert_allclose(actual, case[area][average], rtol=1e-12)


def test_one_vs_one_equals_scikit_learn(fixture):
    case = fixture["multiclass_ranking"][0]
    scores, labels = np.array(case["scores"]), np.array(case["labels"])
    actual = metrics.roc_auc(scores, labels, scheme="one-vs-one")
    np.testing.assert_allclose(actual, case["one_vs_one"], rtol=1e-12)
    # A weight of 2 is the same example twice.
    weight = np.arange(60) % 3
    twice = np.repeat(np.arange(60), weight)
    np.testing.assert_allclose(
        metrics.roc_auc(scores, labels, scheme="one-vs-one", weight=weight),
        metrics.roc_auc(scores[twice], labels[twice], scheme="one-vs-one"),
        rtol=1e-12,
    )


def test_area_is_the_chance_that_a_positive_wins():
    random = np.random.default_rng(0)
    scores, labels = random.integers(0, 6, 40), random.integers(0, 2, 40)
    wins = np.sign(np.subtract.outer(scores[labels == 1], scores[labels == 0]))
    np.testing.assert_allclose(metrics.roc_auc(scores, labels), (1 + wins.mean()) / 2, rtol=1e-12)


def test_order_of_the_examples_does_not_matter():
    scores, labels = jnp.array([0.5, 0.5, 0.5, 0.9]), jnp.array([True, False, True, False])
    for area in (metrics.roc_auc, metrics.average_precision):
        assert area(scores, labels) == area(scores[::-1], labels[::-1])


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_is_nan(label):
    scores, labels = [0.1, 0.7, 0.4], [label] * 3
    assert np.isnan(metrics.roc_auc(scores, labels))
    missing = metrics.roc_curve(scores, labels)[1 - label]
    assert missing[0] == 0
    assert np.isnan(missing[1:]).all()
    present = metrics.roc_curve(scores, labels)[label]
    np.testing.assert_allclose(present, [0, 1 / 3, 2 / 3, 1])
    assert metrics.average_precision(scores, labels) == pytest.approx(
        1 if label else math.nan, nan_ok=True
    )
    recall = metrics.precision_recall_curve(scores, labels).recall
    assert np.isnan(recall[:-1]).all() == (label == 0)
    assert recall[-1] == 0


def test_absent_classes_are_left_out_of_the_means():
    scores = np.random.default_rng(0).normal(size=(20, 4))
    labels = np.arange(20) % 3
    for area in (metrics.roc_auc, metrics.average_precision):
        per_class = area(scores, labels, average="none")
        assert np.isnan(per_class).tolist() == [False, False, False, True]
        support = np.bincount(labels, minlength=4)[:3]
        np.testing.assert_allclose(area(scores, labels), per_class[:3].mean(), rtol=1e-12)
        np.testing.assert_allclose(
            area(scores, labels, average="weighted"),
            np.average(per_class[:3], weights=support),
            rtol=1e-12,
        )
    np.testing.assert_allclose(
        metrics.roc_auc(scores, labels, scheme="one-vs-one"),
        metrics.roc_auc(scores[:, :3], labels, scheme="one-vs-one"),
        rtol=1e-12,
    )
    for scheme in ("one-vs-rest", "one-vs-one"):
        assert np.isnan(metrics.roc_auc(scores, np.zeros(20, int), scheme=scheme))


def test_examples_of_weight_zero_are_not_looked_at():
    scores, labels, weight = [0.9, math.nan, 0.1, 0.4], [1, 7, 0, 1], [1, 0, 1, 1]
    assert metrics.roc_auc(scores, labels, weight=weight) == 1
    rows = [[0.9, 0.1], [math.nan, 0], [0.2, 0.8], [0.6, 0.4]]
    assert metrics.roc_auc(rows, [0, 9, 1, 0], weight=weight) == 1


def test_infinite_scores_are_ranked():
    assert metrics.roc_auc([math.inf, 1.0, -math.inf, -math.inf], [1, 1, 0, 1]) == pytest.approx(
        5 / 6
    )


FUNCTIONS = [
    metrics.roc_curve,
    metrics.roc_auc,
    metrics.precision_recall_curve,
    metrics.average_precision,
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, 0.2], [0, 1, 1], r"2 \(scores\), 3 \(labels\)"),
        ([], [], "scores is empty"),
        ([0.1, math.nan], [0, 1], "scores has 1 NaN of 2"),
        ([0.1, 0.2], [0, 2], "labels must be 0 to 1, got 2"),
        ([0, 1], [0.1, 0.2], "labels must be class indices, got 0.1"),
        ([0.1, 0.2], [[0, 1], [1, 0]], r"labels must have one value per example.*\(2, 2\)"),
    ],
)
def test_bad_input_is_named(function, scores, labels, message):
    with pytest.raises(ValueError, match=message):
        function(scores, labels)


@pytest.mark.parametrize("function", [metrics.roc_auc, metrics.average_precision])
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (np.zeros((2, 3)), [0, 3], "labels must be 0 to 2, got 3"),
        (np.zeros((2, 1)), [0, 0], r"two classes or more; got \(2, 1\)"),
        (np.zeros((2, 3, 4)), [0, 0], r"got \(2, 3, 4\)"),
        (np.zeros((2, 3)), np.eye(2, 3), r"labels must have one value per example.*\(2, 3\)"),
    ],
)
def test_bad_multiclass_input_is_named(function, scores, labels, message):
    with pytest.raises(ValueError, match=message):
        function(scores, labels)


@pytest.mark.usefixtures("unchecked")
def test_unknown_names_meet_the_nearest():
    with pytest.raises(ValueError, match="unknown scheme 'one-vs-all'; did you mean 'one-vs-"):
        metrics.roc_auc([0.5], [1], scheme="one-vs-all")
    for function in (metrics.roc_auc, metrics.average_precision):
        with pytest.raises(ValueError, match="unknown average 'makro'; did you mean 'macro'"):
            function([0.5], [1], average="makro")
    with pytest.raises(ValueError, match="'macro' only, got 'weighted'"):
        metrics.roc_auc(np.eye(2), [0, 1], scheme="one-vs-one", average="weighted")
