import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision.data import augment

MIXERS = pytest.mark.parametrize("mixer", [augment.mixup, augment.cutmix])
SEEDS = np.arange(5)
WEIGHT = np.ones(16, np.float32)


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def batch(dtype=np.float32):
    """Images of one value each, a class of its own each: targets @ values is the mean value."""
    values = np.arange(16, dtype=np.float32) / 16
    images = np.broadcast_to(values[:, None, None, None], (16, 8, 8, 2)).astype(dtype)
    return values, images, np.arange(16)


def mix(mixer, key, images, labels, weight=None, *, alpha=1.0, **options):
    """The images and labels of a batch after mixing."""
    batch = {"image": images, "label": labels}
    if weight is not None:
        batch["weight"] = weight
    mixed = mixer(alpha, **options)(key, batch)
    return mixed["image"], mixed["label"]


@functools.cache
def of_many_seeds(mixer, **options):
    def mix_by(seed, images, labels, weight):
        return mix(mixer, jax.random.key(seed), images, labels, weight, **options)

    return quick.jit(jax.vmap(mix_by, (0, None, None, None)))


def mixed_by_each_seed(mixer, images, labels, weight=WEIGHT):
    """What the batch becomes, with one share for all rows: one program for many tests."""
    options = {"num_classes": 16} if labels.ndim == 1 else {}
    return jax.device_get(of_many_seeds(mixer, **options)(SEEDS, images, labels, weight))


def mixed_plainly(mixer, per_row):
    _, images, labels = batch()
    if not per_row:
        return mixed_by_each_seed(mixer, images, labels)
    mix_rows = of_many_seeds(mixer, num_classes=16, per_row=True)
    return jax.device_get(mix_rows(SEEDS, images, labels, None))


@MIXERS
@pytest.mark.parametrize("per_row", [False, True])
def test_targets_tell_exactly_what_is_in_the_image(mixer, per_row):
    values, _, _ = batch()
    mixed, targets = mixed_plainly(mixer, per_row)
    np.testing.assert_allclose(targets.sum(axis=2), 1.0, rtol=1e-6)
    np.testing.assert_allclose(targets @ values, mixed.mean(axis=(2, 3, 4)), atol=2e-6)


@MIXERS
@pytest.mark.parametrize("per_row", [False, True])
def test_one_share_for_the_batch_or_one_for_each_row(mixer, per_row):
    _, targets = mixed_plainly(mixer, per_row)
    own = np.round(targets[1, range(16), range(16)], 5)
    distinct = len(np.unique(own[own < 1]))
    assert distinct > 5 if per_row else distinct == 1


@MIXERS
def test_every_row_is_a_partner_once(mixer):
    _, targets = mixed_plainly(mixer, per_row=False)
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-5)
    assert (targets[2] > 0).sum() > 24  # a permutation, not the identity


def test_mixup_shares_are_beta():
    alphas = (0.2, 1.0)

    def pairs(key, alpha):
        images = jnp.array([0.0, 1.0]).reshape(2, 1, 1, 1)
        mixed, _ = mix(augment.mixup, key, images, jnp.arange(2), alpha=alpha, num_classes=2)
        return mixed[:, 0, 0, 0]

    def of_many_keys(key):
        keys = jax.random.split(key, 8000)
        return [jax.vmap(functools.partial(pairs, alpha=alpha))(keys) for alpha in alphas]

    for alpha, both in zip(alphas, run(of_many_keys, jax.random.key(0)), strict=True):
        first, second = both.T
        # A row is its own partner half of the time, which leaves 0; the rest is 1 - Beta.
        mixed = first[(first > 0) & (np.abs(first + second - 1) < 1e-6)]
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
    def area(key):
        images = jnp.stack([jnp.zeros((12, 20, 1)), jnp.ones((12, 20, 1))])
        mixed, _ = mix(augment.cutmix, key, images, jnp.arange(2), num_classes=2)
        return mixed[0].sum()

    areas = run(lambda key: jax.vmap(area)(jax.random.split(key, 8000)), jax.random.key(0))
    expected = paper_cutmix_areas(8000, 12, 20)
    drawn, expected = areas[areas > 0], expected[expected > 0]
    assert abs(drawn.mean() - expected.mean()) < 5 * (2 / len(drawn)) ** 0.5 * expected.std()
    places = np.searchsorted(np.sort(expected), drawn) / len(expected)
    assert abs(places.mean() - 0.5) < 0.05


def test_cutmix_pastes_one_rectangle():
    _, images, _ = batch()
    mixed, _ = mixed_plainly(augment.cutmix, per_row=False)
    pasted = (mixed[3] != images).any(axis=-1)
    changed = pasted[pasted.any(axis=(1, 2))]
    assert len(changed) > 10
    assert (changed == changed[0]).all()
    rows, columns = changed[0].any(axis=1), changed[0].any(axis=0)
    assert 1 < rows.sum() < 8
    np.testing.assert_array_equal(changed[0], rows[:, None] & columns[None, :])


