"""Data sets and folders as settings."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from common import script
from common.places import missing, nearest_folder
from jaxvision import data


@dataclasses.dataclass(frozen=True)
class Data:
    """Which images to learn from, and which to evaluate on."""

    dataset: str = "digits"
    """A data set of TensorFlow Datasets; or a path with a slash in it (./pets) to a folder that
    holds a folder of images per class, or such a folder per split."""
    data_dir: str | None = None
    """Where TensorFlow Datasets keeps its files."""
    train_split: str = "train"
    """The split to train on."""
    eval_split: str = "test"
    """The split to evaluate on while training, and at the end."""
    validation: float | None = None
    """Evaluate on this share of the training split instead (0.2 is a fifth), of every class alike,
    drawn by the seed and held out of training; for data without a split to evaluate on."""
    classes: tuple[str, ...] | None = None
    """Names of the classes to tell apart, of those that there are; None takes all."""
    per_class: int | None = None
    """Train on so many images of each class, drawn by the seed; None takes all."""
    image_size: int | tuple[int, int] | None = 32
    """Resize and crop images to this height and width; None if they have one size, or the model
    that a run starts from has one."""
    channels: Literal[1, 3, 4] | None = None
    """Channels of a folder's images: gray, RGB or RGBA; None takes those of the model that a run
    starts from, or RGB."""
    corrupt: Literal["stop", "skip"] = "stop"
    """What to do with images that cannot be decoded."""
    num_workers: int = 0
    """Processes that read images which do not fit in memory; 0 reads by threads."""

    def located(self) -> "Data":
        """The same with the absolute path of a folder, so that a run can be evaluated anywhere.

        A name without a slash is never a folder: one that happens to lie here would hide the data
        set.
        """
        folder = pathlib.Path(self.dataset).expanduser()
        named = self.dataset.startswith((".", "~", "/"))
        if not (named or ("/" in self.dataset and folder.is_dir())):
            return self
        if not folder.is_dir():
            raise SystemExit(missing(self.dataset))
        return dataclasses.replace(self, dataset=str(folder.resolve()))

    def load(
        self,
        split: str,
        class_names: Sequence[str] | None = None,
        preprocessing: data.Preprocessing | None = None,
    ) -> data.Dataset:
        """Loads a split.

        Its classes have to be `class_names`, if they are given; where `preprocessing` is, images
        are resized and cut by it rather than to `image_size`.
        """
        dataset = self.located().dataset
        options: dict[str, Any] = {
            "image_size": self.image_size if preprocessing is None else None,
            "preprocessing": preprocessing,
            "corrupt": self.corrupt,
        }
        with script.checking(), or_folder(dataset):
            if dataset.startswith("/"):
                loaded = data.load_folder(
                    dataset,
                    split=split,
                    class_names=class_names if self.classes is None else None,
                    channels=self.channels or 3,
                    **options,
                )
            else:
                loaded = data.load(
                    dataset, split, self.data_dir, transform=image_and_label, **options
                )
            if self.classes is not None:
                if len(self.classes) < 2:
                    raise ValueError(f"--classes needs two names or more, got {self.classes[0]!r}")
                loaded = data.subset(loaded, classes=self.classes)
        if class_names is not None and loaded.class_names != tuple(class_names):
            raise SystemExit(
                f"{dataset}/{split} has the classes {', '.join(loaded.class_names)}, and the model "
                f"tells {', '.join(class_names)} apart"
            )
        return loaded

    def load_splits(
        self, seed: int, preprocessing: data.Preprocessing | None = None
    ) -> tuple[data.Dataset, data.Dataset]:
        """Loads what to train on and what to evaluate on."""
        train_data = self.load(self.train_split, preprocessing=preprocessing)
        if self.validation is not None:
            train_data, eval_data = self.hold_out(train_data, seed)
        else:
            try:
                eval_data = self.load(self.eval_split, train_data.class_names, preprocessing)
            except data.SplitError as error:
                raise SystemExit(
                    f"{error}\nName a split to evaluate on with --eval-split, or hold a fifth of "
                    f"{self.train_split} out with --validation 0.2"
                ) from None
        if self.per_class is not None:
            with script.checking():
                train_data = data.subset(train_data, per_class=self.per_class, seed=seed)
        return train_data, eval_data

    def hold_out(self, train_data: data.Dataset, seed: int) -> tuple[data.Dataset, data.Dataset]:
        """Parts the training split into what to train on and what to evaluate on."""
        assert self.validation is not None
        try:
            return data.split(train_data, self.validation, seed=seed)
        except ValueError as error:
            raise SystemExit(f"--validation: {error}") from error


@contextlib.contextmanager
def or_folder(name: str) -> Iterator[None]:
    """Says what folders there are where a name is that of no data set, and may be meant as one.

    Args:
        name: Of the data set.
    """
    try:
        yield
    except (data.CorruptImageError, data.SplitError):
        raise
    except data.DatasetError as error:
        if name.startswith("/"):
            raise
        here = pathlib.Path(name)
        near = nearest_folder(here) if "/" in name else here if here.is_dir() else None
        if near is not None:
            raise SystemExit(f"{error}; did you mean the folder ./{near}?") from error
        if "/" in name:
            raise SystemExit(f"{error}, nor is there a folder {name}") from error
        raise


def image_and_label(example: dict[str, Any]) -> dict[str, Any]:
    """What a classifier needs of an example, without boxes, masks and the like."""
    return {name: example[name] for name in ("image", "label") if name in example}
