import numpy as np
import pytest

from jaxvision import data
from jaxvision._preprocessing import Preprocessing
from jaxvision.data.transformed import Transformed


def pair(**features):
    """A source of one example."""
    return [{"image": np.arange(96, dtype=np.uint8).reshape(4, 8, 3), **features}]


def test_nothing_to_do():
    source = pair(label=np.int64(3))
    transformed = Transformed(source)
    assert len(transformed) == 1
    assert set(transformed[0]) == {"image", "label"}
    np.testing.assert_array_equal(transformed[0]["image"], source[0]["image"])


@pytest.mark.parametrize("shape", [(4, 8), (4, 8, 1)])
def test_maps_follow_the_image_and_keep_their_labels(shape):
    mask = np.where(np.arange(32) % 8 < 4, 7, 250).astype(np.uint8).reshape(shape)
    example = Transformed(pair(mask=mask, depth=mask.astype(np.float32)), Preprocessing(2))[0]
    assert example["image"].shape == (2, 2, 3)
    for key, dtype in (("mask", np.uint8), ("depth", np.float32)):
        assert example[key].shape == (2, 2, *shape[2:])
        assert example[key].dtype == dtype
        np.testing.assert_array_equal(example[key].reshape(2, 2), [[7, 250]] * 2)


def test_what_is_no_map_keeps_its_shape():
    features = {"boxes": np.zeros((5, 4)), "label": np.int64(1), "vector": np.zeros(4)}
    example = Transformed(pair(**features), Preprocessing(2))[0]
    assert {key: np.shape(value) for key, value in example.items()} == {
        "image": (2, 2, 3),
        "boxes": (5, 4),
        "label": (),
        "vector": (4,),
    }


def test_transform_sees_the_resized_image_and_the_text():
    def transform(example):
        assert example["image"].shape == (2, 2, 3)
        return {"image": example["image"], "tokens": np.array([len(example["caption"])])}

    example = Transformed(pair(caption=b"a cat"), Preprocessing(2), transform)[0]
    assert set(example) == {"image", "tokens"}
    assert example["tokens"] == [5]


@pytest.mark.parametrize(
    "value", [b"text", "text", {"nested": 1}, None, [[1], [2, 3]], np.array(["a"]), 1j]
)
def test_what_is_no_array_of_numbers_is_left_out(value):
    assert set(Transformed(pair(other=value))[0]) == {"image"}


@pytest.mark.parametrize("value", [1, 2.5, True, [1, 2], np.float16(3), np.zeros(3, bool)])
def test_numbers_stay(value):
    np.testing.assert_array_equal(Transformed(pair(other=value))[0]["other"], value)


def test_source_is_not_changed():
    source = pair()
    before = source[0]["image"].copy()

    def transform(example):
        example["image"] = example["image"] + 1
        example["new"] = 1
        return example

    Transformed(source, None, transform)[0]
    assert set(source[0]) == {"image"}
    np.testing.assert_array_equal(source[0]["image"], before)


def test_no_image_to_resize():
    source = [{"image_left": np.zeros((4, 4, 3)), "label": 1}]
    with pytest.raises(data.DatasetError, match="there is none among image_left, label; give tran"):
        Transformed(source, Preprocessing(2))[0]


def test_transform_without_return():
    with pytest.raises(TypeError, match="transform must return a dict, and returned None"):
        Transformed(pair(), None, lambda example: None)[0]
