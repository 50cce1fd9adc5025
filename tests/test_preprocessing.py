"""What weights need done to images, as timm does it (fixtures/make_preprocessing.py)."""

import base64
import gzip
import json
import math
import pathlib

import numpy as np
import pytest
from make_preprocessing import draw_image

from jaxvision import data
from jaxvision._preprocessing import from_timm

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
CASES = json.loads(gzip.decompress((FIXTURES / "preprocessing.json.gz").read_bytes()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str((case["config"], case["size"])))
def test_pixels_are_those_of_timm(case):
    preprocessing = from_timm(case["config"])
    image = draw_image(*case["size"])
    expected = np.frombuffer(base64.b64decode(case["pixels"]), np.uint8)
    expected = expected.reshape(*preprocessing.size, 3)
    resized = data.resize_and_crop(image, preprocessing)
    np.testing.assert_array_equal(resized, expected)
    whole = data.preprocess(image, preprocessing)
    np.testing.assert_allclose(whole[0, 0], case["first"], atol=1e-6)
    source = [{"image": image, "label": np.int64(0)}]
    dataset = data.from_source(source, name="a", split="b", preprocessing=preprocessing)
    np.testing.assert_array_equal(dataset[0]["image"], expected)


def test_description_makes_the_same_again():
    described = json.loads(json.dumps(data.IMAGENET.describe()))
    assert data.Preprocessing(**described) == data.IMAGENET
    assert hash(data.Preprocessing(**described)) == hash(data.IMAGENET)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, r"\(height, width\), both whole numbers above 0, got \(0, 0\)"),
        ({"size": 32.5}, r"both whole numbers above 0, got \(32.5, 32.5\)"),
        ({"size": (3, 4, 5)}, r"got \(3, 4, 5\)"),
        ({"crop": 0.0}, "crop must be above 0 and at most 1, got 0.0"),
        ({"crop": 1.1}, "got 1.1"),
        ({"std": (1.0, 0.0)}, r"std must be finite numbers above 0, got \(1.0, 0.0\)"),
        ({"std": (1.0, math.nan)}, "std must be finite numbers above 0"),
        ({"std": ()}, "std must be finite numbers above 0"),
        ({"mean": (math.inf,)}, r"mean must be finite numbers, got \(inf,\)"),
    ],
)
def test_what_cannot_be(options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        data.Preprocessing(**{"size": 8, **options})


def test_unknown_words_of_timm():
    config = {"input_size": [3, 8, 8]}
    assert from_timm(config) == data.Preprocessing(
        8, crop=0.875, mean=data.IMAGENET.mean, std=data.IMAGENET.std
    )
    with pytest.raises(ValueError, match="crop_mode must be 'center' or 'squash', got 'border'"):
        from_timm({**config, "crop_mode": "border"})
    with pytest.raises(ValueError, match=r"interpolation must be one of nearest, .*got 'random'"):
        from_timm({**config, "interpolation": "random"})


def test_one_of_the_two():
    source = [{"image": np.zeros((4, 4, 3), np.uint8)}]
    with pytest.raises(ValueError, match=r"image_size=3 and preprocessing of \(224, 224\)"):
        data.from_source(source, name="a", split="b", image_size=3, preprocessing=data.IMAGENET)
