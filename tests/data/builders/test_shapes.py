"""Rendered scenes: what is said of them is what is painted."""

import collections
import hashlib

import numpy as np
import pytest

from jaxvision import data
from jaxvision.data.builders.scenes import HUES, SHAPES, Draws, Thing, render
from jaxvision.data.builders.shapes import ShapesConfig

SMALL = ShapesConfig(size=(32, 40), num_scenes=(24, 4, 6), crowd=0.5)


@pytest.fixture(scope="module")
def scenes():
    return [render(Draws(0, index), (48, 64), crowd=0.3) for index in range(40)]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    return data.load("shapes", "train", folder, config=SMALL, pad={"objects": 6}), folder


def test_a_scene_is_the_same_on_every_machine() -> None:
    scene = render(Draws(3, 7), (48, 64))
    content = scene.image.tobytes() + scene.masks.tobytes() + scene.caption.encode()
    assert hashlib.sha256(content).hexdigest()[:16] == "ae50ef058644db18"


def test_scenes_differ_by_seed_and_index() -> None:
    images = [render(Draws(*key), (32, 32)).image.tobytes() for key in ((0, 0), (0, 1), (1, 0))]
    assert len(set(images)) == 3


def test_draws_are_uniform_and_nearly_normal() -> None:
    draws = Draws(0, 0)
    uniform = draws.uniform(-1, 3, (20_000,))
    assert -1 <= uniform.min() < -0.99
    assert 2.99 < uniform.max() < 3
    assert abs(uniform.mean() - 1) < 0.03
    normal = draws.normal((20_000,))
    assert abs(normal.mean()) < 0.03
    assert abs(normal.std() - 1) < 0.02
    counts = collections.Counter(draws.between(2, 4) for _ in range(3_000))
    assert counts.keys() == {2, 3, 4}
    assert min(counts.values()) > 900


@pytest.mark.parametrize("kind", range(3))
def test_outlines_have_the_area_of_a_circle(kind: int) -> None:
    y, x = np.mgrid[:400, :400].astype(float)
    thing = Thing(kind, "red", ((200.3, 199.1, 80.0, 0.7),))
    distance = thing.distance(x, y)
    assert (distance <= 0).sum() == pytest.approx(np.pi * 80**2, rel=2e-3)
    gradient = np.hypot(*np.gradient(distance))
    assert np.median(gradient) == pytest.approx(1, abs=1e-3)


def test_what_is_seen_of_objects_is_apart_and_large_enough(scenes) -> None:
    for scene in scenes:
        assert scene.masks.sum(axis=0).max() == 1
        assert scene.masks.sum(axis=(1, 2)).min() >= 12
        assert 2 <= len(scene.kinds) - sum(scene.crowds) <= 5
    assert 4 <= sum(sum(scene.crowds) for scene in scenes) <= 20


def test_classes_follow_the_objects_and_the_largest_is_the_main_one(scenes) -> None:
    for scene in scenes:
        for kind, mask in zip(scene.kinds, scene.masks, strict=True):
            assert (scene.classes[mask] == kind + 1).all()
        assert ((scene.classes > 0) == scene.masks.any(axis=0)).all()
        areas = np.where(scene.crowds, 0, scene.masks.sum(axis=(1, 2)))
        assert scene.main == scene.kinds[areas.argmax()]
    assert {scene.main for scene in scenes} == {0, 1, 2}


def test_captions_name_every_object(scenes) -> None:
    for scene in scenes:
        words = scene.caption.replace(",", "").split()
        named = [word.removesuffix("s") for word in words if word.removesuffix("s") in SHAPES]
        areas = scene.masks.sum(axis=(1, 2))
        order = np.argsort(-areas, kind="stable")
        assert named == [SHAPES[scene.kinds[index]] for index in order]
        assert sum(word in HUES for word in words) == len(scene.kinds)
        assert words.count("crowd") == sum(scene.crowds)


def test_objects_have_the_color_that_their_caption_says() -> None:
    """A single object fills most of a scene, before a background of little color."""
    import colorsys

    for index in range(10):
        scene = render(Draws(5, index), (64, 64), num_objects=(1, 1), crowd=0, noise=(0, 0))
        color = next(word for word in scene.caption.split() if word in HUES)
        red, green, blue = np.median(scene.image[scene.masks[0]], axis=0) / 255
        hue = 360 * colorsys.rgb_to_hsv(red, green, blue)[0]
        assert abs((hue - HUES[color] + 180) % 360 - 180) < 14


def test_records_say_what_scenes_are(small) -> None:
    dataset, _ = small
    assert repr(dataset).startswith("Dataset(shapes/size32-40_scenes24-4-6_crowd0.5/train: 24")
    assert dataset.class_names == SHAPES
    assert dataset.fields["mask"].names == ("background", *SHAPES)
    assert dataset.fields["objects/label"].names == SHAPES
    kinds = {name: field.kind for name, field in dataset.fields.items()}
    assert kinds["objects/bbox"] == "boxes"
    assert kinds["objects/masks"] == "instances"
    crowds = 0
    for index in range(len(dataset)):
        example = dataset[index]
        scene = render(Draws(0, index), (32, 40), crowd=0.5)
        real = example["objects/valid"]
        np.testing.assert_array_equal(example["image"], scene.image)
        np.testing.assert_array_equal(example["mask"], scene.classes)
        np.testing.assert_array_equal(example["objects/masks"][real], scene.masks)
        np.testing.assert_array_equal(example["objects/label"][real], scene.kinds)
        np.testing.assert_array_equal(example["objects/is_crowd"][real], scene.crowds)
        np.testing.assert_array_equal(example["objects/area"][real], scene.masks.sum((1, 2)))
        assert example["label"] == scene.main
        crowds += sum(scene.crowds)
        for box, mask in zip(example["objects/bbox"][real], scene.masks, strict=True):
            rows, columns = np.nonzero(mask)
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(box, tight, atol=1e-4)
    assert 4 < crowds < 20


def test_splits_differ_and_come_back_by_name(small) -> None:
    dataset, folder = small
    name = f"shapes/{SMALL.name}"
    test = data.load(name, "test", folder, pad={"objects": 6})
    assert len(test) == 6
    assert not any(
        np.array_equal(test[index]["image"], dataset[other]["image"])
        for index in range(6)
        for other in range(24)
    )
    with pytest.raises(data.DatasetError, match="nothing"):
        data.load("shapes/nothing", "test", folder)


def test_more_objects_than_find_room(monkeypatch) -> None:
    monkeypatch.setattr("jaxvision.data.builders.scenes._TRIES", 5)
    with pytest.raises(
        ValueError, match="90 to 90 objects find no room in 32x32 pixels: give fewer"
    ):
        render(Draws(0, 0), (32, 32), num_objects=(90, 90))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (8, 64)}, "size must be a whole number of pixels, at least 32, got 8"),
        ({"num_scenes": (4, -1, 2)}, "at least 0, got -1"),
        ({"num_objects": (5, 2)}, r"num_objects must be \(least, largest\), got \(5, 2\)"),
        ({"num_objects": (0, 2)}, "at least 1, got 0"),
        ({"noise": (0.1, 1.5)}, r"in \[0, 1\], got 1.5"),
        ({"seed": -1}, "at least 0, got -1"),
    ],
)
def test_settings_that_are_not_allowed(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        ShapesConfig(**settings)
