import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.data import augment
from jaxvision.data.augment import Sampling

MIXED = augment.chain(
    augment.random_flip(),
    augment.random_rotation(20.0),
    augment.random_resized_crop((14, 12), scale=(0.3, 1.0)),
    augment.color_jitter(0.4, 0.4, 0.4, 0.1),
    augment.sometimes(augment.random_gaussian_blur(3)),
    augment.random_erasing(),
)
EXACT = augment.chain(augment.random_flip(), augment.random_crop(padding=3))


def noise(*shape, dtype=jnp.float32):
    return jax.random.uniform(jax.random.key(7), shape).astype(dtype)


def run(transform, key, images):
    return jax.jit(transform)(key, images)


def run_apply(transform, key, batch, **options):
    return jax.jit(lambda key, batch: augment.apply(transform, key, batch, **options))(key, batch)


def add(amount):
    return augment.photometric(lambda key, image: image + amount)


def shift(x, sampling=Sampling()):  # noqa: B008
    return augment.geometric(
        lambda key, height, width: augment.translation_matrix(x, 0.0), sampling=sampling
    )


def test_a_row_depends_on_its_key_and_index_alone():
    key, images = jax.random.key(0), noise(5, 8, 8, 3)
    batch = run(EXACT, key, images)
    alone = run(EXACT, jax.random.split(key, 5)[3], images[3])
    others_changed = run(EXACT, key, images.at[:3].set(0.0))
    np.testing.assert_array_equal(batch[3], alone)
    np.testing.assert_array_equal(batch[3:], others_changed[3:])


def test_rows_and_keys_draw_differently():
    images = jnp.broadcast_to(noise(8, 8, 3), (64, 8, 8, 3))
    first = run(EXACT, jax.random.key(0), images)
    assert len(np.unique(first.reshape(64, -1), axis=0)) > 20
    assert not np.array_equal(first, run(EXACT, jax.random.key(1), images))


def test_compiled_twice_gives_the_same_bits():
    key, images = jax.random.key(0), noise(16, 16, 16, 3)
    once = run(MIXED, key, images)
    again = run(lambda key, images: MIXED(key, images), key, images)
    assert once.shape == (16, 14, 12, 3)
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize(("transform", "tolerance"), [(EXACT, 0.0), (MIXED, 1e-5)])
def test_sharded_over_eight_devices_gives_the_same(transform, tolerance):
    key, images = jax.random.key(0), noise(16, 16, 16, 3)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.NamedSharding(mesh, jax.P("data"))
    whole = run(transform, key, images)
    sharded = jax.jit(transform, out_shardings=rows)(key, jax.device_put(images, rows))
    assert len(sharded.sharding.device_set) == 8
    np.testing.assert_allclose(whole, sharded, rtol=0, atol=tolerance)


def test_bfloat16_is_computed_in_float32():
    dtype = jnp.bfloat16
    key, images = jax.random.key(0), noise(16, 16, 16, 3, dtype=dtype)
    result = run(MIXED, key, images)
    wide = run(MIXED, key, images.astype(jnp.float32))
    assert result.dtype == dtype
    np.testing.assert_allclose(
        result.astype(jnp.float32), wide, atol=float(jnp.finfo(dtype).eps) * 2
    )


def test_float64_stays():
    with jax.enable_x64(True):
        images = noise(2, 16, 16, 3, dtype=jnp.float64)
        assert jax.eval_shape(MIXED, jax.random.key(0), images).dtype == jnp.float64
        third = augment.chain(add(1 / 3), shift(1.0))(jax.random.key(0), images)
        np.testing.assert_allclose(third[:, :, 1:], images[:, :, :-1] + 1 / 3, rtol=1e-15)


def test_gradients_reach_the_image():
    images = noise(16, 16, 16, 3)
    gradient = jax.jit(jax.grad(lambda images: MIXED(jax.random.key(3), images).sum()))(images)
    assert jnp.isfinite(gradient).all()
    assert (gradient != 0).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (1, 5, 9, 1)])
