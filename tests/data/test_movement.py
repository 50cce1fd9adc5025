"""Every kind of field moves with its image, on the host and on the device alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import data
from jaxvision._preprocessing import Preprocessing
from jaxvision.data import augment
from jaxvision.data.fields import Field, pad_rows
from jaxvision.data.transformed import Transformed

HEIGHT, WIDTH = 20, 30


def scene(seed: int = 0) -> dict[str, np.ndarray]:
    """A bright rectangle, and every way to say where it is."""
    random = np.random.default_rng(seed)
    x, y = random.integers(2, 12, 2)
    right, bottom = x + random.integers(6, 16), y + random.integers(3, 7)
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[y:bottom, x:right] = True
    return {
        "image": np.repeat(inside[..., None], 3, 2).astype(np.float32),
        "depth": inside.astype(np.float32),
        "mask": inside.astype(np.uint8) * 7,
        "instances": np.stack([inside, ~inside]),
        "boxes": np.array([[x, y, right, bottom]], np.float32),
        "points": np.array([[x, y], [right - 1, bottom - 1]], np.float32),
        "volume": np.repeat(inside[None, ..., None], 4, 0).astype(np.float32),
        "label": np.int64(3),
        "temperature": np.float32(20.5),
    }


def check(moved: dict[str, np.ndarray]) -> None:
    """All that was moved still tells of the same rectangle."""
    seen = moved["image"][..., 0] > 0.5
    np.testing.assert_array_equal(moved["depth"] > 0.5, seen)
    np.testing.assert_array_equal(moved["volume"][2, ..., 0] > 0.5, seen)
    np.testing.assert_array_equal(moved["instances"][0], moved["mask"] == 7)
    assert (seen != (moved["mask"] == 7)).mean() < 0.02  # but for pixels at the edge
    rows, columns = np.nonzero(seen)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(moved["boxes"][0], box, atol=1.01)
    assert moved["boxes_valid"].tolist() == [True]
    assert moved["label"] == 3
    assert moved["temperature"] == np.float32(20.5)


@pytest.mark.parametrize("size", [(10, 15), (40, 60), (30, 45), (20, 30)])
def test_on_the_host(size: tuple[int, int]) -> None:
    moved = Transformed([scene()], Preprocessing(size), fields={"depth": Field("image")})[0]
    assert moved["image"].shape == (*size, 3)
    check(moved)
    scale = size[0] / HEIGHT
    points = (scene()["points"] + 0.5) * scale - 0.5
    np.testing.assert_allclose(moved["points"], points, atol=1e-5)
    assert moved["points_valid"].all()


def test_on_the_device() -> None:
    transforms = [
        augment.random_flip(1.0),
        augment.random_flip(1.0, direction="vertical"),
        augment.random_rotation(0.0),
        augment.random_scale((0.5, 0.5)),
        augment.geometric(lambda key, height, width: jnp.eye(3), size=(24, 34)),
    ]
    batch = {name: np.stack([scene(0)[name], scene(1)[name]]) for name in scene()}

    def apply(key, batch):
        return [
            augment.chain(transform, fields={"depth": "image"}, mask_fill=0)(key, batch)
            for transform in transforms
        ]

    for moved in jax.device_get(quick.jit(apply)(jax.random.key(0), batch)):
        for row in range(2):
            check({name: values[row] for name, values in moved.items()})


def test_slices_of_a_volume_move_alike_and_their_masks_with_them() -> None:
    """As many slices as rows and columns: the sizes do not tell what is the depth."""
    random = np.random.default_rng(0)
    mask = random.integers(0, 3, (2, 6, 6, 6)).astype(np.uint8)
    batch = {"image": mask[..., None] / np.float32(4), "mask": mask, "label": np.array([0, 1])}
    turned = augment.geometric(lambda key, height, width: jnp.eye(3)[jnp.array([1, 0, 2])])
    shifted = augment.geometric(lambda key, *size: augment.translation_matrix(2, 0), size=(6, 5))

    def apply(key, batch):
        flips = augment.random_flip(1.0), augment.random_flip(1.0, direction="vertical")
        chained = [augment.chain(*flips), turned, augment.chain(shifted, mask_fill=9)]
        return [transform(key, batch) for transform in chained]

    turns = (
        mask[:, :, ::-1, ::-1],
        mask.swapaxes(2, 3),
        np.pad(mask[..., :3], [(0, 0)] * 3 + [(2, 0)], constant_values=9),
    )
    for moved, wanted in zip(
        jax.device_get(quick.jit(apply)(jax.random.key(0), batch)), turns, strict=True
    ):
        np.testing.assert_array_equal(moved["mask"], wanted)
        seen = wanted != 9
        np.testing.assert_allclose(moved["image"][..., 0][seen], wanted[seen] / 4, atol=1e-6)
        assert moved["label"].tolist() == [0, 1]


def test_what_leaves_the_image_is_not_valid() -> None:
    example = scene()
    example["boxes"] = np.array([[0, 0, 2, 20], [10, 5, 14, 9]], np.float32)
    example["points"] = np.array([[0, 0], [15, 10]], np.float32)
    moved = Transformed([example], Preprocessing((20, 20)), fields={"depth": Field("image")})[0]
    assert moved["boxes_valid"].tolist() == [False, True]
    assert moved["boxes"].tolist() == [[0, 0, 0, 20], [5, 5, 9, 9]]
    assert moved["points_valid"].tolist() == [False, True]
    assert moved["points"].tolist() == [[-5, 0], [10, 10]]


def test_an_undeclared_map_is_an_error() -> None:
    with pytest.raises(data.DatasetError, match="depth has the size of the image, and its name"):
        Transformed([scene()], Preprocessing(10))[0]
    batch = {name: values[None] for name, values in scene().items() if name in ("image", "depth")}
    with pytest.raises(ValueError, match="'depth' has the size of the images"):
        augment.random_flip()(jax.random.key(0), batch)


def test_rows_of_objects_are_filled_up() -> None:
    example = {
        "objects/bbox": np.ones((2, 4), np.float32),
        "objects/label": np.array([3, 5]),
        "objects/valid": np.array([True, False]),
        "points": np.zeros((1, 2)),
    }
    padded = pad_rows(example, {"objects": 3, "points": 2})
    assert padded["objects/label"].tolist() == [3, 5, -1]
    assert padded["objects/valid"].tolist() == [True, False, False]
    assert padded["points_valid"].tolist() == [True, False]
    with pytest.raises(data.DatasetError, match=r"has 2 rows in an example, and is padded to 1"):
        pad_rows(example, {"objects": 1})
    with pytest.raises(data.DatasetError, match="did you mean 'points'"):
        pad_rows(example, {"point": 1})
