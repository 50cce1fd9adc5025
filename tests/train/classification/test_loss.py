"""From a classifier to its loss and its evaluation."""

import functools
import json
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick
import small_net

from jaxvision import data, losses, metrics, models, train
from jaxvision.train import classification

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(6, 4, 4, 1)).astype(np.float32)
LABELS = np.array([0, 2, 1, 1, 0, 2])
BATCH = {"image": IMAGES, "label": LABELS}
MODEL = models.create_model("linear_classifier", num_classes=3)
PARAMS = jax.tree.map(lambda leaf: 10 * leaf + 0.1, MODEL.init(KEY, jnp.asarray(IMAGES))["params"])


class Spy(nn.Module):
    """The mean of an image, scaled, as logits; it says what it is called with."""

    note: Callable[[bool, jax.Array], None]

    @nn.compact
    def __call__(self, x, train=False):
        self.note(train, x)
        scale = self.param("scale", nn.initializers.ones, (3,))
        return x.reshape(len(x), -1).mean(1, keepdims=True) * scale


def value(batch=BATCH, *, params=PARAMS, key=KEY, **options) -> tuple[float, dict[str, float]]:
    loss_fn = classification.make_loss_fn(MODEL, **options)
    compiled = quick.jit(lambda params, batch, key: loss_fn(params, {}, batch, key))
    loss, (model_state, measured) = jax.device_get(compiled(params, batch, key))
    assert model_state == {}
    computed = metrics.compute(measured)
    if not np.isnan(computed["loss"]):
        assert float(loss) == pytest.approx(computed["loss"], rel=1e-5)
    return float(loss), computed


def log_probabilities(images=IMAGES) -> np.ndarray:
    kernel, bias = (np.asarray(PARAMS["head"][name], np.float64) for name in ("kernel", "bias"))
    logits = images.reshape(len(images), -1).astype(np.float64) @ kernel + bias
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


# The loss


@pytest.mark.parametrize("class_weights", [None, (0.5, 2.0, 0.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, (1, 1, 0, 1, 1, 0), (0.5, 2.0, 1.0, 0.0, 3.0, 0.25)])
def test_loss_equals_the_formula(weight, smoothing: float, class_weights) -> None:
    """sum_i u_i sum_c w_c t_ic (-log p_ic) / sum_i u_i w_(y_i), u of the rows, w of the classes."""
    batch = BATCH if weight is None else BATCH | {"weight": np.float32(weight)}
    got, measured = value(batch, label_smoothing=smoothing, class_weights=class_weights)
    rows = np.ones(6) if weight is None else np.array(weight)
    classes = np.ones(3) if class_weights is None else np.array(class_weights)
    targets = (1 - smoothing) * np.eye(3)[LABELS] + smoothing / 3
    terms = -(targets * classes * log_probabilities()).sum(1)
    assert got == pytest.approx((rows * terms).sum() / (rows * classes[LABELS]).sum(), rel=1e-5)
    right = log_probabilities().argmax(1) == LABELS
    assert measured["accuracy"] == pytest.approx((rows * right).sum() / rows.sum())


@pytest.mark.parametrize("dtype", [bool, np.int32, np.float16])
def test_weights_of_other_types(dtype) -> None:
    weight = np.array([1, 1, 0, 1, 0, 1])
    expected = value(BATCH | {"weight": weight.astype(np.float32)})
    assert value(BATCH | {"weight": weight.astype(dtype)}) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_other_types(dtype) -> None:
    assert value(BATCH | {"label": LABELS.astype(dtype)}) == value()


def test_labels_may_be_distributions() -> None:
    """One-hot rows are the labels, with class weights too; mixed ones weigh what they mix."""
    one_hot = np.eye(3, dtype=np.float32)[LABELS]
    weights = (0.5, 2.0, 1.0)
    for class_weights in (None, weights):
        expected, _ = value(class_weights=class_weights)
        got, _ = value(BATCH | {"label": one_hot}, class_weights=class_weights)
        assert got == pytest.approx(expected, rel=1e-6)
    mixed = (one_hot + one_hot[::-1]) / 2
    got, _ = value(BATCH | {"label": mixed}, class_weights=weights)
    terms = -(mixed * weights * log_probabilities()).sum(1)
    assert got == pytest.approx(terms.sum() / (mixed @ weights).sum(), rel=1e-5)


def test_auxiliary_heads_count_by_their_weight() -> None:
    class TwoHeads(models.Model, kw_only=True):
        def setup(self) -> None:
            self.head = nn.Dense(self.num_classes)
            self.early = nn.Dense(self.num_classes)

        def embed(self, x, train=False):
            return x.reshape(len(x), -1)

        def with_auxiliary(self, x, train=False):
            return self(x, train), (self.early(self.embed(x)),)

    model = TwoHeads(num_classes=3)
    loss_fn = classification.make_loss_fn(model)

    @quick.jit
    def results(batch, key):
        variables = model.init(key, batch["image"], method="with_auxiliary")
        logits, (early,) = model.apply(variables, batch["image"], method="with_auxiliary")
        each = [losses.cross_entropy(outputs, batch["label"]) for outputs in (logits, early)]
        return loss_fn(variables["params"], {}, batch, key), each, logits

    (loss, (_, measured)), (late, early), logits = jax.device_get(results(BATCH, KEY))
    assert loss == pytest.approx((late + 0.3 * early).mean(), rel=1e-5)
    assert metrics.compute(measured) == pytest.approx(
        {
            "loss": late.mean(),
            "auxiliary_loss": 0.3 * early.mean(),
            "accuracy": (logits.argmax(1) == LABELS).mean(),
        },
        rel=1e-5,
    )


def test_padding_and_void_labels_cost_nothing() -> None:
    """Whatever a row of weight 0 holds, neither the loss nor the gradient shows it."""
    weight = np.float32([1, 1, 1, 1, 0, 0])
    other = {"image": IMAGES.copy(), "label": LABELS.copy(), "weight": weight}
    other["image"][4:] = 100.0
    other["label"][4:] = -1
    loss_fn = classification.make_loss_fn(MODEL, label_smoothing=0.1, class_weights=(1.0, 2.0, 3.0))

    def of_params(params, batch):
        return loss_fn(params, {}, batch, KEY)[0]

    compiled = jax.jit(jax.value_and_grad(of_params))
    results = [
        compiled(PARAMS, batch)
        for batch in (
            BATCH | {"weight": weight},
            other,
            {"image": IMAGES[:4], "label": LABELS[:4]},
        )
    ]
    for loss, gradient in results[1:]:
        assert float(loss) == pytest.approx(float(results[0][0]), rel=1e-6)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), gradient, results[0][1]
        )


