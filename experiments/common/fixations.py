"""Settings of scenes with synthetic fixations."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from common import script
from common.data import Source, or_folder, with_channels

from jaxvision import data

FIELDS = ("image", "fixation_density", "fixations")


@dataclasses.dataclass(frozen=True)
class FixationData(Source):
    """The scenes to train and to evaluate on, whose objects have masks."""

    dataset: str = "shapes"
    """Name of a data set of TensorFlow Datasets with the masks of objects in objects/masks, such as
    shapes or shapes/size128-128."""
    num_fixations: int = 50
    """Number of fixations that are drawn for each image."""

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
