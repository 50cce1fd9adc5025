"""Scores of a segmenter, with bootstrap confidence intervals."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int64, Num

from jaxvision import metrics
from jaxvision._labels import IGNORED
from jaxvision.metrics import Score
from jaxvision.train.segmentation.prediction import Predictions

Counts = Int64[np.ndarray, "examples classes 3"]
"""Pixels by example and class: the last axis holds correct, true and predicted ones."""
Sums = Num[np.ndarray, "_ _ _"]
"""Counts summed over images; the first axis holds one total, or bootstrap resamples."""


def score(
    predictions: Predictions,
    class_names: Sequence[str] = (),
    *,
    boundary_tolerance: int | float | None = None,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Score]:
    """Scores predicted masks, with confidence intervals from a bootstrap over images.

    Pixels of all images are counted together before a score is computed. A class that is neither
    true nor predicted has no scores (NaN) and is left out of means. The bootstrap resamples images,
    because the pixels of an image are not independent.

    Args:
        predictions: Output of `predict`.
        class_names: Class names; a class without a name is shown by its number.
        boundary_tolerance: Tolerance of `boundary_f1` in pixels. None skips the boundary scores,
            which take about a second for 500 images of 64x64 pixels.
        confidence: Level of the intervals.
        num_resamples: Bootstrap resamples; 0 skips the intervals.
        seed: Seed of the bootstrap.

    Returns:
        `mean_iou`, `mean_dice`, `frequency_weighted_iou` and `pixel_accuracy`; `iou/CLASS` and
        `dice/CLASS` of each class; with a tolerance also `boundary_f1` and `hausdorff_95` (in
        pixels, over the images where a class is both true and predicted).

    Raises:
        ValueError: No pixel has a label, a label is not a class, or there are more names than
            classes.

    >>> labels = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 1]]], np.uint8)
    >>> classes = np.array([[[0, 1, 1, 1]], [[0, 0, 0, 1]]], np.uint8)
    >>> scores = score(Predictions(classes, labels, np.arange(2), 2), ["road", "car"])
    >>> round(scores["mean_iou"].value, 4), scores["iou/car"].value
    (0.775, 0.75)
    """
    names = names_of(predictions, class_names)
    counts = count(predictions)
    if not counts.any():
        raise ValueError("scores need labels, and no pixel has one")
    draws = _draws(counts, num_resamples, seed)

    def scored(statistic: Callable[[Sums], np.ndarray], value: np.ndarray, sums: Sums) -> Score:
        estimate = float(statistic(value).item())
        if np.isnan(estimate):
            return Score(np.nan, note="neither true nor predicted")
        drawn = statistic(sums)
        drawn = drawn[~np.isnan(drawn)]  # a resample may lack the class
        if not drawn.size:
            return Score(estimate)
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Score(estimate, float(low), float(high))

    total = counts.sum(axis=0, keepdims=True)
    scores = {name: scored(statistic, total, draws) for name, statistic in _OVERALL.items()}
    if boundary_tolerance is not None:
        for name, each in _outlines(predictions, boundary_tolerance).items():
            scores[name] = scored(
                _mean_of_classes, each.sum(0, keepdims=True), _draws(each, num_resamples, seed)
            )
    for kind, statistic in (("iou", _iou), ("dice", _dice)):
        for index, name in enumerate(names):
            of_class = slice(index, index + 1)
            scores[f"{kind}/{name}"] = scored(statistic, total[:, of_class], draws[:, of_class])
    return scores


def names_of(predictions: Predictions, class_names: Sequence[str]) -> list[str]:
    """A name for each class: the given names, then numbers."""
    if len(class_names) > predictions.num_classes:
        raise ValueError(
            f"there are {len(class_names)} names of classes ({', '.join(class_names)}), but the "
            f"model has {predictions.num_classes} classes"
        )
    return [*class_names, *map(str, range(len(class_names), predictions.num_classes))]


def count(predictions: Predictions) -> Counts:
    """Counts correct, true and predicted pixels by image and class; ignores unlabeled pixels."""
    num_classes = predictions.num_classes
    rows = []
    for classes, labels in zip(predictions.classes, predictions.labels, strict=True):
        known = labels != IGNORED
        truth, guess = labels[known], classes[known]
        if truth.size and truth.max() >= num_classes:
            raise ValueError(
                f"a label is {truth.max()}, but the model has the classes 0 to {num_classes - 1}; "
                f"{IGNORED} marks pixels without a label"
            )
        rows.append(
            [np.bincount(of, minlength=num_classes) for of in (truth[truth == guess], truth, guess)]
        )
    return np.asarray(rows, np.int64).reshape(-1, 3, num_classes).swapaxes(1, 2)


def mean_iou(counts: Counts) -> float:
    """Mean IoU over classes, with the pixels of all images together; skips absent classes."""
    return float(_mean(_iou(counts.sum(axis=0, keepdims=True)))[0])


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The quotient, NaN where the divisor is 0."""
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)


def _iou(sums: Sums) -> np.ndarray:
    right, true, predicted = np.moveaxis(sums, -1, 0)
    return _ratio(right, true + predicted - right)


def _dice(sums: Sums) -> np.ndarray:
    right, true, predicted = np.moveaxis(sums, -1, 0)
    return _ratio(2 * right, true + predicted)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the classes whose value is not NaN."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1))


def _weighted_iou(sums: Sums) -> np.ndarray:
    true = sums[..., 1]
    return _ratio((true * np.nan_to_num(_iou(sums))).sum(axis=1), true.sum(axis=1))


def _pixel_accuracy(sums: Sums) -> np.ndarray:
    return _ratio(sums[..., 0].sum(axis=1), sums[..., 1].sum(axis=1))


_OVERALL: dict[str, Callable[[Sums], np.ndarray]] = {
    "mean_iou": lambda sums: _mean(_iou(sums)),
    "mean_dice": lambda sums: _mean(_dice(sums)),
    "frequency_weighted_iou": _weighted_iou,
    "pixel_accuracy": _pixel_accuracy,
}


def _mean_of_classes(sums: np.ndarray) -> np.ndarray:
    """Mean over classes of the mean over images, from sums of values and their counts."""
    return _mean(_ratio(sums[..., 0], sums[..., 1]))


def _draws(rows: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Sums of the rows of each bootstrap resample."""
    times = np.random.default_rng(seed).multinomial(
        len(rows), np.full(len(rows), 1 / len(rows)), size=num_resamples
    )
    flat: np.ndarray = times @ rows.reshape(len(rows), -1).astype(np.float64)
    return flat.reshape(num_resamples, *rows.shape[1:])


def _outlines(predictions: Predictions, tolerance: int | float) -> dict[str, np.ndarray]:
    """Boundary scores by image and class, each with 1 if it is defined and 0 if not."""
    shape = (len(predictions.classes), predictions.num_classes, 2)
    overlaps, distances = np.zeros(shape), np.zeros(shape)
    for row, (classes, labels) in enumerate(
        zip(predictions.classes, predictions.labels, strict=True)
    ):
        known = labels != IGNORED
        for index in range(predictions.num_classes):
            truth, guess = labels == index, (classes == index) & known
            if not (truth.any() or guess.any()):
                continue
            overlaps[row, index] = metrics.boundary_f1(truth, guess, tolerance=tolerance), 1
            if truth.any() and guess.any():
                distances[row, index] = metrics.hausdorff_distance(truth, guess), 1
    return {"boundary_f1": overlaps, "hausdorff_95": distances}