def test_no_row_that_counts() -> None:
    loss, computed = value(BATCH | {"weight": np.zeros(6, np.float32)})
    assert loss == 0
    assert np.isnan(computed["loss"])


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (losses.weston_watkins_hinge, "weston_watkins_hinge"),
        (functools.partial(losses.focal, gamma=3.0), "focal(gamma=3.0)"),
    ],
)
def test_another_loss(loss, name: str) -> None:
    loss_fn = classification.make_loss_fn(MODEL, loss=loss)
    assert loss_fn.describe()["loss"] == name
    plain = quick.jit(lambda images, labels: loss(MODEL.apply({"params": PARAMS}, images), labels))
    expected = float(np.asarray(plain(IMAGES, LABELS)).mean())
    assert value(loss=loss)[0] == pytest.approx(expected, rel=1e-6)
    state = train.init_state(KEY, MODEL, optax.sgd(0.1), BATCH).replace(params=PARAMS)
    measured = jax.device_get(quick.jit(train.make_eval_fn(loss_fn))(state, BATCH))
    assert metrics.compute(measured)["loss"] == pytest.approx(expected, rel=1e-6)


def test_options_of_the_cross_entropy_are_its_own() -> None:
    with pytest.raises(ValueError, match="options of cross_entropy, not of weston_watkins_hinge"):
        classification.make_loss_fn(MODEL, loss=losses.weston_watkins_hinge, label_smoothing=0.1)


def test_l1_is_of_the_kernels() -> None:
    penalty = float(jnp.abs(PARAMS["head"]["kernel"]).sum())
    assert value(l1=0.01)[0] == pytest.approx(value()[0] + 0.01 * penalty, rel=1e-6)


def test_l2_is_of_the_kernels() -> None:
    squares = float((np.asarray(PARAMS["head"]["kernel"], np.float64) ** 2).sum())
    assert value(l2=0.1)[0] == pytest.approx(value()[0] + 0.1 * squares, rel=1e-5)


def test_mean_and_std_are_of_images_between_0_and_1() -> None:
    bytes_ = np.round(255 * IMAGES).astype(np.uint8)
    normalized = (bytes_ / 255.0 - 0.3) / 0.2
    expected, _ = value(BATCH | {"image": normalized.astype(np.float32)})
    got, _ = value(BATCH | {"image": bytes_}, inputs=train.Inputs((0.3,), (0.2,)))
    assert got == pytest.approx(expected, rel=1e-5)
    floats = (bytes_ / 255).astype(np.float32)
    assert value(BATCH | {"image": bytes_})[0] == pytest.approx(
        value(BATCH | {"image": floats})[0], rel=1e-6
    )


