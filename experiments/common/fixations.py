"""Settings of scenes with synthetic fixations."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal

from common import script
from common.data import or_folder, with_channels

from jaxvision import data

FIELDS = ("image", "fixation_density", "fixations")


@dataclasses.dataclass(frozen=True)
class FixationData:
    """The scenes to train and to evaluate on, whose objects have masks."""

    dataset: str = "shapes"
    """Name of a data set of TensorFlow Datasets with the masks of objects in objects/masks, such as
    shapes or shapes/size128-128."""
    data_dir: str | None = None
    """Folder in which TensorFlow Datasets keeps its files; None takes the environment variable
    TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    train_split: str = "train"
    """Split to train on, such as train, or a slice such as train[:80%]."""
    eval_split: str = "test"
    """Split to evaluate on, during the training and at its end."""
    num_fixations: int = 50
    """Number of fixations that are drawn for each image."""
    image_size: int | tuple[int, int] | None = None
    """Height and width, in pixels, to which images and masks are resized and cropped: one number
    for squares, or two. None keeps them as they are."""
    channels: Literal[1, 3, 4] | None = None
    """Channels to which images are converted: 1 (gray), 3 (RGB) or 4 (RGBA). None keeps them."""
    corrupt: Literal["stop", "skip"] = "stop"
    """What to do about an image that cannot be decoded: stop, or skip it and count it."""
    num_workers: int = 0
    """Number of processes that read images, if these do not fit in memory; 0 uses threads."""

    def load(
        self,
        split: str,
        class_names: Sequence[str] | None = None,
        preprocessing: data.Preprocessing | None = None,
    ) -> data.Dataset:
        """Loads a split; it has no classes.

        With `preprocessing`, it replaces `image_size`.
        """
        del class_names
        with script.checking(), or_folder(self.dataset):
            look = functools.partial(
                only_fixations, look=data.with_fixations(count=self.num_fixations)
            )
            return data.load(
                self.dataset,
                split,
                self.data_dir,
                transform=with_channels(look, self.channels),
                image_size=self.image_size if preprocessing is None else None,
                preprocessing=preprocessing,
                corrupt=self.corrupt,
            )

    def load_splits(self) -> tuple[data.Dataset, data.Dataset]:
        """Loads the data to train on and the data to evaluate on."""
        return self.load(self.train_split), self.load(self.eval_split)


def only_fixations(example: dict[str, Any], look: Any) -> dict[str, Any]:
    """The image of an example with its fixations, without other fields."""
    if "objects/masks" not in example:
        raise SystemExit(
            "the data have no masks of objects, from which fixations could be made: an example has "
            f"{', '.join(example)}; shapes has them"
        )
    looked = look(example)
    return {name: looked[name] for name in FIELDS}
