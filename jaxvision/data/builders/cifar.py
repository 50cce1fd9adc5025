"""CIFAR-10 and CIFAR-100, as TFDS has them.

TFDS's builders need TensorFlow to open a file and to write PNG. These differ in that alone:
features, addresses, checksums, keys, and with them the order of the records, are TFDS's.
"""

import tarfile
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from jaxvision.data.builders.archives import fetch, png, reading
from jaxvision.data.errors import DatasetError

Examples = Iterator[tuple[int, dict[str, Any]]]
SHAPE = (3, 32, 32)


class Cifar10(tfds.image_classification.Cifar10, skip_registration=True):  # type: ignore[call-arg]
    """60,000 color images of ten classes, 32x32 (Krizhevsky, 2009)."""

    files: ClassVar[dict[str, Sequence[str]]] = {
        "train": [f"data_batch_{number}.bin" for number in range(1, 6)],
        "test": ["test_batch.bin"],
    }

    @property
    def urls(self) -> dict[str, str]:
        """The address of the archive."""
        return {"all": self._cifar_info.url}

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        path = fetch(dl_manager, self.urls)["all"]
        how = self._cifar_info
        for label, file in zip(how.label_keys, how.label_files, strict=True):
            names = self._read(path, file).decode().splitlines()
            self.info.features[label].names = [name for name in names if name]
        return {split: self._generate_examples(path, split) for split in self.files}

    def _generate_examples(self, path: Any, split: str) -> Examples:
        labels = self._cifar_info.label_keys
        size = len(labels) + int(np.prod(SHAPE))
        index = 0
        for file in self.files[split]:
            content = np.frombuffer(self._read(path, file), np.uint8)
            if content.size % size:
                raise DatasetError(
                    f"{file} of {path} has {content.size:,} bytes, which is no multiple of {size:,}"
                )
            for record in content.reshape(-1, size):
                pixels = record[len(labels) :].reshape(SHAPE).transpose(1, 2, 0)
                yield (
                    index,
                    {
                        **dict(zip(labels, record[: len(labels)].tolist(), strict=True)),
                        "id": f"{split}_{index:05d}",
                        "image": png(np.ascontiguousarray(pixels)),
                    },
                )
                index += 1

    def _read(self, path: Any, file: str) -> bytes:
        with reading(path), tarfile.open(path) as archive:
            name = self._cifar_info.prefix + file
            try:
                part = archive.extractfile(name)
            except KeyError as error:
                raise DatasetError(f"{path} holds no {name}") from error
            assert part is not None
            return part.read()


class Cifar100(Cifar10, skip_registration=True):  # type: ignore[call-arg]
    """60,000 color images of 100 classes in 20 groups, 32x32 (Krizhevsky, 2009)."""

    files: ClassVar[dict[str, Sequence[str]]] = {"train": ["train.bin"], "test": ["test.bin"]}
    _cifar_info = tfds.image_classification.Cifar100._cifar_info
    _info = tfds.image_classification.Cifar100._info
