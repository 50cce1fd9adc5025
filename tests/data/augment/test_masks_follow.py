"""Masks, instances and boxes of rendered scenes follow every augmentation of images.

Where a mask is to be is computed by NumPy from the transform's `matrix` alone. A new augmentation
in `augment.__all__` has to be added to the tables.
"""

import inspect
import typing

import jax
import numpy as np
import pytest
import quick
from jaxtyping import AbstractArray

from jaxvision import data
from jaxvision.data import augment
from jaxvision.data.augment import Sampling
from jaxvision.data.builders.shapes import ShapesConfig

SIZE = (33, 45)
VOID = (slice(7, 12), slice(20, 33))
TIE = 1e-3
REFLECT = Sampling(boundary="reflect")


def zoom(key, height, width):
    del key
    return augment.centered(augment.scaling_matrix(1.7), height, width)


MOVING = {
    "random_flip": [
        augment.random_flip(1.0),
        augment.random_flip(direction="vertical"),
    ],
    "random_crop": [augment.random_crop(padding=6), augment.random_crop((20, 31))],
    "random_translation": [augment.random_translation(0.3, 0.3)],
    "random_resized_crop": [
        augment.random_resized_crop((24, 37), scale=(0.2, 1.0)),
        augment.random_resized_crop((40, 51), scale=(0.2, 1.0), antialias=False),
    ],
    "random_rotation": [augment.random_rotation(40.0)],
    "random_scale": [augment.random_scale((0.5, 2.0))],
    "random_shear": [augment.random_shear(25.0, 15.0)],
    "rand_augment": [augment.rand_augment(1, 19), augment.rand_augment(3, 30)],
    "chain": [
        augment.chain(
            augment.random_flip(), augment.random_rotation(30.0), augment.random_crop((21, 33))
        ),
        augment.chain(
            augment.random_shear(20.0),
            augment.random_erasing(1.0),
            augment.random_scale((0.7, 1.4)),
            augment.random_flip(),
        ),
    ],
    "sometimes": [augment.sometimes(augment.random_rotation(30.0))],
    "geometric": [augment.geometric(zoom, size=(35, 41))],
}
REFLECTED = [
    augment.random_crop(padding=9, sampling=REFLECT),
    augment.random_rotation(40.0, sampling=REFLECT),
    augment.random_translation(0.4, 0.4, sampling=Sampling(boundary="edge")),
]
EXACT = ("random_flip", "random_crop", "random_translation")
STILL = {
    "color_jitter": augment.color_jitter(0.5, 0.5, 0.5, 0.2),
    "random_grayscale": augment.random_grayscale(1.0),
    "random_erasing": augment.random_erasing(1.0),
    "random_gaussian_blur": augment.random_gaussian_blur(5),
    "random_gaussian_noise": augment.random_gaussian_noise(0.1),
    "photometric": augment.photometric(lambda key, image: 1 - image),
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A batch with void pixels, and its mask as integers and as truth values too."""
    config = ShapesConfig(size=SIZE, num_scenes=(1, 1, 6), crowd=0.5)
    folder = tmp_path_factory.mktemp("tfds")
    dataset = data.load("shapes", "test", folder, config=config, pad={"objects": 6})
    rows = [dataset[index] for index in range(len(dataset))]
    batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    batch["image"] = batch["image"].astype(np.float32) / 255
    batch["mask"][:, *VOID] = 255
    batch["segmentation_mask"] = batch["mask"].astype(np.int32)
    batch["segmentation_label"] = batch["mask"] == 2
    assert batch["mask"].dtype == np.uint8
    return batch


def test_every_augmentation_is_here() -> None:
    """What `augment` gives is a class, a function of arrays, or makes what is in a table."""
    made: dict[type, set[str]] = {augment.Transform: set(), augment.Mixing: set()}
    for name in augment.__all__:
        thing = getattr(augment, name)
        if isinstance(thing, type):
            continue
        result = inspect.signature(thing).return_annotation
        kinds = {*typing.get_args(result), result} & made.keys()
        for kind in kinds:
            made[kind].add(name)
        assert kinds or issubclass(result, AbstractArray), name
    assert made[augment.Transform] == MOVING.keys() | STILL.keys()
    assert made[augment.Mixing] == {"mixup", "cutmix"}


def warps(transform):
    """The links that are warps of their own: only neighbors without photometry are one."""
    links = [link for link in transform.links if link.geometry is not None]
    mixed = any(link.photometry is not None for link in transform.links)
    return [augment.Transform((link,)) for link in links] if mixed else [transform]


def moved_by(transform, batch):
    """The batch after the transform, and the matrices of the warps of each row."""

    def both(key, batch):
        keys = jax.random.split(key, len(batch["image"]))
        parts = warps(transform)
        matrices = [
            jax.vmap(lambda key, part=part: part.matrix(key, *SIZE))(keys) for part in parts
        ]
        return transform(key, batch), matrices

    return jax.device_get(quick.jit(both)(jax.random.key(4), batch))


def beyond(index: np.ndarray, length: int, boundary: str) -> np.ndarray:
    """Indices of what lies beyond the border, as NumPy pads; -1 is the fill."""
    fill = {"constant_values": -1} if boundary == "constant" else {}
    far = 4 * length
    return np.pad(np.arange(length), far, boundary, **fill)[
        np.clip(index, -far, 5 * length - 1) + far
    ]


def nearest(matrix, old, new, boundary):
    """Where each pixel is read: rows, columns, and whether both are sure."""
    rows, columns = np.mgrid[: new[0], : new[1]].astype(float)
    places = matrix.astype(float)[:2] @ np.stack([columns, rows, np.ones(new)]).reshape(3, -1)
    x, y = places.reshape(2, *new)
    sure = (abs(x + 0.5 - np.round(x + 0.5)) > TIE) & (abs(y + 0.5 - np.round(y + 0.5)) > TIE)
    indices = [np.floor(place + 0.5).astype(int) for place in (y, x)]
    return (*(beyond(*each, boundary) for each in zip(indices, old, strict=True)), sure)


def expected(array, transform, matrices, fill):
    """What a mask of one row becomes, and where that is sure."""
    sure = np.ones(array.shape, bool)
    for part, matrix in zip(warps(transform), matrices, strict=True):
        new = next((link.size for link in part.links[::-1] if link.size), array.shape)
        samplings = [link.sampling for link in part.links if link.sampling is not None]
        boundary = samplings[0].boundary if samplings else "constant"
        rows, columns, clear = nearest(matrix, array.shape, new, boundary)
        outside = (rows < 0) | (columns < 0)
        array = np.where(outside, np.array(fill, array.dtype), array[rows, columns])
        sure = np.where(outside, True, sure[rows, columns]) & clear
    return array, sure


def check_masks(name, transform, batch, moved, matrices) -> None:
    """Every mask is where the matrices say, in its type, with its void pixels."""
    fills = {"mask": 255, "segmentation_mask": 255, "segmentation_label": False}
    for row in range(len(batch["image"])):
        of_row = [matrix[row] for matrix in matrices]
        for field, fill in fills.items():
            found = moved[field][row]
            wanted, sure = expected(batch[field][row], transform, of_row, fill)
            assert found.dtype == batch[field].dtype
            np.testing.assert_array_equal(found[sure], wanted[sure], f"{name} {field} {row}")
            # A whole row or column may lie half-way between two.
            assert sure.all() if name in EXACT else sure.mean() > 0.85
        for index, instance in enumerate(batch["objects/masks"][row]):
            wanted, sure = expected(instance, transform, of_row, False)
            found = moved["objects/masks"][row, index]
            np.testing.assert_array_equal(found[sure], wanted[sure], f"{name} {row} {index}")


def check_objects(batch, moved, slack) -> None:
    """Boxes hold what is left of their instance, which the mask knows by its class."""
    seen = 0
    for row, mask in enumerate(moved["mask"]):
        instances, valid = moved["objects/masks"][row], moved["objects/valid"][row]
        for index, instance in enumerate(instances):
            if not valid[index]:
                assert not instance.any()
                continue
            rows, columns = np.nonzero(instance)
            left, top, right, bottom = moved["objects/bbox"][row, index]
            assert ((columns + 0.5 >= left - slack) & (columns + 0.5 <= right + slack)).all()
            assert ((rows + 0.5 >= top - slack) & (rows + 0.5 <= bottom + slack)).all()
            classes = mask[instance & (mask != 255)]
            assert (classes == batch["objects/label"][row, index] + 1).all()
            seen += len(classes)
        known = mask != 255
        np.testing.assert_array_equal((mask > 0)[known], instances.any(0)[known])
        assert instances.sum(0).max() <= 1
    assert seen > 500


@pytest.mark.parametrize("name", quick.only(MOVING, "random_crop", "random_rotation"))
def test_masks_move_with_their_image(name: str, scenes) -> None:
    for transform in MOVING[name]:
        moved, matrices = moved_by(transform, scenes)
        check_masks(name, transform, scenes, moved, matrices)
        # Every warp after the first moves pixels that were rounded by up to a half.
        check_objects(scenes, moved, slack=0.01 + 0.75 * (len(matrices) - 1))
        assert any((matrix != np.eye(3)).any() for matrix in matrices)
        assert (moved["mask"] == 255).any()


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(REFLECTED)))
def test_masks_are_continued_beyond_the_border_as_their_image_is(index: int, scenes) -> None:
    """Boxes do not follow mirror images."""
    transform = REFLECTED[index]
    moved, matrices = moved_by(transform, scenes)
    check_masks(index, transform, scenes, moved, matrices)


@pytest.mark.parametrize("name", quick.only(STILL, "random_erasing"))
def test_changes_of_values_leave_everything_else_as_it_is(name: str, scenes) -> None:
    transform = STILL[name]
    moved, matrices = moved_by(transform, scenes)
    assert moved.keys() == scenes.keys()
    for field in scenes.keys() - {"image"}:
        np.testing.assert_array_equal(moved[field], scenes[field], field)
        assert moved[field].dtype == jax.dtypes.canonicalize_dtype(scenes[field].dtype)
    assert (moved["image"] != scenes["image"]).any()
    assert not any(np.any(matrix != np.eye(3)) for matrix in matrices)


def test_cutmix_pastes_the_mask_of_the_image_it_pastes(scenes) -> None:
    """No two scenes have the same noise, which tells whose pixel it is."""
    given = {name: scenes[name] for name in ("image", "mask", "segmentation_label")}
    mixed = augment.cutmix(per_row=True)
    pasted = jax.device_get(quick.jit(mixed)(jax.random.key(1), given))
    same = (pasted["image"][:, None] == scenes["image"]).all(-1)
    assert same.any(1).all()
    foreign = ~same[range(6), range(6)]
    assert 0.05 < foreign.mean() < 0.7
    source = same.argmax(1)
    alone = same.sum(1) == 1
    assert alone.mean() > 0.99
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    for name in ("mask", "segmentation_label"):
        wanted = scenes[name][source, rows, columns]
        np.testing.assert_array_equal(pasted[name][alone], wanted[alone])
        assert pasted[name].dtype == scenes[name].dtype
    with pytest.raises(ValueError, match="cutmix cannot mix 'objects/"):
        mixed(jax.random.key(1), scenes)
    labelled = {name: scenes[name] for name in ("image", "mask", "label")}
    with pytest.raises(ValueError, match="mixup cannot mix 'mask'"):
        augment.mixup(0.2, num_classes=3)(jax.random.key(1), labelled)
