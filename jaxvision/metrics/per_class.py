"""What a classifier is worth for each class, with intervals."""

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
        precision: The share of the examples given to the class that belong to it.
        recall: The share of the examples of the class that are given to it.
        f1: The harmonic mean of both.
        num_examples: How many examples the class has.
    """

    precision: Score
    recall: Score
    f1: Score
    num_examples: int


def class_scores(
    matrix: ArrayLike, class_names: Sequence[str] | None = None, confidence: float = 0.95
) -> dict[str, ClassScore]:
    """Scores every class of a confusion matrix, with intervals.

    Precision and recall are shares of examples, and have Wilson's intervals. F1 is `2 J / (1 + J)`,
    where J is the share of right ones among the examples that belong to the class or are given to
    it; its interval is that of J, transformed alike. It holds for so many such examples as there
    were.

    Args:
        matrix: What `confusion_matrix` returns, of whole numbers: true classes in rows.
        class_names: One per class; None numbers them.
        confidence: The level of the intervals.

    Returns:
        The scores by the name of the class. Where a class has no example, or none is given to it,
        what is undefined is NaN and has a note.

    Raises:
        ValueError: The matrix is not square or not of whole numbers, or there are not as many names
            as classes.

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
        shares = _share(hits, either, "no example, and none is given to it", confidence)
        scores[str(name)] = ClassScore(
            precision=_share(hits, given[index], "none is given to it", confidence),
            recall=_share(hits, true[index], "no example", confidence),
            f1=Score(_f1(shares.value), _f1(shares.low), _f1(shares.high), shares.note),
            num_examples=int(true[index]),
        )
    return scores


def class_table(scores: Mapping[str, ClassScore], most: int = 50) -> str:
    """Writes the scores of classes as a table for people.

    Args:
        scores: By the name of the class.
        most: How many classes to write; of more, those of the lowest F1.

    Returns:
        A line per class, after one of headings.

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
        lines.append(f"({left_out} classes of a higher F1 are left out)")
    return "\n".join(lines)


def _share(hits: float, count: float, note: str, confidence: float) -> Score:
    if not count:
        return Score(np.nan, note=note)
    return Score(float(hits / count), *wilson_interval(hits, count, confidence))


def _f1(share: float) -> float:
    return 2 * share / (1 + share)


def _in_words(score: Score) -> str:
    if np.isnan(score.value):
        return score.note[:20]
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"
