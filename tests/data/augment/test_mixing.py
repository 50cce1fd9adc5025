import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.data import augment

mixup, cutmix = (
    jax.jit(mixer, static_argnames=("alpha", "num_classes", "per_row"))
    for mixer in (augment.mixup, augment.cutmix)
)
MIXERS = pytest.mark.parametrize("mixer", [mixup, cutmix], ids=["mixup", "cutmix"])


def batch(size=16, side=8, dtype=jnp.float32):
    """Images of one value each, a class of its own each: targets @ values is the mean value."""
    values = jnp.arange(size, dtype=jnp.float32) / size
    images = jnp.broadcast_to(values[:, None, None, None], (size, side, side, 2)).astype(dtype)
    return values, images, jnp.arange(size)


@MIXERS
@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_targets_tell_exactly_what_is_in_the_image(mixer, per_row, seed):
    values, images, labels = batch()
    mixed, targets = mixer(
        jax.random.key(seed), images, labels, alpha=1.0, num_classes=16, per_row=per_row
    )
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(targets @ values, mixed.mean(axis=(1, 2, 3)), atol=2e-6)


@MIXERS
@pytest.mark.parametrize("per_row", [False, True])
def test_one_share_for_the_batch_or_one_for_each_row(mixer, per_row):
    _, images, labels = batch()
    _, targets = mixer(
        jax.random.key(1), images, labels, alpha=1.0, num_classes=16, per_row=per_row
    )
    own = np.round(targets[jnp.arange(16), labels], 5)
    distinct = len(np.unique(own[own < 1]))
    assert distinct > 5 if per_row else distinct == 1


@MIXERS
def test_every_row_is_a_partner_once(mixer):
    _, images, labels = batch()
    _, targets = mixer(jax.random.key(2), images, labels, alpha=1.0, num_classes=16)
    np.testing.assert_allclose(targets.sum(axis=0), 1.0, rtol=1e-5)
    assert (np.asarray(targets) > 0).sum() > 24  # a permutation, not the identity


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_shares_are_beta(alpha):
    images, labels = jnp.array([0.0, 1.0]).reshape(2, 1, 1, 1), jnp.array([0, 1])

    def share(key):
        mixed, _ = mixup(key, images, labels, alpha=alpha, num_classes=2)
        return mixed[0, 0, 0, 0], mixed[1, 0, 0, 0]

    first, second = jax.jit(jax.vmap(share))(jax.random.split(jax.random.key(0), 8000))
    # A row is its own partner half of the time, which leaves 0; the rest is 1 - Beta.
    mixed = np.asarray(first)[(first > 0) & (jnp.abs(first + second - 1) < 1e-6)]
    variance = 1 / (4 * (2 * alpha + 1))
    assert len(mixed) > 3000
    assert abs(mixed.mean() - 0.5) < 5 * (variance / len(mixed)) ** 0.5
    assert abs(mixed.var() / variance - 1) < 0.15


