"""A split of a data set: examples by index, batches by seed and step."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from jaxvision._preprocessing import Preprocessing
from jaxvision.checks import called_as
from jaxvision.data.arrays import as_arrays, check_labels, doubts
from jaxvision.data.batches import Batches
from jaxvision.data.checks import different_names
from jaxvision.data.fields import Field, Fields, Kind, known_fields, with_class_names
from jaxvision.data.plan import BatchPlan
from jaxvision.data.source import (
    Corrupt,
    Example,
    Source,
    check_names,
    first_readable,
    read_all,
    stack,
)
from jaxvision.data.transformed import Transformed

MEMORY_LIMIT = 2**31
"""Splits whose decoded examples take more bytes than this are streamed from disk."""

MAX_NUMBERED_CLASSES = 50_000
"""Largest number of unnamed classes; a larger label is probably a marker, not a class."""

_NO_LABEL = "an example without a label has -1"

Arrays = Mapping[str, Shaped[np.ndarray, "examples ..."]]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """One split of a data set, decoded in memory or read when needed.

    Attributes:
        name: Name of the data set.
        split: Name of the split.
        examples: All examples stacked, or a source that reads them by index.
        fields: Kinds and class names by field name. Fields that are missing here do not move with
            the image.
        corrupt: Whether an image that cannot be decoded when read later stops or is skipped.
        num_skipped: Number of examples left out because they could not be decoded.
        preprocessing: How the images were resized and cropped; None if they were not.
        file_names: File of each example, relative to the data set's folder; None if the examples
            are not in files of their own.
    """

    name: str
    split: str
    examples: Arrays | Source
    fields: Fields = dataclasses.field(default_factory=dict)
    corrupt: Corrupt = "stop"
    num_skipped: int = 0
    preprocessing: Preprocessing | None = None
    file_names: tuple[str, ...] | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names of `label`; empty without labels."""
        return self.fields["label"].names if "label" in self.fields else ()

    @property
    def num_classes(self) -> int:
        """Number of classes of `label`."""
        return len(self.class_names)

    @property
    def in_memory(self) -> bool:
        """Whether all examples are decoded in memory."""
        return isinstance(self.examples, Mapping)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of the first image: (height, width, channels); volumes have a depth before."""
        return tuple(self.sample_batch()["image"].shape[1:])

    def __repr__(self) -> str:
        where = "on disk"
        if isinstance(self.examples, Mapping):
            shapes = {key: "x".join(map(str, v.shape[1:])) for key, v in self.examples.items()}
            where = f"image {shapes['image']}, in memory" if "image" in shapes else "in memory"
        classes = f" of {self.num_classes} classes" if self.class_names else ""
        return f"Dataset({self.name}/{self.split}: {len(self)} examples{classes}, {where})"

    def __len__(self) -> int:
        if isinstance(self.examples, Mapping):
            return len(next(iter(self.examples.values())))
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"{self.name}/{self.split} has {len(self)} examples and none at index {index}"
            )
        index %= len(self)
        if isinstance(self.examples, Mapping):
            return {name: values[index] for name, values in self.examples.items()}
        return self.examples[index]

    def sample_batch(self) -> dict[str, np.ndarray]:
        """Returns a batch of one row, the first readable example, for shapes and types."""
        if isinstance(self.examples, Mapping):
            example = self[0]
        else:
            example = first_readable(self.examples, self.corrupt, f"{self.name}/{self.split}")
        return {**stack([example], self.name), "weight": np.ones(1, np.float32)}

    def batches(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        epochs: int | None = None,
        drop_remainder: bool = False,
        num_workers: int = 0,
        process_index: int | None = None,
        process_count: int | None = None,
    ) -> Batches:
        """Returns an iterator over batches: dicts that depend only on the seed and the step.

        Every batch has `batch_size` rows and a `weight` per row. The last batch of an epoch is
        filled with rows from the epoch's start, whose weight is 0 instead of 1: shapes never
        change, and BatchNorm sees real images only.

        Args:
            batch_size: Rows of a batch over all processes.
            seed: Seed of the order.
            shuffle: Draws a new order for every epoch; False keeps the stored one.
            epochs: Number of passes over the examples; None never ends.
            drop_remainder: Drops the last, incomplete batch of an epoch.
            num_workers: Number of processes that read data that are not in memory; 0 reads with
                threads, which also decode in parallel. Processes help if `transform` is slow Python
                code. Each one imports the running script, which must start its work under
                `if __name__ == "__main__":`.
            process_index: Process whose rows to return; None asks JAX.
            process_count: Number of processes that share a batch; None asks JAX.

        Returns:
            An iterator whose position `get_state` and `set_state` save and restore.

        Raises:
            ValueError: A number is out of range or not whole, or the split is empty.

        >>> digits = from_arrays({"image": np.zeros((10, 8, 8, 1)), "label": np.arange(10)})
        >>> batches = digits.batches(4, shuffle=False, epochs=1)
        >>> [(batch["label"].tolist(), int(batch["weight"].sum())) for batch in batches]
        [([0, 1, 2, 3], 4), ([4, 5, 6, 7], 4), ([8, 9, 0, 1], 2)]
        """
        plan = BatchPlan(
            num_examples=len(self),
            batch_size=batch_size,
            seed=seed,
            shuffle=shuffle,
            epochs=epochs,
            drop_remainder=drop_remainder,
            process_index=jax.process_index() if process_index is None else process_index,
            process_count=jax.process_count() if process_count is None else process_count,
        )
        return Batches(
            plan,
            self.examples,
            name=f"{self.name}/{self.split}",
            corrupt=self.corrupt,
            num_workers=num_workers,
            describe=self.describe,
        )

    def describe(self) -> dict[str, Any]:
        """Returns a JSON-able description, with which a run folder is restored without the data."""
        shapes = {key: list(values.shape[1:]) for key, values in self.sample_batch().items()}
        return {
            "name": self.name,
            "split": self.split,
            "num_examples": len(self),
            "image_shape": shapes.get("image"),
            "fields": {
                name: {"kind": field.kind, "names": list(field.names)}
                for name, field in self.fields.items()
            },
            "preprocessing": self.preprocessing and self.preprocessing.describe(),
        }


@called_as("from_arrays({'image': images, 'label': labels})")
def from_arrays(
    arrays: Arrays,
    *,
    name: str = "arrays",
    split: str = "all",
    class_names: Sequence[str] | None = None,
    fields: Mapping[str, Field | Kind] | None = None,
) -> Dataset:
    """Makes a data set of arrays in memory.

    Warns of arrays that are probably mistaken: channels before height and width, floating-point
    pixels that reach 255, labels that begin at 1 or are one-hot, names such as `images`.

    Args:
        arrays: `image`, `label` and so on, each with the examples along its first axis.
        name: Name of the data set.
        split: Name of the split.
        class_names: Class names of `label`; None numbers up to `MAX_NUMBERED_CLASSES` classes.
        fields: Fields or kinds by name, for arrays whose name does not tell their kind.

    Raises:
        DatasetError: An array is called `weight`, or a declared field does not exist.
        TypeError: The arrays are no dict.
        ValueError: There are no arrays, their lengths or the shapes of their examples differ, a
            label is text or has no class name, or class names are duplicated or given without
            labels.

    >>> from_arrays({"image": np.zeros((3, 8, 8, 1)), "label": np.array([0, 1, 1])}).class_names
    ('0', '1')
    """
    arrays = as_arrays(arrays)
    lengths = {key: len(values) for key, values in arrays.items()}
    if class_names is not None and "label" not in arrays:
        raise ValueError(f"class_names need a 'label' among the arrays {', '.join(arrays)}")
    if not lengths or len(set(lengths.values())) > 1:
        raise ValueError(f"arrays need one and the same length, got {lengths or 'none'}")
    check_names(arrays, name)
    known = known_fields(list(arrays), fields)
    check_labels(arrays, known)
    for doubt in doubts(arrays, known, named=class_names is not None):
        warnings.warn(doubt, stacklevel=3)
    labels = arrays.get("label", np.empty(0))
    numbered = np.issubdtype(labels.dtype, np.integer) and labels.size
    num_classes = int(labels.max()) + 1 if numbered else 0
    if class_names is None:
        if num_classes > MAX_NUMBERED_CLASSES:
            raise ValueError(
                f"label {num_classes - 1} would make {num_classes} classes, and at most "
                f"{MAX_NUMBERED_CLASSES} are named by their numbers; give class_names=..., and "
                f"{_NO_LABEL}"
            )
        class_names = [str(index) for index in range(num_classes)]
    class_names = different_names(class_names)
    if num_classes > len(class_names):
        raise ValueError(
            f"label {num_classes - 1} has no name among {len(class_names)} class names; {_NO_LABEL}"
        )
    return Dataset(
        name=name,
        split=split,
        examples=arrays,
        fields=with_class_names(known, class_names),
    )


def from_source(
    source: Source,
    *,
    name: str,
    split: str,
    class_names: Sequence[str] = (),
    fields: Mapping[str, Field | Kind] | None = None,
    pad: Mapping[str, int] | None = None,
    image_size: int | tuple[int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    transform: Callable[[Example], Example] | None = None,
    in_memory: bool | None = None,
    corrupt: Corrupt = "stop",
) -> Dataset:
    """Makes a data set of examples that are read by index.

    Args:
        source: Object that reads examples by index.
        name: Name of the data set.
        split: Name of the split.
        class_names: Class names of `label`.
        fields: Fields or kinds by name, for fields whose name does not tell their kind.
        pad: Number of rows to pad fields of objects to, such as `{"objects": 32}`; see `load`.
        image_size: Height and width to resize and crop `image` to, with its masks, boxes and
            points; see `load`.
        preprocessing: Resizing and cropping for pretrained weights; the loss normalizes.
        transform: Function applied to each example after resizing. Afterward, values that are not
            numeric arrays are dropped.
        in_memory: Whether to decode all examples now; None does so if they fit in `MEMORY_LIMIT`.
        corrupt: Whether an image that cannot be decoded raises (`"stop"`) or is skipped and counted
            (`"skip"`).

    Raises:
        CorruptImageError: An image cannot be decoded and `corrupt` is `"stop"`.
        DatasetError: No image can be decoded, images differ in size, or boxes or points cannot be
            resized with them.
        ValueError: The split is empty, an option is out of range, or class names are duplicated.
    """
    if corrupt not in ("stop", "skip"):
        raise ValueError(f"corrupt must be 'stop' or 'skip', got {corrupt!r}")
    class_names = different_names(class_names)
    if len(source) == 0:
        raise ValueError(f"{name}/{split} has no examples")
    if image_size is not None:
        if preprocessing is not None:
            raise ValueError(
                f"image_size={image_size} and preprocessing of {preprocessing.size} are both "
                "given; give one"
            )
        preprocessing = Preprocessing(image_size)
    declared = {
        key: Field(each) if isinstance(each, str) else each for key, each in (fields or {}).items()
    }
    file_names = getattr(source, "file_names", None)
    source = Transformed(source, preprocessing, transform, declared, dict(pad or {}))
    example = first_readable(source, corrupt, f"{name}/{split}")
    if in_memory is None:
        size = sum(np.asarray(value).nbytes for value in example.values())
        in_memory = size * len(source) <= MEMORY_LIMIT
    examples: Arrays | Source = source
    skipped: list[int] = []
    if in_memory:
        examples, skipped = read_all(source, corrupt, name)
    if file_names is not None:
        left_out = {*skipped}
        file_names = tuple(each for i, each in enumerate(file_names) if i not in left_out)
    known = known_fields(
        list(example), {key: each for key, each in declared.items() if key in example}
    )
    return Dataset(
        name=name,
        split=split,
        examples=examples,
        fields=with_class_names(known, class_names),
        corrupt=corrupt,
        num_skipped=len(skipped),
        preprocessing=preprocessing,
        file_names=file_names,
    )
