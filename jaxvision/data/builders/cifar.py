"""CIFAR-10 and CIFAR-100, as TFDS has them.

TFDS's builders need TensorFlow to open files and to write PNG. These builders differ only in that:
features, addresses, checksums, keys, and thus the order of the records, are TFDS's.
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
        """Address of the archive."""
        return {"all": self._cifar_info.url}

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        path = fetch(dl_manager, self.urls)["all"]
        how = self._cifar_info
        parts = [file for files in self.files.values() for file in files]
        contents = self._read(path, [*how.label_files, *parts])
        for file in parts:
            if len(contents[file]) % self._record_size():
                raise DatasetError(
                    f"{file} of {path} has {len(contents[file]):,} bytes, which is not a "
                    f"multiple of {self._record_size():,}"
                )
        for label, file in zip(how.label_keys, how.label_files, strict=True):
            names = contents[file].decode().splitlines()
            self.info.features[label].names = [name for name in names if name]
        return {
            split: self._generate_examples([contents[file] for file in files], split)
            for split, files in self.files.items()
        }

    def _generate_examples(self, contents: Sequence[bytes], split: str) -> Examples:
        labels = self._cifar_info.label_keys
        index = 0
        for content in contents:
            for record in np.frombuffer(content, np.uint8).reshape(-1, self._record_size()):
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

    def _record_size(self) -> int:
        return len(self._cifar_info.label_keys) + int(np.prod(SHAPE))

    def _read(self, path: Any, files: Sequence[str]) -> dict[str, bytes]:
        """Returns the contents of files in the archive, which is unpacked once."""
        wanted = {self._cifar_info.prefix + file: file for file in files}
        contents = {}
        with reading(path), tarfile.open(path) as archive:
            for member in archive:
                part = archive.extractfile(member) if member.name in wanted else None
                if part is not None:
                    contents[wanted[member.name]] = part.read()
        if missing := [name for name, file in wanted.items() if file not in contents]:
            raise DatasetError(f"{path} holds no {' and no '.join(missing)}")
        return contents


class Cifar100(Cifar10, skip_registration=True):  # type: ignore[call-arg]
    """60,000 color images of 100 classes in 20 groups, 32x32 (Krizhevsky, 2009)."""

    files: ClassVar[dict[str, Sequence[str]]] = {"train": ["train.bin"], "test": ["test.bin"]}
    _cifar_info = tfds.image_classification.Cifar100._cifar_info
    _info = tfds.image_classification.Cifar100._info
