"""Random held-out parts of a data set, and slices of a split."""

import numbers
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from jaxvision.data.checks import seed_of
from jaxvision.data.dataset import Dataset
from jaxvision.data.errors import DatasetError, SplitError
from jaxvision.data.subset import labels_of, take

_SLICE = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")


def split(dataset: Dataset, share: float, *, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Holds out a share of every class, to evaluate on examples that are not trained on.

    Of a class with `n` examples, `share * n` (rounded, at least one, at most `n - 1`) are held out;
    a class with one example keeps it. The same data, share and seed give the same parts. Each part
    keeps all classes and the order of the examples. Labels are read as by `subset`; unlabeled
    examples (-1) are in neither part. Data without a field `label` are drawn as one class.

    Args:
        dataset: Data set with one label per example, or without labels.
        share: Share to hold out, above 0 and below 1.
        seed: Seed of the draw.

    Returns:
        The rest and the held-out part, with splits such as `train-rest` and `train-held-out`.

    Raises:
        DatasetError: No class has two examples, or `label` is not one number per example.
        ValueError: `share` or `seed` is out of range.

    >>> from jaxvision import data
    >>> rest, held_out = split(data.load("digits", "train[:200]"), 0.2)
    >>> rest
    Dataset(digits/train[:200]-rest: 160 examples of 10 classes, image 8x8x1, in memory)
    >>> len(held_out)
    40
    """
    if isinstance(share, bool) or not isinstance(share, numbers.Real) or not 0 < share < 1:
        raise ValueError(f"share must be above 0 and below 1, got {share!r}")
    named = dataset.examples if isinstance(dataset.examples, Mapping) else dataset.fields
    has_labels = "label" in named
    labels = labels_of(dataset) if has_labels else np.zeros(len(dataset), np.int64)
    is_held_out = np.zeros(len(labels), bool)
    for members in _shuffled_classes(labels, seed_of(seed)):
        count = min(max(round(float(share) * len(members)), 1), len(members) - 1)
        is_held_out[members[:count]] = True
    if not is_held_out.any():
        raise DatasetError(
            f"nothing can be held out of {dataset.name}/{dataset.split}: it has no class with two "
            f"examples or more, among {len(labels)} examples of {dataset.num_classes} classes"
        )
    has_label = labels >= 0
    rest, held_out = (
        take(
            dataset,
            np.flatnonzero(chosen),
            labels[chosen] if has_labels else None,
            split=f"{dataset.split}-{name}",
        )
        for name, chosen in (("rest", has_label & ~is_held_out), ("held-out", is_held_out))
    )
    return rest, held_out


class Slice(NamedTuple):
    """A split, or a part of one.

    Attributes:
        name: Name of the split.
        start: Beginning of the part, such as `80%` or `100`; None is that of the split.
        stop: End of the part; None is that of the split.
    """

    name: str
    start: str | None
    stop: str | None

    def of(self, labels: Int[np.ndarray, " examples"]) -> Int[np.ndarray, " part"]:
        """Returns the ascending indices of the part's examples; a SplitError if there are none.

        Parts are slices of one fixed order in which all classes are spread evenly: each class has
        about the same share in every part, and parts that do not overlap share no example.

        >>> read_slice("train[:50%]").of(np.repeat([0, 1], [4, 8])).tolist()
        [0, 2, 6, 7, 9, 11]
        """
        start, stop = (
            _position(bound, len(labels), default)
            for bound, default in ((self.start, 0), (self.stop, len(labels)))
        )
        if not 0 <= start < stop <= len(labels):
            raise SplitError(
                f"{self} means the examples from {start} to {stop} of {len(labels)}; a part must "
                "lie within its split and have at least one example"
            )
        return np.sort(_even_order(labels)[start:stop])

    def __str__(self) -> str:
        if (self.start, self.stop) == (None, None):
            return self.name
        return f"{self.name}[{self.start or ''}:{self.stop or ''}]"


def read_slice(text: str) -> Slice:
    """Parses a split such as `train`, `train[:80%]`, `train[10%:20%]` or `all[:100]`.

    >>> read_slice("train[80%:]")
    Slice(name='train', start='80%', stop=None)
    """
    found = _SLICE.fullmatch(text)
    if found is None:
        raise SplitError(
            f"cannot read the split {text!r}; write its name, or a part of it as train[:80%], "
            "train[80%:] or train[:100]"
        )
    return Slice(found["name"], found["start"], found["stop"])


def _position(bound: str | None, count: int, default: int) -> int:
    if bound is None:
        return default
    percent = bound.endswith("%")
    position = round(count * int(bound[:-1]) / 100) if percent else int(bound)
    return position + count if bound.startswith("-") else position


def _even_order(labels: Int[np.ndarray, " examples"]) -> Int[np.ndarray, " examples"]:
    """Shuffles every class, and spreads its examples evenly over the whole."""
    classes = _shuffled_classes(labels, seed=0)
    # Each class begins at another offset, a multiple of the golden ratio: otherwise all classes
    # would be cut at the same places, and those with one example would be ordered by name.
    begins = np.arange(len(classes)) * ((5**0.5 - 1) / 2) % 1
    places = [
        (np.arange(len(members)) + begin) / len(members)
        for members, begin in zip(classes, begins, strict=True)
    ]
    return np.concatenate(classes)[np.argsort(np.concatenate(places), kind="stable")]


def _shuffled_classes(
    labels: Int[np.ndarray, " examples"], seed: int
) -> list[Int[np.ndarray, " members"]]:
    """Returns the shuffled examples of every class that has any.

    It sorts raw random bits, which NumPy keeps the same in later versions.
    """
    labeled = np.flatnonzero(labels >= 0)
    labeled = labeled[np.argsort(labels[labeled], kind="stable")]
    ends = np.flatnonzero(np.diff(labels[labeled])) + 1
    classes = []
    for members in np.split(labeled, ends) if len(labeled) else []:
        key = (int(labels[members[0]]) << 64) | seed
        bits = np.random.Philox(key=key).random_raw(len(members))
        classes.append(members[np.argsort(bits, kind="stable")])
    return classes
