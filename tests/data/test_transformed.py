import numpy as np
import pytest

from jaxvision import data
from jaxvision._preprocessing import Preprocessing
from jaxvision.data.fields import Field
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
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, bool])
def test_masks_follow_the_image_and_keep_their_labels(shape, dtype):
    mask = np.where(np.arange(32) % 8 < 4, 0, 250).astype(dtype).reshape(shape)
    example = Transformed(pair(mask=mask), Preprocessing(2))[0]
    assert example["image"].shape == (2, 2, 3)
    assert example["mask"].shape == (2, 2, *shape[2:])
    assert example["mask"].dtype == dtype
    np.testing.assert_array_equal(example["mask"].reshape(2, 2), [mask.ravel()[[0, 7]]] * 2)


def test_what_has_no_place_in_the_image_stays():
    features = {"label": np.int64(1), "vector": np.zeros(4), "table": np.zeros((3, 3))}
    example = Transformed(pair(**features), Preprocessing(2))[0]
    assert {key: np.shape(value) for key, value in example.items()} == {
        "image": (2, 2, 3),
        "label": (),
        "vector": (4,),
        "table": (3, 3),
    }


def test_boxes_follow_the_image():
    # 4x8 pixels become 2x4, of which the two columns in the middle are left.
    boxes = np.array([[2, 0, 6, 4], [4, 2, 8, 4], [0, 1, 2, 3]])
    example = Transformed(pair(boxes=boxes), Preprocessing(2))[0]
    np.testing.assert_allclose(example["boxes"], [[0, 0, 2, 2], [1, 1, 2, 2], [0, 0.5, 0, 1.5]])
    assert example["boxes"].dtype == np.float32
    assert example["boxes_valid"].tolist() == [True, True, False]


@pytest.mark.parametrize("size", [(4, 4), (8, 5), (3, 9), (7, 7)])
@pytest.mark.parametrize("options", [{}, {"crop": 0.5}, {"squash": True}])
def test_boxes_lie_where_what_they_hold_lies(size, options):
    image = np.zeros((40, 80, 3), np.uint8)
    image[15:25, 30:50] = 255
    source = [{"image": image, "boxes": np.array([[30, 15, 50, 25]])}]
    example = Transformed(source, Preprocessing(np.multiply(size, 10).tolist(), **options))[0]
    rows, columns = np.nonzero(example["image"][..., 0] > 127)
    edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(example["boxes"][0], edges, atol=1)


def test_boxes_of_every_shape():
    for shape in ((3, 2, 4), (4,), (0, 4)):
        boxes = np.full(shape, 3, np.float64)
        example = Transformed(pair(boxes=boxes), Preprocessing(2))[0]
        assert (example["boxes"].shape, example["boxes"].dtype) == (shape, np.float64)
        assert example["boxes_valid"].shape == shape[:-1]
    lost = Transformed(pair(boxes=np.array([[np.nan, 1, 3, 4]])), Preprocessing(2))[0]
    assert lost["boxes_valid"].tolist() == [False]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("boxes", [[0.0, 0.25, 1, 1]], "boxes must be in pixels, and all its numbers lie from 0"),
        ("keypoints", [[0.5, 0.5]], "keypoints must be in pixels"),
        ("boxes", [[0.0, 0, 9, 9, 1]], r"\(1, 5\) cannot have the kind boxes in an image of 4x8"),
        (
            "mask",
            [[0, 1], [1, 0]],
            r"'mask' of shape \(2, 2\) cannot have the kind mask in an image",
        ),
        ("masks", np.zeros((4, 8)), r"'masks' of shape \(4, 8\) cannot have the kind instances in"),
        ("flow", np.zeros((4, 8, 2)), "flow has the size of the image, and its name does not say"),
        ("layers", np.zeros((5, 4, 8)), "layers has the size of the image"),
    ],
)
def test_places_that_cannot_follow(name, value, message):
    with pytest.raises(data.DatasetError, match=message):
        Transformed(pair(**{name: np.asarray(value)}), Preprocessing(2))[0]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32])
def test_masks_of_instances_follow_the_image(dtype):
    masks = np.zeros((3, 4, 8), dtype)
    masks[1, :, :4] = 1
    masks[2, 2:] = 1
    followed = Transformed(pair(masks=masks), Preprocessing(2))[0]["masks"]
    assert (followed.dtype, followed.shape) == (dtype, (3, 2, 2))
    np.testing.assert_array_equal(followed, [[[0, 0], [0, 0]], [[1, 0], [1, 0]], [[0, 0], [1, 1]]])
    none = Transformed(pair(masks=masks[:0]), Preprocessing(2))[0]["masks"]
    assert (none.dtype, none.shape) == (dtype, (0, 2, 2))


def test_a_declared_map_follows_by_its_kind():
    image = pair()[0]["image"]
    source = pair(right=image, segments=image.astype(np.int32), depth=image[..., 0] / 255)
    kinds = {"right": "image", "segments": "mask", "depth": "image"}
    fields = {name: Field(kind) for name, kind in kinds.items()}
    example = Transformed(source, Preprocessing((2, 4)), fields=fields)[0]
    np.testing.assert_array_equal(example["right"], example["image"])
    np.testing.assert_array_equal(example["segments"], image[1::2, 1::2])
    np.testing.assert_allclose(example["depth"] * 255, example["image"][..., 0], atol=0.7)


def test_what_is_nested_has_the_names_of_both():
    objects = {"bbox": np.array([[2, 0, 6, 4]]), "label": np.array([3]), "text": ["a", "b"]}
    seen = []

    def transform(example):
        seen.append(sorted(example))
        return example

    example = Transformed(pair(objects=objects), Preprocessing(2), transform)[0]
    assert seen == [["image", "objects/bbox", "objects/label", "objects/text", "objects/valid"]]
    assert example["objects/bbox"].tolist() == [[0, 0, 2, 2]]
    assert set(example) == {"image", "objects/bbox", "objects/label", "objects/valid"}
    assert Transformed(pair(other={"nested": 1}))[0]["other/nested"] == 1


def test_rows_are_filled_up_by_what_they_are():
    source = pair(objects={"kind": np.array([2]), "name": np.array([5])})
    fields = {"objects/kind": Field("label")}
    example = Transformed(source, fields=fields, pad={"objects": 3})[0]
    assert example["objects/kind"].tolist() == [2, -1, -1]
    assert example["objects/name"].tolist() == [5, 0, 0]
    assert example["objects/valid"].tolist() == [True, False, False]


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


@pytest.mark.parametrize("value", [b"text", "text", None, [[1], [2, 3]], np.array(["a"]), 1j])
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