def paper_cutmix_areas(count, height, width):
    """The rectangle of the paper, written anew for numpy, with a uniform share (alpha 1)."""
    rng = np.random.default_rng(0)
    side = np.sqrt(1 - rng.uniform(size=count))
    rows, columns = (height * side).astype(int), (width * side).astype(int)
    y, x = rng.integers(height, size=count), rng.integers(width, size=count)
    high = np.clip(y + rows // 2, 0, height) - np.clip(y - rows // 2, 0, height)
    wide = np.clip(x + columns // 2, 0, width) - np.clip(x - columns // 2, 0, width)
    return high * wide


def test_cutmix_areas_are_those_of_the_paper():
    images = jnp.stack([jnp.zeros((12, 20, 1)), jnp.ones((12, 20, 1))])

    def area(key):
        mixed, _ = cutmix(key, images, jnp.array([0, 1]), num_classes=2)
        return mixed[0].sum()

    areas = np.asarray(jax.jit(jax.vmap(area))(jax.random.split(jax.random.key(0), 8000)))
    expected = paper_cutmix_areas(8000, 12, 20)
    drawn, expected = areas[areas > 0], expected[expected > 0]
    assert abs(drawn.mean() - expected.mean()) < 5 * (2 / len(drawn)) ** 0.5 * expected.std()
    places = np.searchsorted(np.sort(expected), drawn) / len(expected)
    assert abs(places.mean() - 0.5) < 0.05


def test_cutmix_pastes_one_rectangle():
    _, images, labels = batch(side=16)
    mixed, _ = cutmix(jax.random.key(3), images, labels, num_classes=16)
    pasted = np.asarray((mixed != images).any(axis=-1))
    changed = pasted[pasted.any(axis=(1, 2))]
    assert len(changed) > 10
    assert (changed == changed[0]).all()
    rows, columns = changed[0].any(axis=1), changed[0].any(axis=0)
    np.testing.assert_array_equal(changed[0], rows[:, None] & columns[None, :])


@MIXERS
def test_padding_never_reaches_a_real_row(mixer):
    _, images, labels = batch()
    weight = (jnp.arange(16) < 10).astype(jnp.float32)
    images = jnp.where(weight[:, None, None, None] > 0, images, jnp.nan)
    unmixed = np.zeros(16, bool)
    for seed in range(5):
        mixed, targets = mixer(
            jax.random.key(seed), images, labels, alpha=1.0, num_classes=16, weight=weight
        )
        assert bool(jnp.isfinite(mixed[:10]).all())
        assert float(targets[:10, 10:].max()) == 0
        np.testing.assert_array_equal(targets[10:], jnp.eye(16)[10:])
        alone = np.asarray(targets[jnp.arange(16), labels] == 1)
        np.testing.assert_array_equal(mixed[alone], images[alone])
        unmixed |= alone
        assert not alone[:10].all()
    assert unmixed[:10].any()


@MIXERS
def test_alpha_zero_mixes_nothing(mixer):
    _, images, labels = batch()
    mixed, targets = mixer(jax.random.key(0), images, labels, alpha=0.0, num_classes=16)
    np.testing.assert_array_equal(mixed, images)
    np.testing.assert_array_equal(targets, jnp.eye(16))


@MIXERS
def test_distributions_are_mixed_too(mixer):
    _, images, _ = batch()
    soft = jax.nn.softmax(jax.random.normal(jax.random.key(9), (16, 5)))
    _, targets = mixer(jax.random.key(0), images, soft, alpha=1.0)
    _, from_indices = mixer(jax.random.key(0), images, jnp.arange(16), alpha=1.0, num_classes=16)
    np.testing.assert_allclose(targets, from_indices @ soft, atol=1e-6)


@MIXERS
@pytest.mark.parametrize("size", [0, 1])
def test_small_batches(mixer, size):
    images, labels = jnp.ones((size, 4, 4, 3)), jnp.zeros(size, int)
    mixed, targets = mixer(jax.random.key(0), images, labels, alpha=1.0, num_classes=2)
    assert targets.shape == (size, 2)
    np.testing.assert_allclose(mixed, images, rtol=1e-6)


@MIXERS
def test_bfloat16_images_and_float32_targets_under_jit(mixer):
    values, images, labels = batch(dtype=jnp.bfloat16)
    mix = jax.jit(lambda key: mixer(key, images, labels, alpha=0.4, num_classes=16))
    mixed, targets = mix(jax.random.key(0))
    assert (mixed.dtype, targets.dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_allclose(
        targets @ values, mixed.astype(jnp.float32).mean(axis=(1, 2, 3)), atol=0.01
    )
    np.testing.assert_array_equal(mix(jax.random.key(0))[0], mixed)


IMAGES = jnp.zeros((4, 2, 2, 1))


@MIXERS
@pytest.mark.parametrize(
    ("images", "labels", "options", "error", "message"),
    [
        (IMAGES.astype(int), jnp.zeros(4, int), {"num_classes": 2}, TypeError, "divide by 255"),
        (IMAGES, jnp.zeros(4, int), {}, ValueError, "num_classes="),
        (IMAGES, jnp.zeros((4, 2), int), {"num_classes": 2}, ValueError, "int32"),
        (IMAGES, jnp.zeros(4), {"num_classes": 2}, ValueError, "float32"),
        (IMAGES, jnp.zeros((4, 3)), {"num_classes": 2}, ValueError, "num_classes=2"),
        (IMAGES, jnp.zeros((4, 3)), {"alpha": -1.0}, ValueError, "alpha .* not -1"),
    ],
)
def test_refusals(mixer, images, labels, options, error, message):
    with pytest.raises(error, match=message):
        mixer(jax.random.key(0), images, labels, **{"alpha": 1.0, **options})
