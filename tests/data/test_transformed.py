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


def boxes_of(boxes, how, name="boxes"):
    """Where boxes of an image of 4x8 pixels are afterwards."""
    return Transformed(pair(**{name: np.array(boxes)}), how)[0][name]


@pytest.mark.parametrize("name", ["boxes", "bbox", "gt_boxes", "Box", "faces_bboxes"])
def test_boxes_follow_the_image(name):
    # 4x8 pixels become 2x4, of which the two columns in the middle are left.
    boxes = [[0.0, 0.25, 1.0, 0.75], [0.5, 0.5, 1.0, 1.0], [0.25, 0.0, 0.75, 0.25]]
    moved = boxes_of(boxes, Preprocessing(2), name)
    expected = [[0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 1.0, 1.0], [0.25, 0.0, 0.75, 0.0]]
    np.testing.assert_allclose(moved, expected, atol=1e-12)


@pytest.mark.parametrize("size", [(4, 4), (8, 5), (3, 9), (7, 7)])
@pytest.mark.parametrize("options", [{}, {"crop": 0.5}, {"squash": True}])
def test_boxes_lie_where_what_they_hold_lies(size, options):
    image = np.zeros((40, 80, 3), np.uint8)
    image[15:25, 30:50] = 255
    source = [{"image": image, "boxes": np.array([[15 / 40, 30 / 80, 25 / 40, 50 / 80]])}]
    how = Preprocessing(np.multiply(size, 10).tolist(), **options)
    example = Transformed(source, how)[0]
    rows, columns = np.nonzero(example["image"][..., 0] > 127)
    edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(example["boxes"][0] * (how.size * 2), edges, atol=1)


def test_boxes_keep_their_type_and_shape():
    moved = boxes_of(np.full((3, 2, 4), 0.5, np.float32), Preprocessing(2))
    assert (moved.dtype, moved.shape) == (np.float32, (3, 2, 4))
    assert boxes_of([0.0, 0.0, 1.0, 1.0], Preprocessing(2), "bbox").tolist() == [0, 0, 1, 1]
    for empty in (np.zeros((0, 4), np.int64), np.zeros((0, 4)), np.zeros(0)):
        assert boxes_of(empty, Preprocessing(2)).shape == empty.shape


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "boxes",
            [[0, 0, 1, 1]],
            r"unlike \[0.0, 0.0, 1.0, 1.0\]; give transform=... that resizes",
        ),
        ("boxes", [[0.1, 0.1, 0.2, 0.2], [1.0, 2.0, 3.0, 4.0]], r"unlike \[1.0, 2.0, 3.0, 4.0\]"),
        ("bbox", [0.5, 0.5, 0.2, 0.2], r"bbox cannot follow .* unlike \[0.5, 0.5, 0.2, 0.2\]"),
        ("boxes", [[np.nan, 0.5, 1.0, 1.0]], r"unlike \[nan, 0.5"),
        ("boxes", [[0.0, 0.0, 1.0, 1.0, 9.0]], r"not known what an array of shape \(1, 5\) is"),
        (
            "keypoints",
            [[3.0, 4.0]],
            r"keypoints cannot follow the image to its new size: it is not",
        ),
        ("landmarks", [[3, 4]], "landmarks cannot follow the image"),
    ],
)
def test_places_whose_kind_is_not_known(name, value, message):
    with pytest.raises(data.DatasetError, match=message):
        Transformed(pair(**{name: np.array(value)}), Preprocessing(2))[0]
    # An image of that size already is not resized, and nothing has to follow it.
    example = Transformed(pair(**{name: np.array(value)}), Preprocessing((4, 8)))[0]
    np.testing.assert_array_equal(example[name], value)


@pytest.mark.parametrize("last", [(), (1,)])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32])
def test_masks_of_instances_follow_the_image(dtype, last):
    masks = np.zeros((3, 4, 8, *last), dtype)
    masks[1, :, :4] = 1
    masks[2, 2:] = 1
    followed = Transformed(pair(masks=masks), Preprocessing(2))[0]["masks"]
    assert (followed.dtype, followed.shape) == (dtype, (3, 2, 2, *last))
    expected = [[[0, 0], [0, 0]], [[1, 0], [1, 0]], [[0, 0], [1, 1]]]
    np.testing.assert_array_equal(followed.reshape(3, 2, 2), expected)
    none = Transformed(pair(masks=masks[:0]), Preprocessing(2))[0]["masks"]
    assert (none.dtype, none.shape) == (dtype, (0, 2, 2, *last))


def test_a_map_or_a_stack_of_maps():
    source = [{"image": np.zeros((8, 8, 3), np.uint8), "masks": np.zeros((8, 8, 8), np.uint8)}]
    with pytest.raises(data.DatasetError, match=r"masks cannot .* \(8, 8, 8\) is a map or a stack"):
        Transformed(source, Preprocessing(2))[0]


def test_maps_with_several_axes_follow():
    flow = np.broadcast_to(np.arange(8)[:, None, None], (4, 8, 2, 5))
    followed = Transformed(pair(flow=flow), Preprocessing(2))[0]["flow"]
    assert followed.shape == (2, 2, 2, 5)
    assert followed[:, :, 0, 0].tolist() == [[3, 5], [3, 5]]


def test_a_second_image_is_resized_like_the_first():
    source = pair(image_right=pair()[0]["image"], segments=pair()[0]["image"].astype(np.int32))
    example = Transformed(source, Preprocessing((2, 4)))[0]
    np.testing.assert_array_equal(example["image_right"], example["image"])
    np.testing.assert_array_equal(example["segments"], source[0]["segments"][1::2, 1::2])


def test_what_is_nested_follows_where_a_transform_sees_it():
    objects = {"bbox": np.array([[0.0, 0.25, 1.0, 0.75]]), "label": np.array([3])}
    source = pair(objects=objects)
    example = Transformed(source, Preprocessing(2), lambda each: each["objects"])[0]
    assert (example["bbox"].tolist(), example["label"].tolist()) == ([[0, 0, 1, 1]], [3])
    source[0]["objects"]["bbox"] = np.array([[1, 2, 3, 4]])
    with pytest.raises(data.DatasetError, match="objects/bbox cannot follow the image"):
        Transformed(source, Preprocessing(2), lambda each: each)[0]
    assert set(Transformed(source, Preprocessing(2))[0]) == {"image"}


def test_an_image_that_is_none():
    with pytest.raises(data.DatasetError, match=r"and this one has \(2, 4, 8, 3\); give transform"):
        Transformed([{"image": np.zeros((2, 4, 8, 3))}], Preprocessing(2))[0]


def test_labels_are_known_where_no_transform_changes_them():
    class Labeled(list):
        known_labels = np.array([3])

    assert Transformed(Labeled(pair()), Preprocessing(2)).known_labels.tolist() == [3]
    assert Transformed(Labeled(pair()), None, lambda each: each).known_labels is None
    assert Transformed(pair()).known_labels is None


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
