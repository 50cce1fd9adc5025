"""Data sets of TensorFlow Datasets, read without TensorFlow."""

import contextlib
import dataclasses
import io
import logging
import os
import pathlib
import re
import socket
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxvision._logs import absl_level
from jaxvision.data.builders import own_builder
from jaxvision.data.errors import DatasetError, SplitError
from jaxvision.data.fields import Field, Fields, kind_of
from jaxvision.data.images import decode_image
from jaxvision.data.known_masks import relabeled
from jaxvision.data.source import Example, Source
from jaxvision.data.tfds_names import base_name, cannot_open, no_such
from jaxvision.data.transformed import flatten
from jaxvision.suggest import unknown

_TOOLS = "pip install tensorflow tensorflow-datasets apache-beam mlcroissant"
"""Command that installs what the command `tfds` needs."""


@dataclasses.dataclass(frozen=True)
class TfdsSource:
    """Examples of a prepared split.

    Attributes:
        records: TFDS's own source, with images left encoded.
        images: Image features that are still to be decoded, with their number of channels.
        masks: Mask features, whose channel axis of length 1 is removed.
        boxes: Box features, by their joined names.
        scalars: Types of the features that are single numbers, which TFDS returns as Python
            numbers.
        name: Name of the split in errors.
    """

    records: Any
    images: dict[str, int | None]
    masks: tuple[str, ...]
    boxes: tuple[str, ...]
    scalars: dict[str, np.dtype]
    name: str

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Example:
        with absl_level(logging.ERROR):  # TFDS recommends OpenCV
            example: Example = flatten(self.records[index])
        for key, channels in self.images.items():
            where = f"{key} of record {index} of {self.name}"
            example[key] = decode_image(example[key], channels=channels, name=where)
        for key in self.masks:
            example[key] = np.asarray(example[key])[..., 0]
        for key, dtype in self.scalars.items():
            example[key] = np.asarray(example[key], dtype)
        for key in self.boxes:
            example[key] = _in_pixels(np.asarray(example[key], np.float32), example["image"].shape)
        return example


def open_tfds(
    name: str, split: str, data_dir: str | pathlib.Path | None, config: Any = None
) -> tuple[Source, Fields]:
    """Opens a split, preparing the data set first if needed; returns its examples and their fields.

    Raises:
        DatasetError: The data set does not exist, or cannot be prepared or read without TensorFlow.
        SplitError: The data set has no such split.
    """
    builder = _builder(name, data_dir, config)
    if not _is_prepared(builder):
        _prepare(builder, name)
        # A new builder, because another process may have prepared the data set.
        builder = _builder(name, data_dir, config)
    base = re.split(r"[\[+]", split)[0].strip()
    if base not in builder.info.splits and base != "all":
        raise SplitError(unknown(f"{name} split", split, builder.info.splits))
    fields = dict(_fields(builder.info.features))
    return relabeled(_source(builder, name, split, fields), fields, base_name(name))


