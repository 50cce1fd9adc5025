import numpy as np
import pytest

from jaxvision import data
from jaxvision.data.source import Source, check_names, first_readable, read_all, stack


class Listed:
    """Examples off a list, in which None is an image that cannot be decoded."""

    def __init__(self, *values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        if self.values[index] is None:
            raise data.CorruptImageError(f"cannot decode number {index}")
        return {"image": np.full((2, 2, 1), self.values[index])}


def test_whatever_can_be_indexed_is_a_source():
    assert isinstance(Listed(), Source)
    assert not isinstance(object(), Source)


def test_stack_keeps_types():
    stacked = stack([{"a": np.uint8(1), "b": np.ones(2, np.float16)}] * 3, "data")
    assert {key: (value.shape, value.dtype) for key, value in stacked.items()} == {
        "a": ((3,), np.uint8),
        "b": ((3, 2), np.float16),
    }


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            [(4, 4, 3), (4, 5, 3)],
            r"image has different shapes in pets, such as \(4, 4, 3\) and \(4, 5, 3\); give image",
        ),
        (
            [(0, 4), (2, 4)],
            r"such as \(0, 4\) and \(2, 4\); give pad={'objects': ...} to fill them",
        ),
        ([(0,), (2, 4)], r"such as \(0,\) and \(2, 4\); .* or transform=... to make them one"),
    ],
)
def test_stack_of_different_shapes(shapes, message):
    name = "image" if len(shapes[0]) == 3 else "objects/bbox"
    with pytest.raises(data.DatasetError, match=message):
        stack([{name: np.zeros(shape)} for shape in shapes], "pets")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "pets has no feature that is an array of numbers"),
        (["image", "weight"], "pets has a feature called weight"),
    ],
)
def test_names_that_cannot_stand_in_a_batch(names, message):
    with pytest.raises(data.DatasetError, match=message):
        check_names(names, "pets")
    with pytest.raises(data.DatasetError, match=message):
        stack([dict.fromkeys(names, np.zeros(1))], "pets")


def test_first_readable():
    assert first_readable(Listed(5, None), "stop", "pets")["image"][0, 0, 0] == 5
    assert first_readable(Listed(None, None, 5), "skip", "pets")["image"][0, 0, 0] == 5
    with pytest.raises(data.CorruptImageError, match="cannot decode number 0"):
        first_readable(Listed(None, 5), "stop", "pets")
    with pytest.raises(data.DatasetError, match="pets has no example that can be decoded"):
        first_readable(Listed(None, None), "skip", "pets")


def test_read_all():
    examples, skipped = read_all(Listed(1, 2, 3), "stop", "pets")
    assert examples["image"][:, 0, 0, 0].tolist() == [1, 2, 3]
    assert skipped == []
    with pytest.raises(data.CorruptImageError, match="cannot decode number 1"):
        read_all(Listed(1, None, None), "stop", "pets")


def test_read_all_skips_and_says_so():
    message = "skipped 2 of 4 images of pets; the first: cannot decode number 1"
    with pytest.warns(UserWarning, match=message):
        examples, skipped = read_all(Listed(1, None, None, 4), "skip", "pets")
    assert examples["image"][:, 0, 0, 0].tolist() == [1, 4]
    assert skipped == [1, 2]
    with pytest.raises(data.DatasetError, match="pets has no example that can be decoded"):
        read_all(Listed(None), "skip", "pets")