def test_model_sees_train_dropout_and_statistics() -> None:
    model = small_net.SmallNet(dropout=0.5)
    batch = small_net.batches(1)[0]
    variables = jax.jit(model.init)(KEY, batch["image"])
    params, model_state = variables["params"], {"batch_stats": variables["batch_stats"]}
    loss_fn = jax.jit(classification.make_loss_fn(model))
    one, (after, _) = loss_fn(params, model_state, batch, jax.random.key(1))
    again, _ = loss_fn(params, model_state, batch, jax.random.key(1))
    other, _ = loss_fn(params, model_state, batch, jax.random.key(2))
    assert float(one) == float(again)
    assert float(one) != float(other)
    moved = after["batch_stats"]["norm"]["mean"]
    assert not np.array_equal(moved, model_state["batch_stats"]["norm"]["mean"])


def test_augmentation_is_for_training_and_before_normalization() -> None:
    """It sees the whole batch, and may change all of it."""
    augmented: list = []

    def augment(key, batch):
        augmented.append(batch)
        labels = jax.nn.one_hot(batch["label"][::-1], 3)
        return {**batch, "image": batch["image"] / 2 + 1, "label": labels}

    seen: list = []
    model = Spy(lambda train, images: seen.append((train, images)))
    inputs = train.Inputs((0.5,), (0.25,), augment)
    loss_fn = classification.make_loss_fn(model, inputs=inputs)
    weight = np.float32([1, 1, 1, 1, 1, 0])
    batch = BATCH | {"weight": weight}
    params = {"scale": np.float32([1, 2, 3])}

    @quick.jit
    def learn(params, batch, key):
        loss, _ = loss_fn(params, {}, batch, key)
        ((trained, images),) = seen
        assert trained
        logits = images.reshape(6, -1).mean(1, keepdims=True) * params["scale"]
        values = losses.cross_entropy(logits, batch["label"][::-1])
        return loss, values[:5].mean(), augmented.pop(), images

    loss, expected, given, images = jax.device_get(learn(params, batch, KEY))
    assert set(given) == set(batch)
    for name, value_ in batch.items():
        np.testing.assert_array_equal(given[name], value_)
    np.testing.assert_allclose(images, (IMAGES / 2 + 1 - 0.5) / 0.25, rtol=1e-5)
    assert loss == pytest.approx(expected, rel=1e-5)
    # Evaluation does not augment.
    state = train.init_state(KEY, model, train.create_optimizer("sgd", 0.1), BATCH)
    seen.clear()

    @quick.jit
    def evaluate(state, batch):
        train.make_eval_fn(loss_fn)(state, batch)
        ((trained, images),) = seen
        assert not trained
        return images

    np.testing.assert_allclose(evaluate(state, batch), (IMAGES - 0.5) / 0.25, rtol=1e-5)
    assert augmented == []


