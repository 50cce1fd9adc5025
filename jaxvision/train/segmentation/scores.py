"""How well a segmenter does, with confidence intervals."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int64, Num

from jaxvision import metrics
from jaxvision._labels import IGNORED
from jaxvision.metrics import Score
from jaxvision.train.segmentation.prediction import Predictions

Counts = Int64[np.ndarray, "examples classes 3"]
"""Of each example and class: pixels that are right, that are of the class, and that are predicted
as the class."""
Sums = Num[np.ndarray, "_ _ _"]
"""What was counted of each class, summed over images: once, or for each of many draws of them."""


def score(
    predictions: Predictions,
    class_names: Sequence[str] = (),
    *,
    boundary_tolerance: int | float | None = None,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Score]:
    """Scores masks. Intervals draw images, not pixels, which are no independent examples.

    Args:
        predictions: What `predict` gave.
        class_names: Names of the classes; classes without a name are numbered.
        boundary_tolerance: How many pixels an outline may be off in `boundary_f1`. None leaves out
            the scores of outlines, which take a second for 500 images of 64x64 pixels.
        confidence: The share of such intervals that hold the true value.
        num_resamples: Bootstrap draws; 0 leaves the intervals out.
        seed: Of the draws.

    Returns:
        `mean_iou`, `mean_dice`, `frequency_weighted_iou`, `pixel_accuracy`, with a tolerance
        `boundary_f1` and `hausdorff_95` (in pixels, over the images where a class is both true and
        predicted), and `iou/CLASS` and `dice/CLASS` of each class. The pixels of all images are
        counted together, and then the scores computed. A class that is neither true nor predicted
        has no scores (NaN), and the means leave it out.

    Raises:
        ValueError: No pixel has a label, a label is no class, or there are more names than classes.

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
        drawn = drawn[~np.isnan(drawn)]  # a class may be in no image of a draw
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
    """A name for each class.

    Args:
        predictions: What `predict` gave.
        class_names: The first names; the others are numbers.

    Returns:
        As many names as there are classes.

    Raises:
        ValueError: There are more names than classes.
    """
    if len(class_names) > predictions.num_classes:
        raise ValueError(
            f"there are {len(class_names)} names of classes ({', '.join(class_names)}), and the "
            f"model tells {predictions.num_classes} apart"
        )
    return [*class_names, *map(str, range(len(class_names), predictions.num_classes))]


def count(predictions: Predictions) -> Counts:
    """Counts the labelled pixels of each image by class.

    Args:
        predictions: What `predict` gave.

    Returns:
        Of each image and class: pixels that are right, that are of the class, and that are
        predicted as the class. All scores of overlaps are made of sums of them.

    Raises:
        ValueError: A label is no class.
    """
    num_classes = predictions.num_classes
    rows = []
    for classes, labels in zip(predictions.classes, predictions.labels, strict=True):
        known = labels != IGNORED
        truth, guess = labels[known], classes[known]
        if truth.size and truth.max() >= num_classes:
            raise ValueError(
                f"a label is {truth.max()}, and the model tells the classes 0 to {num_classes - 1} "
                f"apart; {IGNORED} is none"
            )
        rows.append(
            [np.bincount(of, minlength=num_classes) for of in (truth[truth == guess], truth, guess)]
        )
    return np.asarray(rows, np.int64).reshape(-1, 3, num_classes).swapaxes(1, 2)


def mean_iou(counts: Counts) -> float:
    """The mean over classes of the IoU of all pixels that were counted.

    Args:
        counts: What `count` gave, of some images.

    Returns:
        From 0 to 1; classes that are neither true nor predicted are left out.
    """
    return float(_mean(_iou(counts.sum(axis=0, keepdims=True)))[0])


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """A quotient that is NaN where both are 0."""
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)


def _iou(sums: Sums) -> np.ndarray:
    right, true, predicted = np.moveaxis(sums, -1, 0)
    return _ratio(right, true + predicted - right)


def _dice(sums: Sums) -> np.ndarray:
    right, true, predicted = np.moveaxis(sums, -1, 0)
    return _ratio(2 * right, true + predicted)


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over the classes whose value is defined."""
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
    """The mean over classes of the mean over images, from sums of values and their numbers."""
    return _mean(_ratio(sums[..., 0], sums[..., 1]))


def _draws(rows: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """The sum of as many rows drawn with replacement as there are, many times."""
    times = np.random.default_rng(seed).multinomial(
        len(rows), np.full(len(rows), 1 / len(rows)), size=num_resamples
    )
    flat: np.ndarray = times @ rows.reshape(len(rows), -1).astype(np.float64)
    return flat.reshape(num_resamples, *rows.shape[1:])


def _outlines(predictions: Predictions, tolerance: int | float) -> dict[str, np.ndarray]:
    """Scores of outlines: of each image and class the score, or 0, and whether it is defined."""
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
