"""MNIST and the data sets in its format, as TFDS has them.

TFDS's builders need TensorFlow to open files and to write PNG. These builders differ only in that:
features, addresses, checksums, keys, and thus the order of the records, are TFDS's.
"""

import gzip
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from jaxvision.data.builders.archives import fetch, png, read_idx, reading
from jaxvision.data.errors import DatasetError

FILES = {
    f"{split} {kind}": f"{prefix}-{kind}-idx{axes}-ubyte.gz"
    for split, prefix in (("train", "train"), ("test", "t10k"))
    for kind, axes in (("images", 3), ("labels", 1))
}
Examples = Iterator[tuple[int, dict[str, Any]]]


class MNIST(tfds.image_classification.MNIST, skip_registration=True):  # type: ignore[call-arg]
    """70,000 handwritten digits, 28x28 (LeCun et al., 1998)."""

    @property
    def urls(self) -> dict[str, str]:
        """Addresses of the archives."""
        return {name: self.URL + file for name, file in FILES.items()}

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        paths = fetch(dl_manager, self.urls)
        return {
            split: self._generate_examples(paths[f"{split} images"], paths[f"{split} labels"])
            for split in ("train", "test")
        }

    def _generate_examples(self, images: Any, labels: Any) -> Examples:
        arrays = []
        for path in (images, labels):
            with reading(path), gzip.open(path) as file:
                arrays.append(read_idx(file, str(path)))
        yield from _examples(*arrays)


class FashionMNIST(MNIST, skip_registration=True):  # type: ignore[call-arg]
    """70,000 pictures of clothes, 28x28 (Xiao et al., 2017)."""

    URL = tfds.image_classification.FashionMNIST.URL
    _info = tfds.image_classification.FashionMNIST._info


class KMNIST(MNIST, skip_registration=True):  # type: ignore[call-arg]
    """70,000 cursive Japanese characters of ten kinds, 28x28 (Clanuwat et al., 2018)."""

    URL = tfds.image_classification.KMNIST.URL
    _info = tfds.image_classification.KMNIST._info


class EMNIST(tfds.image_classification.EMNIST, skip_registration=True):  # type: ignore[call-arg]
    """Handwritten letters and digits, 28x28, in six configurations (Cohen et al., 2017)."""

    @property
    def urls(self) -> dict[str, str]:
        """Address of the archive, which holds all configurations."""
        return {"all": self.URL}

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        path = fetch(dl_manager, self.urls)["all"]
        return {split: self._generate_examples(path, split) for split in ("train", "test")}

    def _generate_examples(self, path: Any, split: str) -> Examples:
        arrays = []
        for kind, axes in (("images", 3), ("labels", 1)):
            name = f"gzip/emnist-{self.builder_config.name}-{split}-{kind}-idx{axes}-ubyte.gz"
            with (
                reading(path),
                zipfile.ZipFile(path) as archive,
                archive.open(name) as part,
                gzip.open(part) as file,
            ):
                arrays.append(read_idx(file, f"{name} of {path}"))
        # Cut as TFDS does, because the files of `letters` hold more.
        count = getattr(self.builder_config, f"{split}_examples")
        yield from _examples(*(array[:count] for array in arrays))


def _examples(images: UInt8[np.ndarray, "..."], labels: UInt8[np.ndarray, "..."]) -> Examples:
    if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        raise DatasetError(
            f"images of shape (examples, 28, 28) and as many labels are expected, got "
            f"{images.shape} and {labels.shape}"
        )
    for index, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        yield index, {"image": png(pixels), "label": int(label)}
