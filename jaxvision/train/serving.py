"""What a trained model does for whoever calls it, as one function of arrays."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxtyping import Array

from jaxvision.data import Preprocessing, resize_and_crop_batch

BATCH = "batch"
"""What stands in a shape for the number of rows, which may be any from 1 on."""


@dataclasses.dataclass(frozen=True)
class ArrayInfo:
    """What one array is that goes into an exported program, or comes out of it.

    Attributes:
        name: What it is called.
        shape: Its shape, which begins with "batch".
        dtype: The name of its type, such as "uint8".
        meaning: What its numbers are, in words.
        names: What the entries of its last axis are called, such as classes; none if they have no
            names.
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
    """A trained model as a function of arrays; `Trained.serving` gives one, and `export` writes it.

    Attributes:
        fn: `fn(*inputs)` gives a dict of arrays, each with a row for each row of the inputs. It is
            traced for a batch of unknown size: `x.shape[0]` may be used in shapes, `len(x)` not.
        inputs: What `fn` takes, in this order.
        outputs: What each array means that `fn` gives, by its name.
        names: What the entries of the last axis of an output are called, by its name.
        preprocessing: Where the first input is images: how images of another size become those that
            `fn` takes. None where there is nothing to resize.
    """

    fn: Callable[..., Mapping[str, Array]]
    inputs: Sequence[ArrayInfo]
    outputs: Mapping[str, str]
    names: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    preprocessing: Preprocessing | None = None

    def for_images_of(self, size: int | tuple[int, int]) -> "Serving":
        """The same for images of another size, which are resized and cropped first.

        Args:
            size: Height and width of the images; one number is both.

        Returns:
            A function that takes images of that size.

        Raises:
            ValueError: The size is not positive, or no images of another size can be resized.
        """
        if self.preprocessing is None:
            taken = "; ".join(map(str, self.inputs))
            raise ValueError(
                f"image_size={size} is for models of images, and this one takes {taken}: leave it "
                "out"
            )
        how, (images, *rest) = self.preprocessing, self.inputs
        height, width = Preprocessing(size).size  # which checks them

        def fn(images: Array, *others: Array) -> Mapping[str, Array]:
            return self.fn(resize_and_crop_batch(images, how), *others)

        shape = (BATCH, height, width, images.shape[-1])
        inputs = (dataclasses.replace(images, shape=shape), *rest)
        return dataclasses.replace(self, fn=fn, inputs=inputs, preprocessing=None)


def as_json(info: ArrayInfo) -> dict[str, Any]:
    """An array's description as JSON has it, without names where there are none.

    >>> as_json(ArrayInfo("labels", ("batch",), "int32", "classes"))
    {'name': 'labels', 'shape': ['batch'], 'dtype': 'int32', 'meaning': 'classes'}
    """
    content = dataclasses.asdict(info) | {"shape": list(info.shape), "names": list(info.names)}
    if not info.names:
        del content["names"]
    return content
