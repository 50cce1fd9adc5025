"""Settings of data sets that are made here, and the names that they give."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds

SPLITS = ("train", "validation", "test")
"""The splits of data sets that are made here."""


@dataclasses.dataclass(kw_only=True)
class MadeConfig(tfds.core.BuilderConfig):
    """Settings of a data set that is made here; subclasses are dataclasses that add theirs.

    Attributes:
        name: The data set's name after its own and `/`: the settings that differ from the standard.

    >>> @dataclasses.dataclass(kw_only=True)
    ... class PointsConfig(MadeConfig):
    ...     num_points: int = 3
    ...     seed: int = 0
    >>> PointsConfig().name, PointsConfig(num_points=5).name
    ('standard', 'points5')
    """

    name: str = dataclasses.field(init=False, default="standard")

    def __post_init__(self) -> None:
        self.name = "_".join(self._differences()) or self.name

    def _differences(self) -> Iterator[str]:
        known = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in known and value != field.default:
                parts = value if isinstance(value, tuple) else (value,)
                yield f"{field.name.removeprefix('num_')}{'-'.join(map(str, parts))}"


def split_generators(
    counts: Sequence[int], generate: Callable[[int, int], Iterator[Any]]
) -> dict[str, Iterator[Any]]:
    """What `_split_generators` of a builder returns.

    Args:
        counts: How many examples each of `SPLITS` has.
        generate: `generate(number, count)` gives the examples of the split of that number.

    Returns:
        The examples of each split, by its name.
    """
    return {
        split: generate(number, count)
        for number, (split, count) in enumerate(zip(SPLITS, counts, strict=True))
    }