def test_shapes(shape):
    result = run(MIXED, jax.random.key(0), jnp.zeros(shape))
    assert result.shape == (shape[0], 14, 12, shape[-1])
    assert bool(jnp.isfinite(result).all())


def test_an_empty_chain_is_the_identity():
    images = noise(2, 4, 4, 3)
    np.testing.assert_array_equal(augment.chain()(jax.random.key(0), images), images)


def test_chained_transforms_draw_independently():
    flips = augment.chain(augment.random_flip(), augment.random_flip())
    matrices = jax.jit(jax.vmap(lambda key: flips.matrix(key, 4, 4)))(
        jax.random.split(jax.random.key(0), 400)
    )
    mirrored = float((matrices[:, 0, 0] < 0).mean())
    assert 0.375 < mirrored < 0.625  # one shared coin would give 0


def test_neighbouring_geometries_are_resampled_once():
    image, key = noise(6, 6, 1), jax.random.key(0)
    once = run(augment.chain(shift(0.5), shift(0.5)), key, image)
    twice = run(augment.chain(shift(0.5), add(0.0), shift(0.5)), key, image)
    np.testing.assert_array_equal(once[:, 1:], image[:, :-1])
    assert jnp.abs(twice[:, 1:] - image[:, :-1]).max() > 0.1


def test_different_samplings_are_warps_of_their_own():
    image, key = noise(6, 6, 1) + 1, jax.random.key(0)
    edge = Sampling(boundary="edge")
    joined = run(augment.chain(shift(2.0), augment.random_flip(0.0), shift(-2.0)), key, image)
    apart = run(augment.chain(shift(2.0), augment.random_flip(0.0), shift(-2.0, edge)), key, image)
    np.testing.assert_array_equal(joined, image)
    np.testing.assert_array_equal(apart[:, :4], image[:, :4])
    # The content pushed out by the first warp is gone: the second repeats what is left.
    np.testing.assert_array_equal(apart[:, 4:], jnp.broadcast_to(image[:, 3:4], (6, 2, 1)))


def test_matrix_is_the_geometry_of_a_call():
    transform = augment.chain(
        augment.random_rotation(30.0),
        augment.random_crop(10, padding=2),
        augment.random_scale((0.5, 2.0)),
    )
    image, key = noise(16, 14, 3), jax.random.key(5)
    matrix = jax.jit(lambda key: transform.matrix(key, 16, 14))(key)
    np.testing.assert_allclose(
        run(transform, key, image), augment.affine_warp(image, matrix, size=(10, 10)), atol=1e-5
    )
    with_values = augment.chain(transform, add(0.1), augment.random_flip(1.0))
    assert with_values.matrix(key, 16, 14).shape == (3, 3)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_sometimes_never_and_always(probability):
    image, key = noise(8, 8, 3), jax.random.key(0)
    inner = augment.chain(augment.random_flip(1.0), add(0.25))
    result = run(augment.sometimes(inner, probability), key, image)
    np.testing.assert_array_equal(result, inner(key, image) if probability else image)


def test_sometimes_tosses_one_coin_for_the_whole():
    inner = augment.chain(add(1.0), augment.random_flip(1.0), add(1.0))
    ramp = jnp.broadcast_to(jnp.arange(2.0).reshape(1, 2, 1), (2000, 1, 2, 1))
    result = run(augment.sometimes(inner, 0.3), jax.random.key(0), ramp)[:, 0, :, 0]
    kept, changed = (result == jnp.array([0, 1])).all(1), (result == jnp.array([3, 2])).all(1)
    assert bool((kept | changed).all())
    assert abs(float(changed.mean()) - 0.3) < 5 * (0.3 * 0.7 / 2000) ** 0.5