@MIXERS
def test_padding_never_reaches_a_real_row(mixer):
    _, images, labels = batch()
    weight = (labels < 10).astype(np.float32)
    images = np.where(weight[:, None, None, None] > 0, images, np.nan)
    results = mixed_by_each_seed(mixer, images, labels, weight)
    unmixed = np.zeros(16, bool)
    for mixed, targets in zip(*results, strict=True):
        assert np.isfinite(mixed[:10]).all()
        assert targets[:10, 10:].max() == 0
        np.testing.assert_array_equal(targets[10:], np.eye(16)[10:])
        alone = targets[labels, labels] == 1
        np.testing.assert_array_equal(mixed[alone], images[alone])
        unmixed |= alone
        assert not alone[:10].all()
    assert unmixed[:10].any()


def mixed_with_void_labels(mixer):
    """From indices and from distributions, where rows 2, 5 and 7 have no label; 7 has no weight."""
    _, images, labels = batch()
    indices, soft = labels.copy(), np.eye(16, dtype=np.float32)
    indices[[2, 5, 7]] = -1, 16, 255
    soft[[2, 5], 3] = np.nan
    weight = np.where(labels == 7, 0, 0.5).astype(np.float32)
    return [mixed_by_each_seed(mixer, images, each, weight) for each in (indices, soft)]


@MIXERS
def test_a_void_label_makes_its_own_targets_nan_or_zero_without_weight(mixer):
    (_, from_indices), (_, from_soft) = mixed_with_void_labels(mixer)
    assert np.isnan(from_indices[:, [2, 5]]).all()
    assert (from_indices[:, 7] == 0).all()
    assert np.isnan(from_soft[:, [2, 5], 3]).all()


@MIXERS
def test_rows_with_void_labels_are_mixed_with_nothing(mixer):
    values, images, labels = batch()
    void, known = [2, 5, 7], np.delete(labels, [2, 5, 7])
    for mixed, targets in mixed_with_void_labels(mixer):
        for row in void:
            np.testing.assert_array_equal(mixed[:, row], np.stack([images[row]] * len(SEEDS)))
        assert (targets[:, known][:, :, void] == 0).all()
        np.testing.assert_allclose(targets[:, known].sum(axis=2), 1.0, rtol=1e-6)
        means = mixed[:, known].mean(axis=(2, 3, 4))
        np.testing.assert_allclose(targets[:, known] @ values, means, atol=2e-6)
        unmixed = targets[:, known, known] == 1
        assert unmixed.any()  # whose partner has no label
        assert not unmixed.all(axis=1).any()


@MIXERS
def test_alpha_zero_mixes_nothing(mixer):
    _, images, labels = batch()
    unmixed = functools.partial(mix, mixer, alpha=0.0, num_classes=16)
    mixed, targets = run(unmixed, jax.random.key(0), images, labels)
    np.testing.assert_array_equal(mixed, images)
    np.testing.assert_array_equal(targets, np.eye(16))


@MIXERS
def test_distributions_are_mixed_too(mixer):
    _, images, _ = batch()
    soft = np.random.default_rng(9).dirichlet(np.ones(16), 16).astype(np.float32)
    _, targets = mixed_by_each_seed(mixer, images, soft)
    _, from_indices = mixed_plainly(mixer, per_row=False)
    np.testing.assert_allclose(targets, from_indices @ soft, atol=1e-6)


@MIXERS
def test_small_batches(mixer):
    mix_two = functools.partial(mix, mixer, num_classes=2)
    images, labels = np.ones((1, 4, 4, 3), np.float32), np.zeros(1, int)
    mixed, targets = run(mix_two, jax.random.key(0), images, labels)
    np.testing.assert_array_equal(targets, [[1, 0]])
    np.testing.assert_allclose(mixed, images, rtol=1e-6)
    mixed, targets = jax.eval_shape(mix_two, jax.random.key(0), images[:0], labels[:0])
    assert (mixed.shape, targets.shape) == ((0, 4, 4, 3), (0, 2))


@MIXERS
def test_bfloat16_images_and_float32_targets_under_jit(mixer):
    values, images, labels = batch(dtype=jnp.bfloat16)
    compiled = quick.jit(functools.partial(mix, mixer, alpha=0.4, num_classes=16))
    mixed, targets = jax.device_get(compiled(jax.random.key(0), images, labels))
    assert (mixed.dtype, targets.dtype) == (jnp.bfloat16, np.float32)
    np.testing.assert_allclose(
        targets @ values, mixed.astype(np.float32).mean(axis=(1, 2, 3)), atol=0.01
    )
    np.testing.assert_array_equal(compiled(jax.random.key(0), images, labels)[0], mixed)


