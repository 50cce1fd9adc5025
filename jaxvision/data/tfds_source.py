"""Data sets of TensorFlow Datasets, read without TensorFlow."""

import contextlib
import dataclasses
import io
import logging
import pathlib
import re
import socket
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxvision._logs import absl_level
from jaxvision._suggest import unknown
from jaxvision.data.errors import DatasetError
from jaxvision.data.images import decode_image
from jaxvision.data.source import Example

_NUMERIC = "biufc"


@dataclasses.dataclass(frozen=True)
class TfdsSource:
    """Examples of a prepared split; numeric features only, because text cannot go into a step.

    Attributes:
        records: TFDS's own source, with images left encoded.
        images: The features that are images still to be decoded, with their channels.
        name: What to call the split in errors.
    """

    records: Any
    images: dict[str, int | None]
    name: str

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Example:
        example: Example = {}
        for key, value in self.records[index].items():
            if key in self.images:
                where = f"{key} of record {index} of {self.name}"
                example[key] = decode_image(value, channels=self.images[key], name=where)
            elif isinstance(value, dict):
                continue
            elif np.asarray(value).dtype.kind in _NUMERIC:
                example[key] = np.asarray(value)
        return example


def open_tfds(
    name: str, split: str, data_dir: str | pathlib.Path | None
) -> tuple[TfdsSource, tuple[str, ...]]:
    """Opens a split, preparing the data set first where that is needed.

    Args:
        name: A TFDS name, such as `mnist` or `cityscapes/fine_annotations`; or `digits`.
        split: A split, or a slice of one such as `train[:80%]`.
        data_dir: Where prepared data sets lie; None is TFDS's own default.

    Returns:
        The examples, and the names of the classes.

    Raises:
        DatasetError: It does not exist, or cannot be prepared, or not read without TensorFlow.
    """
    builder = _builder(name, data_dir)
    if not builder.is_prepared():
        _prepare(builder, name)
    base = re.split(r"[\[+]", split)[0].strip()
    if base not in builder.info.splits and base != "all":
        raise DatasetError(unknown(f"split of {name}", split, builder.info.splits))
    records, images = _records(builder, name, split)
    return TfdsSource(records, images, f"{name}/{split}"), _class_names(builder.info.features)


def _class_names(features: Any) -> tuple[str, ...]:
    import tensorflow_datasets as tfds

    label = features["label"] if "label" in features else None  # noqa: SIM401 (it has no get)
    if not isinstance(label, tfds.features.ClassLabel):
        return ()
    return tuple(label.int2str(index) for index in range(label.num_classes))


def _builder(name: str, data_dir: str | pathlib.Path | None) -> Any:
    import tensorflow_datasets as tfds

    directory = None if data_dir is None else str(pathlib.Path(data_dir).expanduser())
    try:
        with absl_level(logging.ERROR):
            if name == "digits":
                from jaxvision.data.digits import Digits

                return Digits(data_dir=directory)
            return tfds.builder(name, data_dir=directory)
    except tfds.core.DatasetNotFoundError:
        names = tfds.list_builders(with_community_datasets=False)
        raise DatasetError(unknown("data set", name, {*names, "digits"})) from None
    except (ValueError, AssertionError) as error:
        # A configuration or version that the data set does not have: TFDS lists them.
        raise DatasetError(f"cannot open the data set {name!r}: {error}") from error


def _prepare(builder: Any, name: str) -> None:
    """Downloads and writes ArrayRecord files; says what to run where that cannot be done here."""
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(try_download_gcs=False)
    elsewhere = (
        f"`tfds build {name} --file_format=array_record --data_dir=DIR` on a machine that can, "
        f"with tensorflow and tensorflow-datasets installed, then load({name!r}, ..., data_dir=DIR)"
    )
    if name != "digits" and not builder.MANUAL_DOWNLOAD_INSTRUCTIONS and not _online():
        raise DatasetError(
            f"{name} is not prepared at {builder.data_dir}, and there is no network to download it "
            f"from: run {elsewhere}"
        )
    try:
        with _quiet() if name == "digits" else contextlib.nullcontext():
            builder.download_and_prepare(file_format="array_record", download_config=config)
    except AssertionError as error:
        raise DatasetError(f"{name} has to be downloaded by hand first. {error}") from error
    except ImportError as error:
        raise DatasetError(
            f"{name} is not prepared at {builder.data_dir}, and preparing it takes a package that "
            f"is not installed ({error}). Reading it will not: run {elsewhere}"
        ) from error
    except OSError as error:
        if builder.is_prepared():  # another process was faster
            return
        raise DatasetError(
            f"{name} is not prepared at {builder.data_dir}, and preparing it failed: {error}. "
            f"If it cannot be done here, run {elsewhere}"
        ) from error


def _online() -> bool:
    """Whether names resolve; asking beats the minutes that TFDS tries again and again."""
    if urllib.request.getproxies():
        return True
    try:
        return bool(socket.getaddrinfo("storage.googleapis.com", 443))
    except OSError:
        return False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars for what takes a fraction of a second."""
    nowhere = io.StringIO()
    with (
        absl_level(logging.ERROR),
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def _records(builder: Any, name: str, split: str) -> tuple[Any, dict[str, int | None]]:
    import tensorflow_datasets as tfds

    images = {
        key: feature.shape[-1]
        for key, feature in builder.info.features.items()
        if isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8
    }
    decoders = {key: tfds.decode.SkipDecoding() for key in images}
    try:
        return builder.as_data_source(split, decoders=decoders), images
    except NotImplementedError:
        stored = getattr(builder.info.file_format, "value", builder.info.file_format)
        raise DatasetError(
            f"{name} at {builder.data_dir} is stored as {stored}, which cannot be read by index "
            "without TensorFlow; convert it once, where TensorFlow is installed: `tfds "
            f"convert_format --dataset_version_dir={builder.data_dir} "
            "--out_file_format=array_record`"
        ) from None
    except ValueError as error:
        raise DatasetError(f"cannot read {split!r} of {name}: {error}") from error
