"""What every loss of masks keeps: one call, one meaning of the batch, and the traps of numbers."""

import functools

import jax
import jax.numpy as jnp
import make_segmentation_losses as fixture
import numpy as np
import pytest
import quick

from jaxvision import losses

LOSSES = {
    "tversky": functools.partial(losses.tversky, alpha=0.3, beta=0.7),
    "tversky_count": functools.partial(losses.tversky, beta=0.0, absent="count"),
    "soft_dice": losses.soft_dice,
    "soft_jaccard": losses.soft_jaccard,
    "lovasz_softmax": losses.lovasz_softmax,
    "lovasz_hinge": losses.lovasz_hinge,
    "pixel_cross_entropy": functools.partial(
        losses.pixel_cross_entropy, class_weights=fixture.WEIGHTS, label_smoothing=0.1
    ),
    "pixel_focal": functools.partial(losses.pixel_focal, gamma=0.5),
    "Sum": losses.Sum((losses.pixel_cross_entropy, 1), (losses.soft_dice, 0.5)),
}
EACH = pytest.mark.parametrize("name", LOSSES)
QUICK = ("tversky_count", "lovasz_hinge", "Sum")


def draw(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of three images, of 4 classes or of one logit."""
    if name != "lovasz_hinge":
        return fixture.draw()
    logits, labels = fixture.draw(2)
    return logits[..., :1], labels


def test_every_loss_of_masks_is_here() -> None:
    modules = {f"jaxvision.losses.{file}" for file in ("pixels", "segmentation", "sums")}
    named = {name: getattr(losses, name) for name in losses.__all__}
    found = {name for name, loss in named.items() if getattr(loss, "__module__", "") in modules}
    assert found == LOSSES.keys() - {"tversky_count"}


@pytest.mark.parametrize("name", quick.only(LOSSES, *QUICK))
def test_a_batch_is_one_example_of_all_its_rows(name: str) -> None:
    """Examples are apart with "sample"; rows of weight 0 are not seen with "batch"."""
    loss = LOSSES[name]
    logits, labels = draw(name)
    tail = np.full_like(logits[:1], np.nan)
    weight = np.float32([1, 1, 0.5, 0])

    def values(logits, labels, tail, weight):
        merged = logits.reshape(1, -1, logits.shape[-1]), labels.reshape(1, -1)
        padded = jnp.concatenate([logits, tail]), jnp.concatenate([labels, labels[:1]])
        return {
            "samples": loss(logits, labels),
            "alone": jax.vmap(lambda x, y: loss(x[None], y[None])[0])(logits, labels),
            "batch": loss(logits, labels, reduce="batch"),
            "merged": loss(*merged)[0],
            "padded": loss(*padded, reduce="batch", weight=weight),
            "volumes": loss(logits.reshape(3, 3, 3, 11, -1), labels.reshape(3, 3, 3, 11)),
            "half": loss(logits.astype(jnp.bfloat16), labels),
            "none": loss(logits[:0], labels[:0]),
            "no batch": loss(logits[:0], labels[:0], reduce="batch"),
        }

    found = jax.device_get(quick.jit(values)(logits, labels, tail, weight))
    assert found["samples"].shape == (3,)
    assert found["batch"].shape == ()
    np.testing.assert_allclose(found["samples"], found["alone"], rtol=1e-5)
    np.testing.assert_allclose(found["samples"], found["volumes"], rtol=1e-5)
    for one in ("merged", "padded"):
        assert found[one] == pytest.approx(found["batch"], rel=1e-6), one
    assert abs(found["batch"] - found["samples"].mean()) > 1e-4
    assert found["half"].dtype == np.float32
    np.testing.assert_allclose(found["half"], found["samples"], rtol=0.05)
    assert found["none"].shape == (0,)
    assert found["no batch"] == (1 if name == "tversky_count" else 0)


def traps(name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images of 2 x 3 pixels."""
    random = np.random.default_rng(5)
    classes = 1 if name == "lovasz_hinge" else 4
    labels = np.array([[0, 1, 1], [1, 255, -1]], np.int32)
    logits = random.normal(size=(2, 3, classes)).astype(np.float32)
    ignored = (labels == 255) | (labels < 0)
    one = np.full_like(labels, 255)
    one[1, 1] = 1
    rare = np.float32([0, 0.3, -60, -75])[:classes]
    return {
        "plain": (logits, labels),
        "NaN where ignored": (np.where(ignored[..., None], np.nan, logits), labels),
        "infinite where ignored": (np.where(ignored[..., None], np.inf, logits), labels),
        "empty mask": (logits, np.zeros_like(labels)),
        "one pixel": (logits, one),
        "all ignored": (logits * np.nan, np.full_like(labels, 255)),
        "far right": (1e4 * np.sign(logits), labels),
        "far wrong": (-1e4 * np.sign(logits), labels),
        "equal": (0 * logits, labels),
        # Probabilities whose square is no float32.
        "rare classes": (0 * logits + rare, labels),
        "rarer classes": (0 * logits + 1.5 * rare, labels),
        "beyond": (logits, np.where(labels == 0, 4, labels)),
    }


@EACH
@pytest.mark.parametrize("reduce", quick.only(["sample", "batch"], "sample"))
def test_traps_of_numbers(name: str, reduce: str) -> None:
    cases = traps(name)
    logits, labels = (np.stack(each) for each in zip(*cases.values(), strict=True))

    def value(x, y):
        return LOSSES[name](x[None], y[None], reduce=reduce).sum()

    both = quick.jit(jax.vmap(jax.value_and_grad(value)))(logits.astype(np.float32), labels)
    values, gradients = (dict(zip(cases, found, strict=True)) for found in jax.device_get(both))
    assert np.isnan(values.pop("beyond"))
    assert np.isfinite(list(values.values())).all(), values
    for case, gradient in gradients.items():
        assert np.isfinite(gradient).all(), case
    for case in ("NaN where ignored", "infinite where ignored"):
        assert values[case] == pytest.approx(values["plain"], rel=1e-6)
        np.testing.assert_allclose(gradients[case], gradients["plain"], rtol=1e-5, atol=1e-9)
    counts = (cases["plain"][1] >= 0) & (cases["plain"][1] != 255)
    assert not gradients["plain"][~counts].any()
    assert gradients["plain"][counts].any()
    assert values["all ignored"] == (1 if name == "tversky_count" else 0)
    assert not gradients["all ignored"].any()
    if name != "lovasz_hinge":
        assert gradients["empty mask"].any() or name == "tversky_count"


@pytest.mark.usefixtures("unchecked")
@EACH
def test_shapes_that_do_not_fit(name: str) -> None:
    logits, labels = map(jnp.asarray, draw(name))
    with pytest.raises(ValueError, match=r"one axis more, .* and \(3, 9, 10\)"):
        LOSSES[name](logits, labels[:, :, :10])
    with pytest.raises(ValueError, match="one axis more"):
        LOSSES[name](logits[..., 0], labels)
