import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.data import augment
from jaxvision.data.augment import Sampling

COUNT = 4000


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def repeated(transform, image, count=COUNT):
    images = np.broadcast_to(image, (count, *image.shape))
    return run(transform, jax.random.key(0), images)


@pytest.fixture(scope="module")
def single_operations(torchvision):
    """What one operation makes of each of many copies of an image."""
    return repeated(augment.rand_augment(num_ops=1, magnitude=9), torchvision["large"])


def test_single_operations_are_torchvisions_and_equally_frequent(torchvision, single_operations):
    """Each result is one of the 23 that torchvision's table has, as often as it should be."""
    names = [name for name in torchvision if name.startswith("randaugment/")]
    expected = np.stack([torchvision[name].ravel() for name in names])
    rows = single_operations.reshape(COUNT, -1)
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    distances = np.abs(kinds[:, None] - expected).max(axis=2)
    assert distances.min(axis=1).max() < 1e-5
    counts = np.bincount(distances.argmin(axis=1), counts, minlength=len(names))
    signed = np.array([name.replace("/1", "/-1") in names for name in names])
    share = np.where(signed | np.char.endswith(names, "-1"), 1 / 28, 1 / 14)
    assert share.sum() == pytest.approx(1.0)
    tolerance = 5 * (share * (1 - share) * COUNT) ** 0.5
    assert (np.abs(counts - share * COUNT) < tolerance).all()


def test_two_operations_are_two_after_another(torchvision, single_operations):
    pairs = repeated(augment.rand_augment(2), torchvision["large"], 1000)
    once, twice = ({row.tobytes() for row in rows} for rows in (single_operations, pairs))
    assert len(once) <= 23
    assert len(twice) > 150


def test_magnitude_zero_is_the_identity_but_for_operations_without_one(torchvision):
    def results(key, image):
        images = jnp.broadcast_to(image, (500, *image.shape))
        allowed = jnp.stack([image, augment.autocontrast(image), augment.equalize(image)])
        return augment.rand_augment(1, magnitude=0)(key, images), allowed

    # The image has no value of exactly 1, for solarize.
    results, allowed = run(results, jax.random.key(0), torchvision["large"])
    distances = np.abs(results[:, None] - allowed).max(axis=(2, 3, 4))
    assert distances.min(axis=1).max() < 1e-6
    assert (distances[:, 0] == 0).mean() > 0.75


def test_no_operations_and_one_channel(torchvision):
    def results(key, image):
        images = jnp.broadcast_to(image, (100, *image.shape))
        return augment.rand_augment(0)(key, image), augment.rand_augment(1)(key, images)

    image = torchvision["gray"]
    none, results = run(results, jax.random.key(0), image)
    np.testing.assert_array_equal(none, image)
    assert results.shape == (100, 9, 8, 1)
    assert np.isfinite(results).all()
    assert results.min() >= 0
    assert results.max() <= 1


def test_masks_follow_the_geometry():
    transform = dataclasses.replace(augment.rand_augment(1, magnitude=25), mask_fill=0)

    def results(key, labels):
        batch = {"image": jnp.zeros((64, 16, 16, 3)), "mask": labels}
        moved = transform(key, batch)["mask"]
        matrix = jax.vmap(lambda key: transform.matrix(key, 16, 16))
        return moved, matrix(jax.random.split(key, 64))

    labels = np.random.default_rng(0).integers(1, 200, (64, 16, 16), np.int32)
    moved, matrices = run(results, jax.random.key(1), labels)
    untouched = (matrices == np.eye(3)).all(axis=(1, 2))
    assert 0.2 < untouched.mean() < 0.7
    np.testing.assert_array_equal(moved[untouched], labels[untouched])
    assert (moved[~untouched] != labels[~untouched]).any(axis=(1, 2)).all()


def test_sampling_is_as_asked():
    fill = Sampling("bilinear", fill=0.5)
    black = np.zeros((16, 16, 1), np.float32)
    results = repeated(augment.rand_augment(1, 30, sampling=fill), black, 200)
    # Nothing but the fill and solarize (from 0 on) brings light into a black image.
    assert 0.2 < (results == 0.5).any(axis=(1, 2, 3)).mean() < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_ops": -1}, "num_ops .* not -1"),
        ({"magnitude": 31}, "magnitude=31 and num_bins=31"),
        ({"magnitude": -1}, "magnitude=-1"),
        ({"magnitude": 0, "num_bins": 1}, "num_bins=1"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        augment.rand_augment(**arguments)
