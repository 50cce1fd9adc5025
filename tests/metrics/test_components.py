"""Areas of classes and components, against a search pixel by pixel."""

import json

import numpy as np
import pytest

from jaxvision import metrics

RNG = np.random.default_rng(0)


def search(mask: np.ndarray, number: int) -> list[tuple[int, list[int]]]:
    """The size and box of every component of a class, in the order of their first pixels."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask == number)}
    found = []
    for start in sorted(left):
        if start not in left:
            continue
        left.remove(start)
        part, waiting = [], [start]
        while waiting:
            y, x = waiting.pop()
            part.append((y, x))
            around = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= around
            waiting += around
        ys, xs = zip(*part, strict=True)
        found.append((len(part), [min(xs), min(ys), max(xs) + 1, max(ys) + 1]))
    return found


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("options", [{}, {"min_pixels": 3}, {"min_pixels": 2, "most_listed": 4}])
def test_areas_equal_a_search(num_classes, options) -> None:
    mask = RNG.integers(0, num_classes, (31, 22)).astype(np.uint8)
    mask[RNG.random(mask.shape) < 0.2] = 255
    areas = metrics.areas(mask, **options)
    labelled = int((mask != 255).sum())
    assert areas["labelled"] == labelled
    assert areas["none"] == mask.size - labelled
    assert areas["connectivity"] == 8
    assert [found["class"] for found in areas["classes"]] == list(range(num_classes))
    for found in areas["classes"]:
        parts = search(mask, found["class"])
        large = [part for part in parts if part[0] >= options.get("min_pixels", 1)]
        listed = sorted(large, key=lambda part: -part[0])[: options.get("most_listed", 100)]
        assert found["pixels"] == sum(size for size, _ in parts)
        assert found["share"] == pytest.approx(found["pixels"] / labelled)
        assert found["components"] == len(parts)
        assert found["large_components"] == len(large)
        assert found["listed"] == [{"pixels": size, "box": box} for size, box in listed]
        assert "name" not in found
    assert sum(found["share"] for found in areas["classes"]) == pytest.approx(1)
    assert json.loads(json.dumps(areas)) == areas


def test_boxes_of_components_that_fill_a_part_of_the_mask() -> None:
    mask = np.zeros((12, 15), np.uint8)
    mask[5:9, 7:8] = 1
    mask[4, 8:10] = 1  # touches at a corner
    mask[11, 14] = 1
    assert metrics.areas(mask)["classes"][1]["listed"] == [
        {"pixels": 6, "box": [7, 4, 10, 9]},
        {"pixels": 1, "box": [14, 11, 15, 12]},
    ]


def test_classes_with_names_are_all_there() -> None:
    areas = metrics.areas([[2, 2], [0, 255]], ["a", "b", "c"])
    assert [(found["name"], found["pixels"]) for found in areas["classes"]] == [
        ("a", 1),
        ("b", 0),
        ("c", 2),
    ]
    assert areas["classes"][1] == {
        "class": 1,
        "name": "b",
        "pixels": 0,
        "share": 0.0,
        "components": 0,
        "large_components": 0,
        "listed": [],
    }


def test_classes_without_names_are_those_of_the_mask() -> None:
    areas = metrics.areas(np.array([[254, 7]]), most_listed=0)
    assert [found["class"] for found in areas["classes"]] == [7, 254]
    assert [found["large_components"] for found in areas["classes"]] == [1, 1]
    assert [found["listed"] for found in areas["classes"]] == [[], []]


def test_a_mask_without_labels() -> None:
    areas = metrics.areas(np.full((2, 3), 255, np.uint8), ["a"])
    assert (areas["labelled"], areas["none"]) == (0, 6)
    assert areas["classes"][0]["share"] is None
    assert metrics.areas(np.full((2, 3), 255, np.uint8))["classes"] == []


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (np.zeros((2, 2, 1), int), {}, r"of shape \(height, width\), got \(2, 2, 1\)"),
        (np.zeros((0, 2), int), {}, "classes is empty"),
        ([[256]], {}, "classes must be 0 to 255, got 256"),
        ([[-1]], {}, "classes must be 0 to 255, got -1"),
        ([[0.5]], {}, "classes must be class indices, got 0.5"),
        ([[2, 255]], {"class_names": ["a", "b"]}, "has the class 2, and there are 2 class_names"),
        ([[0]], {"class_names": ["a"] * 256}, "at most 255 classes, got 256 class_names"),
        ([[0]], {"min_pixels": 0}, "min_pixels must be a whole number of pixels, at least 1"),
        ([[0]], {"most_listed": -1}, "most_listed must be a whole number of components"),
    ],
)
def test_what_is_not_allowed(mask, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.areas(mask, **options)
