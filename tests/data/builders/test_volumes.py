"""Rendered volumes: what is said of their voxels is what is painted, and has to be looked for."""

import hashlib

import numpy as np
import pytest
import scipy.ndimage

from jaxvision import data, train
from jaxvision.data.builders.scenes import Draws, clouds
from jaxvision.data.builders.solids import SOLIDS, render_solids
from jaxvision.data.builders.volumes import VolumesConfig

SMALL = VolumesConfig(size=(16, 18, 20), num_volumes=(6, 1, 2), num_balls=(1, 2), num_tubes=(1, 1))


@pytest.fixture(scope="module")
def volumes():
    return [render_solids(Draws(0, index), (32, 32, 32)) for index in range(12)]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    return data.load("volumes", "train", folder, config=SMALL), folder


def test_a_volume_is_the_same_on_every_machine(volumes) -> None:
    content = volumes[3].volume.tobytes() + volumes[3].classes.tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "b963c9124cd33336"


def test_volumes_differ_by_seed_and_index() -> None:
    keys = ((0, 0), (0, 1), (1, 0))
    contents = [render_solids(Draws(*key), (16, 16, 16)).volume.tobytes() for key in keys]
    assert len({*contents}) == 3


def test_balls_are_round_and_tubes_go_from_face_to_face(volumes) -> None:
    for solids in volumes:
        for kind, number in zip(SOLIDS, (1, 2), strict=True):
            parts, count = scipy.ndimage.label(solids.classes == number, np.ones((3, 3, 3)))
            assert 1 <= count <= (4 if kind == "ball" else 3)
            for part in range(1, count + 1):
                places = np.argwhere(parts == part)
                reach = np.ptp(places, axis=0) + 1
                if kind == "tube":
                    assert reach.max() == 32
                elif places.min() > 0 and places.max() < 31:
                    assert np.ptp(reach) <= 1
                    assert len(places) / reach.prod() == pytest.approx(np.pi / 6, abs=0.12)


def test_objects_do_not_touch(volumes) -> None:
    for solids in volumes:
        near_balls = scipy.ndimage.binary_dilation(solids.classes == 1)
        assert not (near_balls & (solids.classes == 2)).any()


def test_the_label_is_the_class_of_more_voxels(volumes) -> None:
    for solids in volumes:
        counts = np.bincount(solids.classes.ravel(), minlength=3)[1:]
        assert solids.main == counts.argmax()
        assert counts.max() >= 1.2 * counts.min() > 0
    assert {solids.main for solids in volumes} == {0, 1}


def test_objects_are_seen() -> None:
    """Without noise, most voxels within an object are brighter or darker than those around it."""
    solids = render_solids(
        Draws(2, 0),
        (32, 32, 32),
        num_balls=(1, 1),
        num_tubes=(1, 1),
        num_plates=(0, 0),
        noise=(0, 0),
    )
    for number in (1, 2):
        inside = scipy.ndimage.binary_erosion(solids.classes == number)
        near = scipy.ndimage.binary_dilation(solids.classes == number, iterations=4)
        around = near & ~scipy.ndimage.binary_dilation(solids.classes > 0)
        contrast = solids.volume[inside].mean() - solids.volume[around].mean()
        assert abs(contrast) > 0.08 * 255


def test_intensity_alone_does_not_tell_the_class(volumes) -> None:
    """No function of a voxel's intensity has a mean IoU of a half, though it knows the answers."""
    intensities = np.stack([solids.volume for solids in volumes])
    classes = np.stack([solids.classes for solids in volumes])
    counts = np.stack([np.bincount(intensities[classes == c], minlength=256) for c in range(3)])
    weights = np.geomspace(1, 100, 12)
    best = 0.0
    for ball in weights:
        for tube in weights:
            said = (counts * np.array([[1], [ball], [tube]])).argmax(axis=0)
            table = np.stack([counts[:, said == c].sum(axis=1) for c in range(3)], axis=1)
            iou = np.diag(table) / (table.sum(0) + table.sum(1) - np.diag(table))
            best = max(best, iou.mean())
    assert 0.35 < best < 0.5


def test_records_hold_the_volumes(small) -> None:
    dataset, folder = small
    assert repr(dataset) == (
        "Dataset(volumes/size16-18-20_volumes6-1-2_balls1-2_tubes1-1/train: 6 examples of 2 classes"
        ", image 16x18x20x1, in memory)"
    )
    assert dataset.class_names == SOLIDS
    assert dataset.fields["image"].kind == "volume"
    assert dataset.fields["mask"] == data.Field("mask", ("background", *SOLIDS))
    for index in range(len(dataset)):
        solids = render_solids(Draws(0, index), (16, 18, 20), num_balls=(1, 2), num_tubes=(1, 1))
        np.testing.assert_array_equal(dataset[index]["image"][..., 0], solids.volume)
        np.testing.assert_array_equal(dataset[index]["mask"], solids.classes)
        assert dataset[index]["label"] == solids.main
    again = data.load(f"volumes/{SMALL.name}", "test", folder)
    assert len(again) == 2
    assert not (again[0]["image"] == dataset[0]["image"]).all()


def test_batches_of_volumes_are_made_ready_for_a_model(small) -> None:
    dataset, _ = small
    assert dataset.image_shape == (16, 18, 20, 1)
    described = dataset.describe()
    assert described["image_shape"] == [16, 18, 20, 1]
    assert described["fields"]["image"] == {"kind": "volume", "names": []}
    batch = next(iter(dataset.batches(4)))
    assert batch["image"].shape == (4, 16, 18, 20, 1)
    assert batch["mask"].shape == (4, 16, 18, 20)
    ready = train.Inputs([0.5], [0.25]).evaluate(batch)
    np.testing.assert_allclose(ready["image"], (batch["image"] / 255 - 0.5) / 0.25, atol=1e-5)
    with pytest.raises(data.DatasetError, match="image_size and preprocessing are for `image` of"):
        data.load(f"volumes/{SMALL.name}", "train", small[1], image_size=8)


def test_settings_that_are_not_allowed() -> None:
    for options, message in (
        ({"size": (32, 32, 8)}, "size must be a whole number of voxels, at least 16, got 8"),
        ({"num_balls": (0, 1)}, "num_balls must be a whole number of objects, at least 1, got 0"),
        ({"num_tubes": (3, 2)}, r"num_tubes must be \(least, largest\), got \(3, 2\)"),
        ({"noise": (0.1, 1.1)}, r"noise must be in \[0, 1\], got 1.1"),
        ({"num_volumes": (1, -1, 0)}, "num_volumes must be a whole number of volumes, at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            VolumesConfig(**options)


def test_more_objects_than_find_room(monkeypatch) -> None:
    monkeypatch.setattr("jaxvision.data.builders.solids._TRIES", 3)
    with pytest.raises(
        ValueError, match="40 to 40 balls and 1 to 1 tubes find no room in 16x16x16"
    ):
        render_solids(Draws(0, 0), (16, 16, 16), num_balls=(40, 40), num_tubes=(1, 1))


def test_clouds_are_smooth_along_every_axis() -> None:
    noise = clouds(Draws(0, 0), (20, 24, 28), 2)
    assert 0 <= noise.min() < noise.max() <= 1
    for axis in range(3):
        assert np.abs(np.diff(noise, axis=axis)).max() < 0.2
        assert np.ptp(noise, axis=axis).mean() > 0.2