IMAGES = np.zeros((4, 2, 2, 1), np.float32)


@MIXERS
@pytest.mark.parametrize(
    ("images", "labels", "options", "error", "message"),
    [
        (IMAGES.astype(int), np.zeros(4, int), {"num_classes": 2}, TypeError, "divide by 255"),
        (IMAGES, np.zeros(4, int), {}, ValueError, "num_classes="),
        (IMAGES, np.zeros((4, 2), int), {"num_classes": 2}, ValueError, "int32"),
        (IMAGES, np.zeros(4), {"num_classes": 2}, ValueError, "float32"),
        (IMAGES, np.zeros((4, 3)), {"num_classes": 2}, ValueError, "num_classes=2"),
        (IMAGES, np.zeros((4, 3)), {"alpha": -1.0}, ValueError, "alpha .* not -1"),
        (IMAGES[:, None], np.zeros((4, 3)), {}, ValueError, "mixes images .batch, height"),
    ],
)
def test_refusals(mixer, images, labels, options, error, message):
    with pytest.raises(error, match=message):
        jax.eval_shape(functools.partial(mix, mixer, **options), jax.random.key(0), images, labels)


def test_masks_and_maps_are_pasted_with_their_images():
    """By the same rectangle, exactly, and without a label too."""
    _, images, labels = batch()
    images = images + np.linspace(0, 0.05, 64, dtype=np.float32).reshape(8, 8, 1)
    classes = np.arange(16 * 64, dtype=np.int32).reshape(16, 8, 8)
    classes[:, 2, 3] = 255
    given = {
        "image": images,
        "label": labels,
        "mask": classes,
        "segmentation_mask": (classes % 7).astype(np.uint8)[..., None],
        "pixel_weight": images[..., 0],
    }
    mixed = augment.cutmix(num_classes=16, per_row=True)
    masked = {name: given[name] for name in given if name != "label"}
    pasted, unlabelled = run(
        lambda key, given, masked: (mixed(key, given), mixed(key, masked)),
        jax.random.key(0),
        given,
        masked,
    )
    source = np.argmin(
        np.abs(pasted["image"][:, None] - images).max(-1), axis=1
    )  # which row each pixel is of
    assert 0.1 < (source != np.arange(16)[:, None, None]).mean() < 0.6
    rows, columns = np.mgrid[:8, :8]
    for name in masked:
        expected = given[name][source, rows, columns]
        np.testing.assert_array_equal(pasted[name], expected, name)
        np.testing.assert_array_equal(unlabelled[name], expected, name)
        assert pasted[name].dtype == given[name].dtype
    shares = (source[..., None] == np.arange(16)).mean((1, 2))
    np.testing.assert_allclose(pasted["label"], shares, atol=1e-6)
    assert "label" not in unlabelled


@pytest.mark.parametrize(
    ("mixer", "field"),
    [
        (augment.mixup, "mask"),
        (augment.mixup, "pixel_weight"),
        (augment.mixup, "boxes"),
        (augment.cutmix, "boxes"),
        (augment.cutmix, "instances"),
        (augment.mixup, "seg"),
        (augment.cutmix, "seg"),
    ],
)
def test_fields_that_cannot_be_mixed(mixer, field):
    given = {"image": IMAGES, "label": np.zeros((4, 2), np.float32), field: np.zeros((4, 2, 2))}
    with pytest.raises(ValueError, match=f"cannot mix '{field}'"):
        jax.eval_shape(mixer(1.0), jax.random.key(0), given)
    with pytest.raises(KeyError, match="needs 'image' and 'label'"):
        mixer(1.0)(jax.random.key(0), {"image": IMAGES})


def test_masks_of_another_size_cannot_be_pasted():
    given = {"image": IMAGES, "mask": np.zeros((4, 1, 2), np.int32)}
    with pytest.raises(ValueError, match=r"\(4, 1, 2\) does not go with images of shape"):
        jax.eval_shape(augment.cutmix(), jax.random.key(0), given)


def test_mixing_joins_a_chain():
    _, images, labels = batch()
    given = {"image": images, "label": labels}
    mixed = augment.mixup(0.4, num_classes=16)
    both = augment.chain(augment.random_flip(1.0), mixed)
    chained, alone = run(
        lambda key, batch: (both(key, batch), mixed(jax.random.fold_in(key, 1), batch)),
        jax.random.key(0),
        given,
    )
    np.testing.assert_array_equal(chained["label"], alone["label"])
    np.testing.assert_array_equal(chained["image"], alone["image"][:, :, ::-1])
