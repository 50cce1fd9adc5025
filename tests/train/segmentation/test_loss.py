"""The loss of segmenters, and what is measured of them."""

import functools
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
import quick

from jaxvision import losses, metrics, models, train
from jaxvision.train import segmentation

MODEL = models.PixelClassifier(num_classes=3)
HALF = np.arange(6) < 3


class Voxels(nn.Module):
    """Logits that are linear in a voxel, or a single logit."""

    num_classes: int = 3

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        return nn.Dense(self.num_classes, name="head")(x)


def make_batch(space: tuple[int, ...] = (5, 7), rows: int = 6) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    mask = random.integers(0, 3, (rows, *space), dtype=np.uint8)
    mask[random.random(mask.shape) < 0.2] = 255
    mask[1] = 255
    return {
        "image": random.normal(size=(rows, *space, 2)).astype(np.float32),
        "mask": mask,
        "weight": np.array([1, 1, 1, 0, 1, 0][:rows], np.float32),
    }


def params_of(model: Any, batch: dict[str, np.ndarray]) -> Any:
    variables = quick.jit(model.init)(jax.random.key(1), batch["image"])
    return variables["params"]


def logits_of(params: Any, batch: dict[str, np.ndarray]) -> np.ndarray:
    head = jax.device_get(params["head"])
    return batch["image"] @ head["kernel"].reshape(2, -1) + head["bias"]


@pytest.mark.parametrize("reduce", ["sample", "batch"])
@pytest.mark.parametrize(("model", "space"), [(MODEL, (5, 7)), (Voxels(), (2, 3, 4))])
def test_it_is_the_loss_of_the_rows_that_count(reduce: str, model: Any, space: tuple) -> None:
    """Whatever stands in the other rows; for images and for volumes."""
    batch = make_batch(space)
    params = params_of(model, batch)
    loss_fn = segmentation.make_loss_fn(model, reduce=reduce)
    evaluate = quick.jit(jax.value_and_grad(loss_fn, has_aux=True))
    (loss, (_, measured)), gradient = evaluate(params, {}, batch, jax.random.key(0))
    logits = logits_of(params, batch).astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    known = batch["mask"] != 255
    truth = np.where(known, batch["mask"], 0)
    values = -np.take_along_axis(log_p, truth[..., None], -1)[..., 0]
    counted = batch["weight"] > 0
    if reduce == "batch":
        expected = values[counted][known[counted]].mean()
    else:
        rows = [v[k].mean() if k.any() else 0 for v, k in zip(values, known, strict=True)]
        expected = np.array(rows)[counted].mean()
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    right = (logits.argmax(-1) == truth) & known
    accuracy = right[counted].sum() / known[counted].sum()
    found = metrics.compute(measured)
    assert found == pytest.approx({"loss": expected, "pixel_accuracy": accuracy}, rel=1e-5)

    spoilt = {**batch, "mask": batch["mask"].copy(), "image": batch["image"].copy()}
    spoilt["mask"][3], spoilt["image"][5] = 77, 1e3
    (again, _), same = evaluate(params, {}, spoilt, jax.random.key(0))
    assert float(again) == float(loss)
    jax.tree.map(np.testing.assert_array_equal, same, gradient)


def test_pixels_are_counted_by_class() -> None:
    batch = make_batch()
    params = params_of(MODEL, batch)
    loss_fn = train.make_eval_fn(segmentation.make_loss_fn(MODEL))
    measure = quick.jit(loss_fn.measure)
    state = {"params": params, "model_state": {}}
    parts = [
        {name: array[rows] for name, array in batch.items()} for rows in ([0, 1, 2], [3, 4, 5])
    ]
    gathered = jax.tree.map(
        lambda *sums: sum(map(np.asarray, sums)), *[measure(state, p) for p in parts]
    )
    counted = (batch["weight"] > 0)[:, None, None] & (batch["mask"] != 255)
    classes = logits_of(params, batch).argmax(-1)
    matrix = metrics.confusion_matrix(batch["mask"][counted], classes[counted], 3)
    np.testing.assert_array_equal(gathered["matrix"], matrix)
    found = loss_fn.summarize(gathered)
    assert found["mean_iou"] == metrics.jaccard_index(matrix, "macro")
    assert found["mean_dice"] == metrics.f1_score(matrix, "macro")
    assert found["pixel_accuracy"] == np.trace(matrix) / matrix.sum()
    empty = loss_fn.summarize({"matrix": np.zeros((3, 3), int), "loss": (0.0, 0.0)})
    assert all(np.isnan(value) for value in empty.values())


def test_a_single_logit_is_the_foreground() -> None:
    model = Voxels(num_classes=1)
    batch = make_batch()
    batch["mask"] = np.where(batch["mask"] == 2, 255, batch["mask"])
    params = params_of(model, batch)
    loss_fn = segmentation.make_loss_fn(model)
    measured = quick.jit(loss_fn.measure)({"params": params, "model_state": {}}, batch)
    counted = (batch["weight"] > 0)[:, None, None] & (batch["mask"] != 255)
    foreground = logits_of(params, batch)[..., 0] > 0
    expected = metrics.confusion_matrix(batch["mask"][counted], foreground[counted], 2)
    np.testing.assert_array_equal(measured["matrix"], expected)


