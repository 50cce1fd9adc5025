"""3D U-Net and DeepMedic as they were published, and padded."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import models
from jaxvision._trees import by_path

KEY = jax.random.key(0)


def shape(*size: int, channels: int = 1, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((2, *size, channels), dtype)


def traced(model, volumes) -> tuple:
    return jax.eval_shape(model.init_with_output, KEY, volumes)


def count(variables) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def drawn(model, volumes):
    """Parameters drawn on the host, and volumes."""
    draw = np.random.default_rng(0)
    _, variables = traced(model, jax.ShapeDtypeStruct((1, *volumes, 1), np.float32))
    values = jax.tree.map(lambda leaf: draw.normal(0.1, 0.3, leaf.shape), variables)
    volume = draw.normal(size=(1, *volumes, 1)).astype(np.float32)
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), values), volume


def test_unet_has_the_parameters_and_sizes_of_the_paper() -> None:
    published = shape(116, 132, 132, channels=3)
    plain = models.UNet3D(num_classes=3, padded=False, norm=None)
    logits, variables = traced(plain, published)
    assert logits.shape == (2, 28, 44, 44, 3)
    assert count(variables) == 19_069_955
    logits, normalized = traced(plain.clone(norm="batch"), published)
    assert logits.shape == (2, 28, 44, 44, 3)
    convolved = 2 * (64 + 128 + 256) + (32 + 64) + (64 + 128) + (128 + 256) + (256 + 512)
    biases = sum(
        leaf.size for path, leaf in by_path(variables["params"]).items() if path.endswith("bias")
    )
    assert biases == convolved + 3
    assert count(normalized) == 19_069_955 + convolved
    kernels = {
        path.split("/")[0]: leaf.shape[-2:]
        for path, leaf in by_path(variables["params"]).items()
        if path.endswith("kernel")
    }
    assert kernels["up2_1"] == (256 + 512, 256)
    assert kernels["enlarge2"] == (512, 512)


@pytest.mark.parametrize("size", [(1, 1, 1), (7, 16, 19), (33, 2, 5)])
def test_unet_with_padding_keeps_any_size(size) -> None:
    logits, _ = traced(models.UNet3D(num_classes=2), shape(*size))
    assert logits.shape == (2, *size, 2)


@pytest.mark.parametrize("size", [(28, 20, 36), (21, 23, 30)])
def test_unet_without_padding_sees_the_middle(size) -> None:
    """No logit of the middle sees the padding, so that both models have the same there."""
    model = models.UNet3D(num_classes=2, channels=((2, 3), (3, 4)), padded=False, norm=None)
    variables, volume = drawn(model, size)

    @quick.jit
    def both(variables, volume):
        return model.apply(variables, volume), model.clone(padded=True).apply(variables, volume)

    middle, whole = map(np.asarray, both(variables, volume))
    assert middle.shape == (1, *(2 * ((length - 4) // 2 - 4) - 4 for length in size), 2)
    depth, height, width = (slice(8, 8 + length) for length in middle.shape[1:4])
    np.testing.assert_allclose(whole[:, depth, height, width], middle, rtol=1e-4, atol=1e-5)


def test_the_least_volume_of_a_unet_without_padding() -> None:
    model = models.UNet3D(num_classes=2, padded=False)
    assert traced(model, shape(92, 93, 99))[0].shape == (2, 4, 4, 4, 2)
    with pytest.raises(ValueError, match="needs volumes of at least 92x92x92, got the shape"):
        traced(model, shape(92, 91, 92))


def test_deepmedic_has_the_parameters_of_its_layers() -> None:
    model = models.DeepMedic(num_classes=5, padded=False)
    logits, variables = traced(model, shape(57, 57, 60, channels=2))
    assert logits.shape == (2, 9, 9, 12, 5)
    widths = (2, 30, 30, 40, 40, 40, 40, 50, 50)
    pathway = sum(
        27 * old * new + 3 * new  # a kernel, and scale, bias and slope for each channel
        for old, new in itertools.pairwise(widths)
    )
    joining = (100 + 3) * 150 + (150 + 3) * 150
    assert count(variables) == 2 * pathway + joining + 150 * 5 + 5 == 659_915


def test_a_logit_of_deepmedic_sees_17_voxels_and_51_of_averages() -> None:
    model = models.DeepMedic(
        num_classes=1, channels=(1,) * 8, hidden_channels=(1,), padded=False, norm=None
    )
    volume = np.ones((1, 57, 57, 57, 1), np.float32)
    _, variables = traced(model, jax.ShapeDtypeStruct(volume.shape, np.float32))
    params = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, np.float32), variables["params"])

    @quick.jit
    def seen(volume, weights):
        """What the logit at 28, in the middle of a block of averages, depends on."""
        joined = {"conv": {**params["hidden1"]["conv"], "kernel": weights.reshape(1, 1, 1, 2, 1)}}
        apply = model.bind({"params": {**params, "hidden1": joined}})
        return jax.grad(lambda x: apply(x)[0, 4, 4, 4, 0])(volume) != 0

    for weights, around in ((np.eye(2)[0], 8), (np.eye(2)[1], 25)):
        found = np.asarray(seen(volume, weights.astype(np.float32)))[0, ..., 0]
        inside = slice(28 - around, 28 + around + 1)
        assert found[inside, inside, inside].all()
        assert found.sum() == (2 * around + 1) ** 3


def test_deepmedic_without_padding_sees_the_middle() -> None:
    model = models.DeepMedic(num_classes=2, channels=(2, 3), hidden_channels=(4,), padded=False)
    variables, volume = drawn(model, (15, 18, 21))

    @quick.jit
    def both(variables, volume):
        return model.apply(variables, volume), model.clone(padded=True).apply(variables, volume)

    variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    middle, whole = map(np.asarray, both(variables, volume))
    assert middle.shape == (1, 3, 6, 9, 2)
    np.testing.assert_allclose(whole[:, 6:-6, 6:-6, 6:-6], middle, rtol=1e-4, atol=1e-5)


def test_deepmedic_reflects_the_border() -> None:
    """What it gives is what the volume would give that is reflected before."""
    model = models.DeepMedic(num_classes=2, channels=(2, 3), hidden_channels=(4,), norm=None)
    variables, volume = drawn(model, (4, 1, 8))

    @quick.jit
    def both(variables, volume, reflected):
        whole = model.apply(variables, volume)
        return whole, model.clone(padded=False).apply(variables, reflected)

    edges = [(0, 0), (6, 8), (6, 8), (6, 7), (0, 0)]
    whole, wider = both(variables, volume, np.pad(volume, edges, mode="reflect"))
    np.testing.assert_allclose(whole, wider[:, :4, :1, :8], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(48, 57, 57), (57, 58, 57), (57, 57, 30)])
def test_sizes_that_deepmedic_has_no_middle_of(size) -> None:
    with pytest.raises(ValueError, match="sides must be 48 plus a multiple of 3 voxels, got the"):
        traced(models.DeepMedic(num_classes=2, padded=False), shape(*size))


SMALL = [
    models.UNet3D(num_classes=2, channels=((2, 4), (4, 8)), dtype="bfloat16"),
    models.DeepMedic(num_classes=2, channels=(2, 2), hidden_channels=(4,), dtype="bfloat16"),
]


@pytest.mark.parametrize("model", SMALL, ids=lambda model: type(model).__name__)
def test_they_compute_in_bfloat16_and_are_made_again(model) -> None:
    logits, variables = traced(model, shape(5, 6, 7, dtype=jnp.bfloat16))
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    assert models.from_description(json.loads(json.dumps(models.describe(model)))) == model


@pytest.mark.slow
@pytest.mark.parametrize("model", SMALL, ids=lambda model: type(model).__name__)
def test_all_of_them_is_trained(model) -> None:
    variables, volume = drawn(model, (5, 6, 7))

    @quick.jit
    def train(key, variables, volume):
        def loss(params):
            logits, changed = model.apply(
                {**variables, "params": params},
                volume.astype(jnp.bfloat16),
                train=True,
                rngs={"dropout": key},
                mutable=["batch_stats"],
            )
            return (logits**2).mean(), (logits, changed)

        return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    (_, (logits, changed)), gradients = jax.device_get(train(KEY, variables, volume))
    assert logits.shape == (1, 5, 6, 7, 2)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {np.dtype("float32")}
    assert all(np.isfinite(leaf).all() and leaf.any() for leaf in jax.tree.leaves(gradients))
    before, after = (by_path(each["batch_stats"]) for each in (variables, changed))
    assert all((before[path] != after[path]).any() for path in before)


@pytest.mark.parametrize("kind", [models.UNet3D, models.DeepMedic])
def test_images_are_no_volumes(kind) -> None:
    with pytest.raises(ValueError, match=r"volumes must have the shape \(batch, depth, height, wi"):
        traced(kind(num_classes=2), jax.ShapeDtypeStruct((2, 32, 32, 1), np.float32))


def test_a_summary_counts_the_work_on_volumes() -> None:
    model = models.UNet3D(num_classes=2, channels=((3, 4), (5, 6)))
    found = models.summary(model, (1, 4, 6, 8, 1), show=False)
    fine, coarse = 4 * 6 * 8, 2 * 3 * 4
    on_fine = 27 * (1 * 3 + 3 * 4 + (4 + 6) * 4 + 4 * 4) + 4 * 2
    on_coarse = 27 * (4 * 5 + 5 * 6) + 8 * 6 * 6
    assert found.multiply_adds == fine * on_fine + coarse * on_coarse
