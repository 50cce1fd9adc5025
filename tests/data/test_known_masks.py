"""Segmentation data sets of TFDS, made small in their published form."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxvision import data
from jaxvision.data.known_masks import KNOWN

VALUES = {
    "cityscapes/semantic_segmentation": np.arange(36).reshape(6, 6),
    "lost_and_found/semantic_segmentation": np.arange(36).reshape(6, 6) + 8,
    "oxford_iiit_pet": np.arange(36).reshape(6, 6) % 3 + 1,
}


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def prepare(name: str, folder) -> None:
    """A data set of two images with the features that TFDS's own builder gives it."""
    base, _, config = name.partition("/")
    known, features = KNOWN[base], tfds.features
    kinds = {
        known.image: features.Image(shape=(None, None, 3), encoding_format="png"),
        known.mask: features.Image(shape=(None, None, 1), encoding_format="png"),
    }
    more = {"image_id": features.Text()}
    if base == "oxford_iiit_pet":
        more = {
            "label": features.ClassLabel(names=["Abyssinian", "pug"]),
            "head_bbox": features.BBoxFeature(),
        }
    said = {"image_id": "a", "label": 1, "head_bbox": features.BBox(0.0, 0.5, 0.5, 1.0)}

    class Small(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=features.FeaturesDict({**kinds, **more}),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(2):
                pixels = np.full((6, 6, 3), number, np.uint8)
                mask = VALUES[name].astype(np.uint8)
                image = {known.image: png(pixels), known.mask: png(mask)}
                yield number, {**image, **{key: said[key] for key in more}}

    Small.name = base
    Small(data_dir=folder).download_and_prepare(file_format="array_record")


@pytest.fixture(params=VALUES)
def prepared(request, tmp_path):
    prepare(request.param, tmp_path)
    return request.param, data.load(request.param, "train", tmp_path)


def test_images_and_masks_have_the_names_of_this_library(prepared) -> None:
    name, dataset = prepared
    known = KNOWN[name.partition("/")[0]]
    assert dataset.fields["image"].kind == "image"
    assert dataset.fields["mask"] == data.Field("mask", known.names)
    assert dataset.examples["image"].shape == (2, 6, 6, 3)
    assert dataset.examples["mask"].shape == (2, 6, 6)
    assert dataset.examples["mask"].dtype == np.uint8
    assert {known.image, known.mask} - {"image"} - dataset.examples.keys()


def test_values_become_classes_and_others_255(prepared) -> None:
    name, dataset = prepared
    known = KNOWN[name.partition("/")[0]]
    expected = [[known.classes.get(value, 255) for value in row] for row in VALUES[name].tolist()]
    np.testing.assert_array_equal(dataset.examples["mask"], [expected, expected])
    assert {*known.classes.values()} == {*range(len(known.names))}


def test_classes_of_cityscapes_are_those_that_the_benchmark_counts() -> None:
    known = KNOWN["cityscapes"]
    assert len(known.names) == 19
    by_value = {value: known.names[number] for value, number in known.classes.items()}
    assert (by_value[7], by_value[21], by_value[26], by_value[33]) == (
        "road",
        "vegetation",
        "car",
        "bicycle",
    )


def test_other_fields_stay(tmp_path) -> None:
    prepare("oxford_iiit_pet", tmp_path)
    dataset = data.load("oxford_iiit_pet", "train", tmp_path, image_size=12)
    assert dataset.class_names == ("Abyssinian", "pug")
    assert dataset.examples["label"].tolist() == [1, 1]
    assert dataset.examples["head_bbox"].tolist() == [[6.0, 0.0, 12.0, 6.0]] * 2
    assert dataset.examples["mask"].shape == (2, 12, 12)