def test_logits_that_are_smaller_than_the_images_are_of_their_middle() -> None:
    model = models.ClassicUNet(num_classes=3, channels=(2, 2), dropout=0.0)
    batch = make_batch((22, 20), rows=2)
    variables = quick.jit(model.init)(jax.random.key(0), batch["image"])
    state = {"params": variables["params"], "model_state": {}}
    measured = quick.jit(segmentation.make_loss_fn(model).measure)(state, batch)
    logits = quick.jit(model.apply)(variables, batch["image"])
    assert logits.shape == (2, 6, 4, 3)
    middle = batch["mask"][:, 8:14, 8:12]
    known = middle != 255
    expected = metrics.confusion_matrix(middle[known], np.asarray(logits.argmax(-1))[known], 3)
    np.testing.assert_array_equal(measured["matrix"], expected)


def test_pixels_weigh_what_the_batch_says() -> None:
    """Those of weight 0 are as if they had no label."""
    batch = {**make_batch(), "pixel_weight": np.ones((6, 5, 7), np.float32)}
    params, key = params_of(MODEL, batch), jax.random.key(0)
    loss_fn = quick.jit(segmentation.make_loss_fn(MODEL))
    without = {**batch, "mask": batch["mask"].copy()}
    without["mask"][:, 2:] = 255
    expected = float(loss_fn(params, {}, without, key)[0])
    assert float(loss_fn(params, {}, batch, key)[0]) != pytest.approx(expected, rel=1e-3)
    batch["pixel_weight"][:, 2:] = 0
    assert float(loss_fn(params, {}, batch, key)[0]) == pytest.approx(expected, rel=1e-6)
    dice = segmentation.make_loss_fn(MODEL, loss=losses.soft_dice)
    with pytest.raises(ValueError, match="no term of the sum takes pixel_weight"):
        jax.eval_shape(dice, params, {}, batch, key)


class WithCoarse(nn.Module):
    """Logits of pixels, and those of every third pixel."""

    num_classes: int = 3

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        return self.with_auxiliary(x)[0]

    @nn.compact
    def with_auxiliary(self, x: jax.Array, train: bool = False) -> Any:
        logits = nn.Dense(self.num_classes, name="head")(x)
        return logits, (logits[:, 1::3, 1::3],)


def test_auxiliary_logits_learn_labels_of_nearest_pixels() -> None:
    batch = make_batch((6, 9))
    batch["pixel_weight"] = np.ones((6, 6, 9), np.float32)
    model, key = WithCoarse(), jax.random.key(0)
    params = params_of(model, batch)
    whole, part = (
        segmentation.make_loss_fn(each, auxiliary_weight=0.25) for each in (model, Voxels())
    )
    found, (_, measured) = quick.jit(whole)(params, {}, batch, key)
    coarse = {
        name: array[:, 1::3, 1::3] if array.ndim > 2 else array for name, array in batch.items()
    }
    losses_of = [float(quick.jit(part)(params, {}, each, key)[0]) for each in (batch, coarse)]
    assert float(found) == pytest.approx(losses_of[0] + 0.25 * losses_of[1], rel=1e-6)
    apart = metrics.compute(measured)
    assert apart["loss"] == pytest.approx(losses_of[0], rel=1e-6)
    assert apart["auxiliary_loss"] == pytest.approx(0.25 * losses_of[1], rel=1e-6)
    state = {"params": params, "model_state": {}}
    evaluated = whole.summarize(jax.device_get(quick.jit(whole.measure)(state, batch)))
    assert evaluated["loss"] == pytest.approx(losses_of[0], rel=1e-6)
    with pytest.raises(ValueError, match="auxiliary_weight must not be negative, got -1"):
        segmentation.make_loss_fn(model, auxiliary_weight=-1)


def test_its_record_says_what_was_minimized() -> None:
    dice = functools.partial(losses.soft_dice, smooth=1.0)
    loss_fn = segmentation.make_loss_fn(MODEL, loss=losses.Sum((dice, 2.0)), reduce="batch")
    described = train.make_train_step(loss_fn, optax.sgd(0.1)).describe()
    assert described["task"] == "segmentation"
    assert described["loss"]["reduce"] == "batch"
    assert described["loss"]["terms"] == [
        {"loss": "soft_dice", "factor": 2.0, "options": {"smooth": 1.0}}
    ]


def test_what_is_wrong_is_said() -> None:
    batch = make_batch()
    params = params_of(MODEL, batch)
    loss_fn = segmentation.make_loss_fn(MODEL)

    def fails(message: str, **changed: Any) -> None:
        given = {name: x for name, x in {**batch, **changed}.items() if x is not None}
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(loss_fn, params, {}, given, jax.random.key(0))

    fails("to segment, a batch needs 'image' and 'mask'; this one has image, weight", mask=None)
    fails("a mask must have the shape of its image", mask=batch["mask"][..., None])
    fails("a whole number for each pixel, got float32", mask=batch["mask"].astype(np.float32))
    wrong = {**batch, "mask": batch["mask"].copy()}
    wrong["mask"][0, 0, 0] = 9
    assert "'mask' outside the classes 0 to 2, such as 9" in loss_fn.diagnose(wrong)
    assert loss_fn.diagnose(batch) is None
    wrong["image"] = np.full_like(batch["image"], np.nan)
    assert "'image' that are not finite" in loss_fn.diagnose(wrong)