def _fields(features: Any, prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Yields the fields whose kind TFDS knows; other features may be known by their names."""
    import tensorflow_datasets as tfds

    for name, feature in features.items():
        path = prefix + name
        inner = getattr(feature, "feature", feature)  # of a sequence
        if isinstance(inner, tfds.features.FeaturesDict):
            yield from _fields(inner, f"{path}/")
        elif isinstance(inner, tfds.features.ClassLabel):
            yield path, Field("label", _names(inner))
        elif isinstance(inner, tfds.features.LabeledImage):
            yield path, Field("mask", _names(inner))
        elif isinstance(inner, tfds.features.Image):
            yield path, Field((kind_of(path) or "image") if inner is feature else "volume")
        elif isinstance(inner, tfds.features.BBoxFeature):
            yield path, Field("boxes" if _is_relative(inner) else "number")
        elif isinstance(inner, tfds.features.Text):
            yield path, Field("caption")


def _names(feature: Any) -> tuple[str, ...]:
    names = feature.names or [str(index) for index in range(feature.num_classes or 0)]
    return tuple(names)


def _is_relative(feature: Any) -> bool:
    """Whether boxes are `ymin, xmin, ymax, xmax` from 0 to 1, as nearly all of TFDS's are."""
    known = getattr(feature, "bbox_format", None)
    return getattr(known, "value", "REL_YXYX") == "REL_YXYX"


def _in_pixels(boxes: np.ndarray, image_shape: tuple[int, ...]) -> np.ndarray:
    height, width = image_shape[:2]
    boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
    scale = np.array([width, height, width, height], np.float32)
    moved: np.ndarray = boxes[..., [1, 0, 3, 2]] * scale
    return moved


def _builder(name: str, data_dir: str | pathlib.Path | None, config: Any = None) -> Any:
    import tensorflow_datasets as tfds

    directory = os.fspath(tfds.core.constants.DATA_DIR if data_dir is None else data_dir)
    if "://" not in directory:  # absolute, as `tfds convert_format` needs it
        directory = os.path.abspath(os.path.expanduser(directory))
    base = base_name(name)
    if base != base.lower() and own_builder(base.lower()) is not None:
        raise DatasetError(no_such(name, directory))  # TFDS accepts some capitals, once prepared
    own = own_builder(base)
    # For version "*.*.*", TFDS takes any prepared version, and needs the code of the data set, and
    # whatever that imports, only if none is prepared.
    options = {} if config is None else {"config": config}
    if ":" not in name:
        options["version"] = "*.*.*"
    try:
        with _quiet():
            builder = tfds.builder(name, data_dir=directory, **options)
            if own is None or isinstance(builder, own) or _is_prepared(builder):
                return builder
            known = builder.builder_config and builder.builder_config.name
            return own(data_dir=directory, config=known, version=str(builder.version))
    except tfds.core.DatasetNotFoundError:
        raise DatasetError(no_such(name, directory)) from None
    except ImportError as error:
        raise DatasetError(_not_prepared(name, directory, _missing_package(error))) from error
    except (ValueError, AssertionError, OSError) as error:
        raise DatasetError(cannot_open(name, error)) from error


def _is_carried(name: str) -> bool:
    """Whether the data are rendered here, or contained in an installed package."""
    own = own_builder(base_name(name))
    return own is not None and not hasattr(own, "urls")


def _is_prepared(builder: Any) -> bool:
    with absl_level(logging.ERROR):  # TFDS warns if nothing is prepared yet
        return builder.is_prepared()


def _prepare(builder: Any, name: str) -> None:
    """Downloads a data set and writes ArrayRecord files; errors say what to run instead."""
    import tensorflow_datasets as tfds

    by_hand = bool(builder.MANUAL_DOWNLOAD_INSTRUCTIONS)
    carried = _is_carried(name)
    archives = _archives(builder)
    at_hand = archives is not None and all(archive.exists() for archive in archives)
    if not (carried or by_hand or at_hand or _online()):
        reason = "there is no network to download it from"
        raise DatasetError(_not_prepared(name, builder.data_dir, reason, archives))
    config = tfds.download.DownloadConfig(
        try_download_gcs=False, manual_dir=archives[0].parent if archives and at_hand else None
    )
    try:
        with _leaving_no_empty_folders(builder), _quiet() if carried else contextlib.nullcontext():
            builder.download_and_prepare(file_format="array_record", download_config=config)
    except DatasetError:
        raise
    except ImportError as error:
        raise DatasetError(
            _not_prepared(name, builder.data_dir, _missing_package(error))
        ) from error
    except Exception as error:  # a builder's own code can fail in any way
        if _is_prepared(builder):  # another process was faster
            return
        if by_hand and isinstance(error, AssertionError):
            raise DatasetError(f"{name} has to be downloaded by hand first. {error}") from error
        reason = f"preparing it failed: {error}".rstrip(".")
        raise DatasetError(_not_prepared(name, builder.data_dir, reason, archives)) from error


def _archives(builder: Any) -> list[pathlib.Path] | None:
    """Paths where the user may have put downloaded archives; None if TFDS's own code reads them."""
    urls = getattr(builder, "urls", None)
    if urls is None:
        return None
    folder = _data_dir(builder) / "downloads" / "manual" / builder.name
    return [folder / pathlib.PurePosixPath(url).name for url in urls.values()]


def _data_dir(builder: Any) -> pathlib.Path:
    """The folder that holds all data sets, this one among them."""
    return pathlib.Path(builder.data_dir).parents[builder.info.full_name.count("/")]


@contextlib.contextmanager
def _leaving_no_empty_folders(builder: Any) -> Iterator[None]:
    """Removes the empty folders that TFDS leaves when preparing a data set fails."""
    root = _data_dir(builder)
    before = set(_folders_of(builder.name, root))
    try:
        yield
    except BaseException:
        for folder in sorted(set(_folders_of(builder.name, root)) - before, reverse=True):
            with contextlib.suppress(OSError):  # the folder is not empty
                folder.rmdir()
        raise


def _folders_of(name: str, root: pathlib.Path) -> Iterator[pathlib.Path]:
    """The folders that TFDS makes for a data set: for its files, and for its downloads."""
    downloads = root / "downloads"
    places = (root, root / name, downloads, downloads / "extracted", downloads / name)
    inside = (*(root / name).rglob("*"), *(downloads / name).glob("*"))
    return (folder for folder in (*places, *inside) if folder.is_dir())


def _missing_package(error: ImportError) -> str:
    reason = str(error).rsplit(": ", 1)[-1]  # without TFDS's own words before it
    return f"preparing it takes a package that is not installed ({reason}); reading it does not"


def _not_prepared(
    name: str,
    directory: str | pathlib.Path,
    reason: str,
    archives: Sequence[pathlib.Path] | None = None,
) -> str:
    message = f"{name} is not prepared in {directory}, and {reason}"
    if _is_carried(name):
        return f"{message}; give data_dir=... a folder that can be written"
    if archives:
        files = ", ".join(archive.name for archive in archives)
        return f"{message}: put {files} into {archives[0].parent}, and load it again"
    return (
        f"{message}: run `tfds build {name} --file_format=array_record --data_dir=DIR` on a "
        f"machine that can, after `{_TOOLS}`, then load({name!r}, ..., data_dir=DIR)"
    )


def _online() -> bool:
    """Whether host names resolve; without this check, TFDS retries for minutes."""
    if urllib.request.getproxies():
        return True
    try:
        return bool(socket.getaddrinfo("storage.googleapis.com", 443))
    except OSError:
        return False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides progress bars and advice to install TensorFlow."""
    nowhere = io.StringIO()
    with (
        absl_level(logging.ERROR),
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def _is_empty(records: Any) -> bool:
    """Whether there are no records; the length of a part such as `test[5:3]` is negative."""
    try:
        return len(records) == 0
    except ValueError:
        return True


def _source(builder: Any, name: str, split: str, fields: Fields) -> TfdsSource:
    import tensorflow_datasets as tfds

    features = builder.info.features
    images = {
        key: feature.shape[-1]
        for key, feature in features.items()
        if isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8
    }
    tensors = {key: feature.get_tensor_info() for key, feature in features.items()}
    scalars = {
        key: np.dtype(info.np_dtype)
        for key, info in tensors.items()
        if isinstance(info, tfds.features.TensorInfo)
        and info.shape == ()
        and np.dtype(info.np_dtype).kind in "biuf"
    }
    decoders = {key: tfds.decode.SkipDecoding() for key in images}
    try:
        records = builder.as_data_source(split, decoders=decoders)
    except NotImplementedError as error:
        if split.startswith("all["):
            raise SplitError(
                f"cannot read {split!r} of {name}: all has no parts; write a part of each split, "
                "as train[:80%]+test[:80%]"
            ) from error
        stored = getattr(builder.info.file_format, "value", builder.info.file_format)
        raise DatasetError(
            f"{name} at {builder.data_dir} is stored as {stored}, which cannot be read by index "
            "without TensorFlow; convert it once, in another environment: "
            f"`{_TOOLS}`, then `tfds convert_format --dataset_version_dir={builder.data_dir} "
            "--out_file_format=array_record`"
        ) from None
    except ValueError as error:
        raise SplitError(
            f"cannot read {split!r} of {name}: write a split ({', '.join(builder.info.splits)}) or "
            f"a part of one as train[:80%] or train[100:200] ({str(error).splitlines()[0]})"
        ) from error
    if _is_empty(records):
        raise SplitError(f"{split!r} of {name} has no examples: its part must not be empty")
    kinds = {path: field.kind for path, field in fields.items()}
    masks = tuple(
        key
        for key, feature in features.items()
        if kinds.get(key) == "mask"
        and isinstance(getattr(feature, "feature", feature), tfds.features.Image)
        and feature.shape[-1] == 1
    )
    boxes = tuple(path for path, kind in kinds.items() if kind == "boxes" and "image" in images)
    return TfdsSource(records, images, masks, boxes, scalars, f"{name}/{split}")
