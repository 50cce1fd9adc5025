"""TFDS builder of the 1,797 handwritten digits that scikit-learn contains; it needs no network."""

from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int

from jaxvision.data.builders.archives import png

_DESCRIPTION = """
Handwritten digits of 8x8 pixels: the test part of the Optical Recognition of Handwritten Digits
data (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, CC BY 4.0), written by 13
people, as scikit-learn carries them. Gray levels 0 to 16 are stored as round(level * 255 / 16).

The splits are fixed and stratified: of every class's examples, shuffled once, the first fifth
(rounded) is `test`, the next tenth `validation`, the rest `train`: 359, 180 and 1,258 images.
"""

_CITATION = """
@misc{alpaydin1998optical,
  title = {Optical Recognition of Handwritten Digits},
  author = {Alpaydin, E. and Kaynak, C.},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49}
}
"""


class Digits(tfds.core.GeneratorBasedBuilder):
    """The data set `digits`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 (TFDS reads it off the class)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation=_CITATION,
            disable_shuffling=True,
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict]]]:
        del dl_manager
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)
        return {
            split: self._generate_examples(images, digits.target, index)
            for split, index in split_indices(digits.target).items()
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, index: np.ndarray
    ) -> Iterator[tuple[int, dict]]:
        for number in index.tolist():
            yield number, {"image": png(images[number]), "label": int(labels[number])}


def split_indices(labels: Int[np.ndarray, " examples"]) -> dict[str, Int[np.ndarray, " part"]]:
    """Returns the ascending indices of the examples in `train`, `validation` and `test`.

    >>> {name: len(index) for name, index in split_indices(np.repeat(np.arange(10), 20)).items()}
    {'train': 140, 'validation': 20, 'test': 40}
    """
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # Raw bits, because NumPy keeps them the same in all versions, unlike `permutation`.
        bits = np.random.Philox(key=int(label)).random_raw(len(members))
        members = members[np.argsort(bits, kind="stable")]
        ends = round(0.2 * len(members)), round(0.3 * len(members))
        for part, chunk in zip(
            ("test", "validation", "train"), np.split(members, ends), strict=True
        ):
            parts[part].append(chunk)
    return {name: np.sort(np.concatenate(chunks)) for name, chunks in parts.items()}
