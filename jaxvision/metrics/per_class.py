"""Precision, recall and F1 of each class, with confidence intervals."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxvision.metrics import _checks
from jaxvision.metrics._checks import ArrayLike
from jaxvision.metrics.intervals import wilson_interval
from jaxvision.metrics.score import Score


class ClassScore(NamedTuple):
    """Scores of one class.

    Attributes:
        precision: The share of the examples predicted as the class that have it.
        recall: The share of the examples of the class that are predicted as it.
        f1: The harmonic mean of both.
        num_examples: The number of examples of the class.
    """

    precision: Score
    recall: Score
    f1: Score
    num_examples: int


def class_scores(
    matrix: ArrayLike, class_names: Sequence[str] | None = None, confidence: float = 0.95
) -> dict[str, ClassScore]:
    """Precision, recall and F1 of every class of a confusion matrix, with intervals.

    Precision and recall have Wilson intervals. F1 is `2 J / (1 + J)`, where J is the share of right
    examples among those that have the class or are predicted as it. The interval of F1 is the
    transformed Wilson interval of J, for a given number of such examples.

    Args:
        matrix: A matrix of whole numbers from `confusion_matrix`, true classes in rows.
        class_names: One name per class; None uses the indices.
        confidence: Level of the intervals.

    Returns:
        The scores by class name. Scores of classes without examples or without predictions that are
        undefined are NaN and have a note.

    Raises:
        ValueError: The matrix is not square or has fractions, or there is not one name per class.

    >>> scores = class_scores([[8, 2], [0, 10]], ["cat", "dog"])
    >>> cat = scores["cat"]
    >>> cat.precision.value, cat.recall.value, round(cat.f1.value, 3), cat.num_examples
    (1.0, 0.8, 0.889, 10)
    """
    counts = _checks.floats("matrix", matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"matrix must be of shape (classes, classes), got {counts.shape}")
    names = [str(index) for index in range(len(counts))] if class_names is None else class_names
    if len(names) != len(counts):
        raise ValueError(f"{len(counts)} classes need as many names, got {len(names)}")
    right, given, true = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    scores = {}
    for index, name in enumerate(names):
        hits = right[index]
        either = given[index] + true[index] - hits
        shares = _share(hits, either, "no examples, never predicted", confidence)
        scores[str(name)] = ClassScore(
            precision=_share(hits, given[index], "never predicted", confidence),
            recall=_share(hits, true[index], "no examples", confidence),
            f1=Score(_f1(shares.value), _f1(shares.low), _f1(shares.high), shares.note),
            num_examples=int(true[index]),
        )
    return scores


def class_table(scores: Mapping[str, ClassScore], most: int = 50) -> str:
    """Formats the scores of classes as a table for people.

    Args:
        scores: Scores by class name.
        most: The largest number of classes to show; those with the lowest F1 are kept.

    >>> print(class_table(class_scores([[8, 2], [0, 10]], ["cat", "dog"])))
    class  count  precision             recall                F1
    cat       10  1.000 [0.676, 1.000]  0.800 [0.490, 0.943]  0.889 [0.658, 0.971]
    dog       10  0.833 [0.552, 0.953]  1.000 [0.722, 1.000]  0.909 [0.711, 0.976]
    """
    chosen = list(scores.items())
    left_out = max(len(chosen) - most, 0)
    if left_out:
        chosen = sorted(chosen, key=lambda item: np.nan_to_num(item[1].f1.value, nan=2.0))[:most]
    width = min(max((len(name) for name, _ in chosen), default=0), 24)
    width = max(width, len("class"))
    lines = [f"{'class':{width}}  {'count':>5}  {'precision':20}  {'recall':20}  F1"]
    for name, score in chosen:
        cells = "  ".join(
            f"{_in_words(each):20}" for each in (score.precision, score.recall, score.f1)
        )
        lines.append(f"{name[:width]:{width}}  {score.num_examples:5d}  {cells}".rstrip())
    if left_out:
        lines.append(f"({left_out} classes with a higher F1 are left out)")
    return "\n".join(lines)


def _share(hits: float, count: float, note: str, confidence: float) -> Score:
    if not count:
        return Score(np.nan, note=note)
    return Score(float(hits / count), *wilson_interval(hits, count, confidence))


def _f1(share: float) -> float:
    return 2 * share / (1 + share)


def _in_words(score: Score) -> str:
    if np.isnan(score.value):
        return score.note
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"