def test_apply_moves_the_mask_with_the_image():
    labels = jax.random.randint(jax.random.key(1), (32, 9, 9), 1, 200).astype(jnp.uint8)
    images = jnp.stack([labels / 255, labels / 510], axis=-1)
    batch = {"image": images, "mask": labels, "label": jnp.arange(32)}
    result = run_apply(EXACT, jax.random.key(0), batch)
    inside = result["mask"] != 255
    assert result["mask"].dtype == jnp.uint8
    assert 0.3 < inside.mean() < 0.95
    np.testing.assert_array_equal(
        result["image"][..., 0], jnp.where(inside, result["mask"] / 255, 0)
    )
    np.testing.assert_array_equal(result["image"], run(EXACT, jax.random.key(0), images))
    np.testing.assert_array_equal(result["label"], batch["label"])


@pytest.mark.parametrize("boundary", ["constant", "edge", "reflect"])
def test_apply_reads_masks_from_the_nearest_pixel(boundary):
    transform = augment.random_rotation(60.0, sampling=Sampling("nearest", boundary, fill=17 / 255))
    masks = jax.random.randint(jax.random.key(1), (8, 9, 11, 2), 0, 200)
    batch = {"image": masks / 255, "mask": masks}
    result = run_apply(transform, jax.random.key(0), batch, mask_fill=17)
    assert result["mask"].dtype == jnp.int32
    np.testing.assert_array_equal(result["mask"] / 255, result["image"])


def test_values_leave_the_mask_alone_and_sizes_do_not():
    batch = {"image": noise(4, 8, 8, 3), "mask": jnp.ones((4, 8, 8), bool)}
    jitter = augment.chain(augment.color_jitter(0.4), augment.random_erasing(1.0))
    result = run_apply(jitter, jax.random.key(0), batch, mask_fill=0)
    np.testing.assert_array_equal(result["mask"], batch["mask"])
    resized = run_apply(augment.random_resized_crop((5, 6)), jax.random.key(0), batch, mask_fill=0)
    assert resized["mask"].shape == (4, 5, 6)
    assert bool(resized["mask"].all())


def test_apply_without_a_mask():
    images = noise(4, 8, 8, 3)
    result = run_apply(EXACT, jax.random.key(0), {"image": images})
    np.testing.assert_array_equal(result["image"], run(EXACT, jax.random.key(0), images))


IMAGE = jnp.zeros((2, 4, 4, 3))


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ({"label": jnp.zeros(2)}, KeyError, "no 'image'"),
        ({"image": IMAGE[0]}, ValueError, r"batches .* not \(4, 4, 3\)"),
        ({"image": IMAGE.astype(jnp.uint8)}, TypeError, "divide by 255"),
        ({"image": IMAGE, "mask": jnp.zeros((2, 4, 4))}, TypeError, "integer or bool"),
        ({"image": IMAGE, "mask": jnp.zeros((2, 4, 5), int)}, ValueError, r"\(2, 4, 5\)"),
        ({"image": IMAGE, "mask": jnp.zeros((2, 4, 4), jnp.int8)}, ValueError, "mask_fill=255"),
        ({"image": IMAGE, "mask": jnp.zeros((2, 4, 4), bool)}, ValueError, "mask_fill=0"),
        ({"image": IMAGE, "boxes": jnp.zeros((2, 1, 4))}, ValueError, "'boxes'"),
    ],
)
def test_apply_refuses(batch, error, message):
    with pytest.raises(error, match=message):
        augment.apply(EXACT, jax.random.key(0), batch)


def test_boxes_pass_where_nothing_moves():
    batch = {"image": IMAGE, "boxes": jnp.ones((2, 1, 4))}
    result = run_apply(augment.color_jitter(0.4), jax.random.key(0), batch)
    np.testing.assert_array_equal(result["boxes"], batch["boxes"])


def test_calls_refuse():
    with pytest.raises(TypeError, match="divide by 255"):
        EXACT(jax.random.key(0), IMAGE.astype(jnp.uint8))
    with pytest.raises(ValueError, match="shape"):
        EXACT(jax.random.key(0), IMAGE[None])
    with pytest.raises(ValueError, match=r"\[0, 1\], not 1.5"):
        augment.sometimes(EXACT, 1.5)
    with pytest.raises(ValueError, match="sets the size"):
        augment.sometimes(augment.random_crop(3))
