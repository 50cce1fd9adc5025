"""Base of the configurations of rendered data sets."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow_datasets as tfds

SPLITS = ("train", "validation", "test")
"""Splits of rendered data sets."""


@dataclasses.dataclass(kw_only=True)
class MadeConfig(tfds.core.BuilderConfig):
    """Configuration of a rendered data set; subclasses are dataclasses that add its settings.

    Attributes:
        name: Name of the configuration: its settings that differ from the defaults.

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
    """Returns the examples by split, as `_split_generators` of a builder must.

    `counts` are the numbers of examples of `SPLITS`; `generate(number, count)` makes those of a
    split.
    """
    return {
        split: generate(number, count)
        for number, (split, count) in enumerate(zip(SPLITS, counts, strict=True))
    }
