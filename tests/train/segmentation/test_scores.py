"""Scores of masks, with intervals over images."""

import numpy as np
import pytest

from jaxvision import metrics
from jaxvision.train.segmentation import Predictions, score


def make(count: int = 12, num_classes: int = 4, seed: int = 0) -> Predictions:
    """Masks with errors and pixels without a label; the last class is nowhere."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, num_classes - 1, (count, 9, 8), dtype=np.uint8)
    wrong = random.random(labels.shape) < np.linspace(0, 0.6, count)[:, None, None]
    classes = np.where(wrong, random.integers(0, num_classes - 1, labels.shape), labels)
    labels[random.random(labels.shape) < 0.1] = 255
    return Predictions(classes.astype(np.uint8), labels, np.arange(count), num_classes)


def test_scores_are_those_of_the_confusion_matrix_of_all_pixels() -> None:
    predictions = make()
    known = predictions.labels != 255
    matrix = metrics.confusion_matrix(predictions.labels[known], predictions.classes[known], 4)
    scores = score(predictions, ["sky", "tree", "road"], num_resamples=0)
    expected = {
        "mean_iou": metrics.jaccard_index(matrix, "macro"),
        "mean_dice": metrics.f1_score(matrix, "macro"),
        "frequency_weighted_iou": metrics.jaccard_index(matrix, "weighted"),
        "pixel_accuracy": metrics.sensitivity(matrix, "micro"),
    }
    for name, each in (("iou", metrics.jaccard_index), ("dice", metrics.f1_score)):
        for index, of in enumerate(("sky", "tree", "road", "3")):
            expected[f"{name}/{of}"] = np.asarray(each(matrix))[index]
    assert [*scores] == [*expected]
    found = {name: value.value for name, value in scores.items()}
    assert found == pytest.approx(expected, rel=1e-12, nan_ok=True)
    assert scores["iou/3"].note == "neither true nor predicted"
    assert np.isnan(scores["mean_iou"].low)


def test_intervals_are_those_of_drawing_images() -> None:
    """As the general bootstrap has them, which draws and counts anew each time."""
    predictions = make(30)

    def mean_iou(labels: np.ndarray, classes: np.ndarray) -> float:
        known = labels != 255
        matrix = metrics.confusion_matrix(labels[known], classes[known], 4)
        return float(metrics.jaccard_index(matrix, "macro"))

    found = score(predictions, num_resamples=2000)["mean_iou"]
    expected = metrics.bootstrap_interval(
        mean_iou, predictions.labels, predictions.classes, seed=1, num_resamples=2000
    )
    assert found.low < found.value < found.high
    assert found[1:3] == pytest.approx(expected, abs=0.01)
    same = Predictions(*(each[:1].repeat(5, 0) for each in predictions[:3]), 4)
    low, high = score(same)["mean_iou"][1:3]
    assert low == pytest.approx(high, abs=1e-12)


def test_outlines_are_scored_where_they_are() -> None:
    labels = np.zeros((3, 12, 12), np.uint8)
    labels[:2, 3:7, 3:7] = 1
    classes = np.zeros_like(labels)
    classes[0, 3:7, 4:8] = 1  # moved by one; of the second image nothing is found
    labels[2, 0] = 255
    classes[2, 0] = 1  # where there is no label
    predictions = Predictions(classes, labels, np.arange(3), 2)
    exact = score(predictions, boundary_tolerance=0, num_resamples=0)
    loose = score(predictions, boundary_tolerance=1, num_resamples=0)
    of = [
        [metrics.boundary_f1(truth == k, guess == k, tolerance=0) for truth, guess in pairs]
        for k, pairs in (
            (0, [*zip(labels[:2], classes[:2], strict=True), (labels[2], labels[2])]),
            (1, zip(labels[:2], classes[:2], strict=True)),
        )
    ]
    assert exact["boundary_f1"].value == pytest.approx(np.mean([np.mean(each) for each in of]))
    assert loose["boundary_f1"].value > exact["boundary_f1"].value
    background = [
        metrics.hausdorff_distance(truth == 0, guess == 0)
        for truth, guess in zip(labels[:2], classes[:2], strict=True)
    ]
    expected = np.mean([np.mean([*background, 0.0]), 1.0])
    assert exact["hausdorff_95"].value == pytest.approx(expected)


def test_what_is_wrong_is_said() -> None:
    predictions = make(2)
    with pytest.raises(ValueError, match=r"5 names of classes .* has 4 classes"):
        score(predictions, list("abcde"))
    wrong = predictions._replace(labels=np.full_like(predictions.labels, 9))
    with pytest.raises(ValueError, match="a label is 9, but the model has the classes 0 to 3"):
        score(wrong)
    empty = predictions._replace(labels=np.full_like(predictions.labels, 255))
    with pytest.raises(ValueError, match="no pixel has one"):
        score(empty)
