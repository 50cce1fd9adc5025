import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import data
from jaxvision.data import augment
from jaxvision.data.augment import Sampling

MIXED = augment.chain(
    augment.random_flip(),
    augment.random_rotation(20.0),
    augment.random_resized_crop((14, 12), scale=(0.3, 1.0)),
    augment.color_jitter(0.4),
    augment.sometimes(augment.random_gaussian_blur(3)),
)
MORE = augment.chain(MIXED, augment.color_jitter(0.4, 0.4, 0.4, 0.1), augment.random_erasing())
EXACT = augment.chain(augment.random_flip(), augment.random_crop(padding=3))


def compiled(transform):
    return quick.jit(lambda key, images: transform(key, images))


# Each is one program, for the tests give it images of one shape.
run_mixed, run_exact = compiled(MIXED), compiled(EXACT)


def noise(*shape, dtype=np.float32):
    return np.random.default_rng(7).uniform(size=shape).astype(dtype)


def batch():
    return noise(64, 8, 8, 3)


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def add(amount):
    return augment.photometric(lambda key, image: image + amount)


def shift(x, sampling=Sampling()):  # noqa: B008
    return augment.geometric(
        lambda key, height, width: augment.translation_matrix(x, 0.0), sampling=sampling
    )


def test_a_row_depends_on_its_key_and_index_alone():
    key, images = jax.random.key(0), batch()
    changed = np.concatenate([0 * images[:3], images[3:]])
    result, others_changed = (np.asarray(run_exact(key, each)) for each in (images, changed))
    alone = run(lambda key, image: EXACT(jax.random.split(key, 64)[3], image), key, images[3])
    np.testing.assert_array_equal(result[3], alone)
    np.testing.assert_array_equal(result[3:], others_changed[3:])


def test_rows_and_keys_draw_differently():
    images = np.broadcast_to(batch()[0], (64, 8, 8, 3))
    first, other = (np.asarray(run_exact(jax.random.key(seed), images)) for seed in (0, 1))
    assert len(np.unique(first.reshape(64, -1), axis=0)) > 20
    assert not np.array_equal(first, other)


def test_compiled_twice_gives_the_same_bits():
    key, images = jax.random.key(0), batch()
    once = run_mixed(key, images)
    again = compiled(MIXED)(key, images)
    assert once.shape == (64, 14, 12, 3)
    np.testing.assert_array_equal(once, again)


def test_sharded_over_eight_devices_gives_the_same():
    key, images = jax.random.key(0), batch()
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.NamedSharding(mesh, jax.P("data"))
    both = jax.jit(lambda *inputs: (EXACT(*inputs), MIXED(*inputs)), out_shardings=rows)
    exact, mixed = both(key, jax.device_put(images, rows))
    assert len(exact.sharding.device_set) == len(mixed.sharding.device_set) == 8
    np.testing.assert_array_equal(exact, run_exact(key, images))
    np.testing.assert_allclose(mixed, run_mixed(key, images), rtol=0, atol=1e-5)


def test_bfloat16_is_computed_in_float32():
    dtype = jnp.bfloat16
    key, images = jax.random.key(0), batch().astype(dtype)
    result = run(MIXED, key, images)
    wide = run_mixed(key, images.astype(np.float32))
    assert result.dtype == dtype
    np.testing.assert_allclose(
        result.astype(np.float32), wide, atol=float(jnp.finfo(dtype).eps) * 2
    )


def test_float64_stays():
    with jax.enable_x64(True):
        key, images = jax.random.key(0), noise(2, 16, 16, 3, dtype=np.float64)
        assert jax.eval_shape(MIXED, key, images).dtype == np.float64
        third = run(augment.chain(add(1 / 3), shift(1.0)), key, images)
        np.testing.assert_allclose(third[:, :, 1:], images[:, :, :-1] + 1 / 3, rtol=1e-15)


@pytest.mark.parametrize("transform", [MIXED, pytest.param(MORE, marks=pytest.mark.slow)])
def test_gradients_reach_the_image(transform):
    gradient = run(
        jax.grad(lambda images, key: transform(key, images).sum()), batch(), jax.random.key(3)
    )
    assert np.isfinite(gradient).all()
    assert (gradient != 0).any(axis=(1, 2, 3)).all()


def test_shapes():
    def results(key):
        return MIXED(key, jnp.zeros((0, 8, 8, 3))), MIXED(key, jnp.zeros((1, 5, 9, 1)))

    none, one = run(results, jax.random.key(0))
    assert (none.shape, one.shape) == ((0, 14, 12, 3), (1, 14, 12, 1))
    assert np.isfinite(one).all()


def test_an_empty_chain_is_the_identity():
    images = noise(2, 4, 4, 3)
    np.testing.assert_array_equal(run(augment.chain(), jax.random.key(0), images), images)