def test_mixing_leaves_padding_out() -> None:
    mix = train.Inputs(augment=data.augment.mixup(1.0, num_classes=3))
    weight = np.float32([1, 1, 1, 1, 0, 0])
    other = {"image": IMAGES.copy(), "label": LABELS.copy(), "weight": weight}
    other["image"][4:] = np.inf
    for seed in range(5):
        key = jax.random.key(seed)
        plain = value(BATCH | {"weight": weight}, inputs=mix, key=key)
        assert value(other, inputs=mix, key=key) == plain


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classification.make_loss_fn(MODEL, l2=-1.0), "l2 must be finite and not negative"),
        (lambda: value({"image": IMAGES}), "needs 'image' and 'label'; this one has image"),
        (lambda: value({"label": LABELS, "x": IMAGES}), "this one has label, x"),
        (lambda: value(label_smoothing=2.0), r"label_smoothing must be in \[0, 1\], got 2.0"),
        (
            lambda: value(inputs=train.Inputs((0.1, 0.2))),
            "mean has 2 numbers and the images have 1 channels",
        ),
    ],
)
def test_what_cannot_be(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# Evaluation


def test_evaluation_uses_averages_and_running_statistics() -> None:
    state, step = small_net.make(dropout=0.5)
    batches = small_net.batches(3)
    compiled = quick.jit(step)
    for batch in batches:
        state, _ = compiled(state, batch)
    model = step.loss_fn.model
    evaluate = train.make_eval_fn(step.loss_fn)
    measured = quick.jit(evaluate)(state, batches[2])
    labels, weight = batches[2]["label"], batches[2]["weight"]

    @quick.jit
    def expected(state):
        variables = {"params": state.ema_params, **state.model_state}
        logits = model.apply(variables, batches[2]["image"], train=False)
        return logits, losses.cross_entropy(logits, jnp.asarray(labels))

    logits, values = jax.device_get(expected(state))
    computed = metrics.compute(measured)
    assert computed["loss"] == pytest.approx((values * weight).sum() / weight.sum(), rel=1e-5)
    right = logits.argmax(1) == labels
    assert computed["accuracy"] == pytest.approx((right * weight).sum() / weight.sum())
    without = quick.jit(evaluate)(state.replace(ema_params=None), batches[2])
    assert metrics.compute(without)["loss"] != pytest.approx(computed["loss"], rel=1e-3)


def test_evaluation_of_parts_adds_up() -> None:
    state = train.init_state(KEY, MODEL, train.create_optimizer("sgd", 0.1), BATCH)
    evaluate = quick.jit(train.make_eval_fn(classification.make_loss_fn(MODEL)))
    weight = np.float32([1, 1, 0, 1, 1, 0])
    batch = BATCH | {"weight": weight}
    parts = [
        evaluate(state, {name: leaf[rows] for name, leaf in batch.items()})
        for rows in (slice(0, 2), slice(2, 6))
    ]
    merged, whole = metrics.compute(metrics.merge(*parts)), metrics.compute(evaluate(state, batch))
    assert merged == pytest.approx(whole)


# What is kept of it


def test_a_loss_that_cannot_be_evaluated() -> None:
    with pytest.raises(TypeError, match=r"has no method evaluate\(state, batch\) -> metrics"):
        train.make_eval_fn(lambda params, model_state, batch, key: None)


def test_what_it_says_of_itself() -> None:
    model = models.create_model("lenet5", num_classes=3, in_channels=1, dtype="bfloat16")
    loss_fn = classification.make_loss_fn(
        model,
        label_smoothing=0.1,
        class_weights=np.float32([0.5, 1.0, 2.0]),
        l2=1e-4,
        inputs=train.Inputs([0.5], (0.25,)),
    )
    described = loss_fn.describe()
    assert described.pop("task") == "classification"
    assert described.pop("models") == {"model": model}
    assert described.pop("inputs").describe() == {"mean": (0.5,), "std": (0.25,)}
    assert json.loads(json.dumps(described)) == {
        "loss": "cross_entropy",
        "label_smoothing": 0.1,
        "class_weights": [0.5, 1.0, 2.0],
        "l1": 0.0,
        "l2": 1e-4,
    }


def test_balanced_weights_are_those_of_the_counts() -> None:
    counts = [1, 2, 3]
    loss_fn = classification.make_loss_fn(MODEL, class_weights="balanced", class_counts=counts)
    assert loss_fn.class_weights == tuple(losses.balanced_weights(counts))
    assert loss_fn.describe()["class_weights"] == pytest.approx([2, 1, 2 / 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": [1, 2]}, "one number for each of 3 classes, got 2"),
        ({"class_weights": [1, -2, 3]}, "not negative and not all 0, got 1.0, -2.0, 3.0"),
        ({"class_weights": [0, 0, 0]}, "not all 0"),
        ({"class_weights": "balnced"}, "did you mean 'balanced'"),
        ({"class_weights": "balanced"}, "give class_counts=data.class_counts"),
        ({"label_smoothing": 1.5}, "label_smoothing must be in"),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification.make_loss_fn(MODEL, **options)


def test_mean_and_channels_are_compared_at_once() -> None:
    model = models.create_model("mlp", num_classes=3, in_channels=3)
    inputs = train.Inputs(mean=(0.5, 0.5))
    with pytest.raises(ValueError, match="mean must be one number, or one for each of 3 channels"):
        classification.make_loss_fn(model, inputs=inputs)


def test_check_finds_what_does_not_go_together_without_computing() -> None:
    mixing = train.Inputs(augment=data.augment.mixup(1.0, num_classes=3))
    with pytest.raises(ValueError, match="weston_watkins_hinge takes classes only"):
        classification.make_loss_fn(MODEL, loss=losses.weston_watkins_hinge, inputs=mixing).check(
            BATCH
        )
    classification.make_loss_fn(MODEL, inputs=mixing).check(BATCH)
    tall = {"image": np.zeros((2, 4, 6, 1), np.float32), "label": np.array([0, 1])}
    diagonal = train.Inputs(augment=data.augment.random_flip(direction="diagonal"))
    with pytest.raises(ValueError, match="needs square images, got 4x6"):
        classification.make_loss_fn(MODEL, inputs=diagonal).check(tall)
