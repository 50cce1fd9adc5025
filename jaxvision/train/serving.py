"""Trained models as functions of arrays, for export and for explanation."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxtyping import Array

from jaxvision.data import Preprocessing, resize_and_crop_batch

BATCH = "batch"
"""The symbol in a shape for the number of rows, which may be any from 1 up."""


@dataclasses.dataclass(frozen=True)
class ArrayInfo:
    """The description of an input or output array of an exported program.

    Attributes:
        name: The name of the array.
        shape: Its shape, which begins with "batch".
        dtype: The name of its type, such as "uint8".
        meaning: The meaning of its numbers, in words.
        names: The names of the entries along its last axis, such as classes; empty without names.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    meaning: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        shape = ", ".join(map(str, self.shape))
        return f"{self.name}: {self.dtype} ({shape}), {self.meaning}"


@dataclasses.dataclass(frozen=True, eq=False)
class Serving:
    """A trained model as a function of arrays; `Trained.serving` makes it, and `export` writes it.

    Attributes:
        fn: `fn(*inputs)` returns a dict of arrays, each with a row for each row of the inputs. It
            is traced with an unknown batch size: shapes may contain `x.shape[0]`, but not `len(x)`.
        inputs: The inputs of `fn`, in order.
        outputs: The meaning of each output of `fn`, by its name.
        names: The names of the entries along the last axis of outputs, by output.
        preprocessing: How images of other sizes are resized to the first input; None for other
            inputs.
    """

    fn: Callable[..., Mapping[str, Array]]
    inputs: Sequence[ArrayInfo]
    outputs: Mapping[str, str]
    names: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    preprocessing: Preprocessing | None = None

    def for_images_of(self, size: int | tuple[int, int]) -> "Serving":
        """Returns the same function for images of another size, which it resizes and crops first.

        Args:
            size: Height and width of the images; one number is both.

        Raises:
            ValueError: The size is not positive, or the model does not take images that can be
                resized.
        """
        if self.preprocessing is None:
            taken = "; ".join(map(str, self.inputs))
            raise ValueError(
                f"image_size={size} is for models of images, and this one takes {taken}: leave it "
                "out"
            )
        how, (images, *rest) = self.preprocessing, self.inputs
        height, width = Preprocessing(size).size  # which checks the size

        def fn(images: Array, *others: Array) -> Mapping[str, Array]:
            return self.fn(resize_and_crop_batch(images, how), *others)

        shape = (BATCH, height, width, images.shape[-1])
        inputs = (dataclasses.replace(images, shape=shape), *rest)
        return dataclasses.replace(self, fn=fn, inputs=inputs, preprocessing=None)


class ScoreFunction(NamedTuple):
    """The scores by which a trained model decides, as a function that `explain` takes.

    Attributes:
        fn: Function from images in [0, 1] to scores such as logits, of the shape (batch, scores),
            or to those of each pixel, (batch, height, width, scores). That of an agent takes
            observations, whose bytes are scaled to [0, 1] too.
        names: The names of the scores, such as classes; empty if they have none.
        are_logits: Whether they are logits of classes, of which each image or pixel has one.
        measure: What a score that is no logit measures, in a few words for titles.
    """

    fn: Callable[[Any], Any]
    names: Sequence[str] = ()
    are_logits: bool = True
    measure: str = "score"


def known_names(names: Sequence[str], count: int) -> list[str]:
    """Returns the names of classes; without any, "class 0", "class 1" and so on.

    >>> known_names((), 2)
    ['class 0', 'class 1']
    """
    return [*names] or [f"class {index}" for index in range(count)]


def as_json(info: ArrayInfo) -> dict[str, Any]:
    """Returns the description of an array as a JSON-able dict, without `names` if they are empty.

    >>> as_json(ArrayInfo("labels", ("batch",), "int32", "classes"))
    {'name': 'labels', 'shape': ['batch'], 'dtype': 'int32', 'meaning': 'classes'}
    """
    content = dataclasses.asdict(info) | {"shape": list(info.shape), "names": list(info.names)}
    if not info.names:
        del content["names"]
    return content