def test_chained_transforms_draw_independently():
    flips = augment.chain(augment.random_flip(), augment.random_flip())
    matrices = run(
        lambda key: jax.vmap(lambda key: flips.matrix(key, 4, 4))(jax.random.split(key, 400)),
        jax.random.key(0),
    )
    mirrored = (matrices[:, 0, 0] < 0).mean()
    assert 0.375 < mirrored < 0.625  # one shared coin would give 0


def test_neighboring_geometries_are_resampled_once():
    def results(key, image):
        once = augment.chain(shift(0.5), shift(0.5))
        twice = augment.chain(shift(0.5), add(0.0), shift(0.5))
        return once(key, image), twice(key, image)

    image = noise(6, 6, 1)
    once, twice = run(results, jax.random.key(0), image)
    np.testing.assert_array_equal(once[:, 1:], image[:, :-1])
    assert np.abs(twice[:, 1:] - image[:, :-1]).max() > 0.1


def test_different_samplings_are_warps_of_their_own():
    def results(key, image):
        edge = Sampling(boundary="edge")
        joined = augment.chain(shift(2.0), augment.random_flip(0.0), shift(-2.0))
        apart = augment.chain(shift(2.0), augment.random_flip(0.0), shift(-2.0, edge))
        return joined(key, image), apart(key, image)

    image = noise(6, 6, 1) + 1
    joined, apart = run(results, jax.random.key(0), image)
    np.testing.assert_array_equal(joined, image)
    np.testing.assert_array_equal(apart[:, :4], image[:, :4])
    # The content pushed out by the first warp is gone: the second repeats what is left.
    np.testing.assert_array_equal(apart[:, 4:], np.broadcast_to(image[:, 3:4], (6, 2, 1)))


def test_matrix_is_the_geometry_of_a_call():
    transform = augment.chain(
        augment.random_rotation(30.0),
        augment.random_crop(10, padding=2),
        augment.random_scale((0.5, 2.0)),
    )
    with_values = augment.chain(transform, add(0.1), augment.random_flip(1.0))

    def results(key, image):
        matrix = transform.matrix(key, 16, 14)
        warped = augment.affine_warp(image, matrix, size=(10, 10))
        return transform(key, image), warped, with_values.matrix(key, 16, 14)

    result, warped, matrix = run(results, jax.random.key(5), noise(16, 14, 3))
    np.testing.assert_allclose(result, warped, atol=1e-5)
    assert matrix.shape == (3, 3)


def test_sometimes_never_and_always():
    inner = augment.chain(augment.random_flip(1.0), add(0.25))
    image = noise(8, 8, 3)
    never, always, once = run(
        lambda *inputs: [
            transform(*inputs)
            for transform in (augment.sometimes(inner, 0.0), augment.sometimes(inner, 1.0), inner)
        ],
        jax.random.key(0),
        image,
    )
    np.testing.assert_array_equal(never, image)
    np.testing.assert_array_equal(always, once)
    np.testing.assert_array_equal(once, image[:, ::-1] + np.float32(0.25))


def test_sometimes_tosses_one_coin_for_the_whole():
    inner = augment.chain(add(1.0), augment.random_flip(1.0), add(1.0))
    ramp = np.broadcast_to(np.arange(2, dtype=np.float32).reshape(1, 2, 1), (2000, 1, 2, 1))
    result = run(augment.sometimes(inner, 0.3), jax.random.key(0), ramp)[:, 0, :, 0]
    kept, changed = (result == [0, 1]).all(1), (result == [3, 2]).all(1)
    assert (kept | changed).all()
    assert abs(changed.mean() - 0.3) < 5 * (0.3 * 0.7 / 2000) ** 0.5


def test_the_mask_moves():
    key, images = jax.random.key(0), batch()
    labels = np.random.default_rng(1).integers(1, 200, (64, 8, 8), np.uint8)
    images[..., 0] = labels / np.float32(255)
    given = {"image": images, "mask": labels, "label": np.arange(64)}
    result, without_mask = run(
        lambda key, batch: (
            EXACT(key, batch),
            EXACT(key, {"image": batch["image"]}),
        ),
        key,
        given,
    )
    inside = result["mask"] != 255
    assert result["mask"].dtype == np.uint8
    assert 0.3 < inside.mean() < 0.95
    np.testing.assert_array_equal(
        result["image"][..., 0], np.where(inside, result["mask"] / np.float32(255), 0)
    )
    np.testing.assert_array_equal(result["image"], run_exact(key, images))
    np.testing.assert_array_equal(result["label"], given["label"])
    np.testing.assert_array_equal(without_mask["image"], result["image"])
    assert list(without_mask) == ["image"]


def test_masks_are_read_from_the_nearest_pixel():
    masks = np.random.default_rng(1).integers(0, 200, (8, 9, 11, 2), np.int32)
    given = {"image": masks.astype(np.float32) / 255, "mask": masks}

    def rotated(key, batch, boundary):
        sampling = Sampling("nearest", boundary, fill=17 / 255)
        rotation = augment.random_rotation(60.0, sampling=sampling)
        return augment.chain(rotation, mask_fill=17)(key, batch)

    boundaries = ("constant", "edge", "reflect")
    results = run(
        lambda *inputs: [rotated(*inputs, boundary) for boundary in boundaries],
        jax.random.key(0),
        given,
    )
    for boundary, result in zip(boundaries, results, strict=True):
        assert result["mask"].dtype == np.int32
        levels = result["mask"].astype(np.float32)
        np.testing.assert_array_equal(levels / 255, result["image"], boundary)


def test_a_chain_keeps_what_its_parts_know_of_fields():
    inner = augment.chain(shift(1.0), fields={"seg": "mask"}, mask_fill=3)
    outer = augment.chain(augment.sometimes(inner, 1.0), augment.random_flip(1.0))
    given = {"image": noise(1, 4, 4, 3), "seg": np.ones((1, 4, 4), np.int32)}
    moved, filled = run(
        lambda key, batch: (outer(key, batch), augment.chain(outer, mask_fill=0)(key, batch)),
        jax.random.key(0),
        given,
    )
    assert moved["seg"][0, 0].tolist() == [1, 1, 1, 3]
    assert filled["seg"][0, 0].tolist() == [1, 1, 1, 0]
    other = augment.chain(shift(1.0), mask_fill=0)
    with pytest.raises(ValueError, match=r"different mask_fill, \[0, 3\]"):
        augment.chain(inner, other)


def test_values_leave_the_mask_alone_and_sizes_do_not():
    jitter = augment.chain(augment.color_jitter(0.4), augment.random_erasing(1.0))
    crop = augment.random_resized_crop((5, 6))
    given = {"image": noise(4, 8, 8, 3), "mask": np.ones((4, 8, 8), bool)}
    changed, resized = run(
        lambda key, batch: [
            augment.chain(transform, mask_fill=0)(key, batch) for transform in (jitter, crop)
        ],
        jax.random.key(0),
        given,
    )
    np.testing.assert_array_equal(changed["mask"], given["mask"])
    assert resized["mask"].shape == (4, 5, 6)
    assert resized["mask"].all()


IMAGE = np.zeros((2, 4, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ({"label": np.zeros(2)}, KeyError, "no 'image'"),
        ({"image": IMAGE[0]}, ValueError, r"of a batch .* not \(4, 4, 3\)"),
        ({"image": IMAGE.astype(np.uint8)}, TypeError, "divide by 255"),
        ({"image": IMAGE, "mask": IMAGE[..., 0]}, TypeError, "integer or bool"),
        ({"image": IMAGE, "mask": np.zeros((2, 4, 5), int)}, ValueError, r"\(2, 4, 5\)"),
        ({"image": IMAGE, "mask": np.zeros((2, 4, 4), np.int8)}, ValueError, "mask_fill=255"),
        ({"image": IMAGE, "boxes": np.zeros((2, 1, 5))}, data.DatasetError, "have the kind boxes"),
        ({"image": IMAGE, "depth": np.zeros((2, 4, 4))}, ValueError, "'depth' has the size"),
    ],
)
def test_batches_that_cannot_be_moved(batch, error, message):
    with pytest.raises(error, match=message):
        EXACT(jax.random.key(0), batch)


VOLUMES = np.zeros((2, 4, 5, 6, 1), np.float32)


@pytest.mark.parametrize(
    ("transform", "batch", "message"),
    [
        (EXACT, {"image": VOLUMES, "mask": np.zeros((2, 5, 6), int)}, "with volumes of shape"),
        (EXACT, {"image": VOLUMES, "depth": np.zeros((2, 4, 5, 6))}, "'depth' has the size"),
        (EXACT, {"image": VOLUMES[None]}, "or volumes"),
        (augment.color_jitter(0.4), {"image": VOLUMES}, "volumes can only be moved"),
    ],
)
def test_volumes_that_cannot_be_moved(transform, batch, message):
    with pytest.raises(ValueError, match=message):
        transform(jax.random.key(0), batch)


def test_boxes_pass_where_nothing_moves():
    given = {"image": IMAGE, "boxes": np.ones((2, 1, 4), np.float32)}
    result = run(augment.color_jitter(0.4), jax.random.key(0), given)
    assert set(result) == set(given)
    np.testing.assert_array_equal(result["boxes"], given["boxes"])


def test_calls_refuse():
    with pytest.raises(TypeError, match="divide by 255"):
        jax.eval_shape(EXACT, jax.random.key(0), IMAGE.astype(np.uint8))
    with pytest.raises(ValueError, match="shape"):
        jax.eval_shape(EXACT, jax.random.key(0), IMAGE[None])
    with pytest.raises(ValueError, match=r"\[0, 1\], not 1.5"):
        augment.sometimes(EXACT, 1.5)
    with pytest.raises(ValueError, match="sets the size"):
        augment.sometimes(augment.random_crop(3))
