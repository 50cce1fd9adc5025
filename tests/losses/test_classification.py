import json
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import losses

TORCH = json.loads((pathlib.Path(__file__).parent.parent / "fixtures" / "losses.json").read_text())

# The cat, car and frog of a well-known course example.
SCORES = jnp.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
CLASSES = jnp.array([0, 1, 2])

PER_EXAMPLE = {
    "cross_entropy": losses.cross_entropy,
    "focal": losses.focal,
    "focal, gamma below 1": lambda x, y: losses.focal(x, y, gamma=0.5),
    "hinge": losses.weston_watkins_hinge,
    "squared hinge": losses.weston_watkins_squared_hinge,
}
per_example = pytest.mark.parametrize("loss", PER_EXAMPLE.values(), ids=PER_EXAMPLE.keys())


def value_and_gradient(loss, logits):
    """The loss of each row, and the gradient of their sum in the logits."""

    def total(logits):
        values = loss(logits)
        return jnp.sum(values), values

    gradient, values = jax.jit(jax.grad(total, has_aux=True))(logits)
    return values, gradient


@pytest.mark.parametrize(
    "case", TORCH["cross_entropy"], ids=lambda case: str(list(case.values())[:3])
)
def test_cross_entropy_equals_torch(case):
    with jax.enable_x64(True):
        inputs = {name: jnp.asarray(value) for name, value in TORCH["inputs"].items()}

        def loss(logits):
            return losses.cross_entropy(
                logits,
                inputs[case["labels"]],
                label_smoothing=case["label_smoothing"],
                class_weights=inputs["class_weights"] if case["weighted"] else None,
            )

        values, gradient = value_and_gradient(loss, inputs["logits"])
        assert values.dtype == jnp.float64
        np.testing.assert_allclose(values, case["values"], rtol=1e-13)
        np.testing.assert_allclose(gradient, case["gradient"], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", TORCH["hinge"], ids=lambda case: str(list(case.values())[:2]))
def test_hinge_equals_torch(case):
    hinge = (losses.weston_watkins_hinge, losses.weston_watkins_squared_hinge)[case["power"] - 1]
    with jax.enable_x64(True):
        inputs = {name: jnp.asarray(value) for name, value in TORCH["inputs"].items()}
        values, gradient = value_and_gradient(
            lambda x: hinge(x, inputs["indices"], margin=case["margin"]), inputs["logits"]
        )
        np.testing.assert_allclose(values, case["values"], rtol=1e-13)
        np.testing.assert_allclose(gradient, case["gradient"], rtol=1e-12, atol=1e-14)


def test_course_example_hinge():
    loss = losses.weston_watkins_hinge(SCORES, CLASSES)
    np.testing.assert_allclose(loss, [2.9, 0.0, 12.9], rtol=1e-6)
    np.testing.assert_allclose(losses.weighted_mean(loss), 5.2667, atol=5e-5)
    np.testing.assert_allclose(
        losses.weston_watkins_squared_hinge(SCORES, CLASSES), [8.41, 0.0, 83.25], rtol=1e-6
    )


def test_course_example_softmax():
    loss, gradient = value_and_gradient(lambda x: losses.cross_entropy(x, CLASSES), SCORES)
    np.testing.assert_allclose(loss[0], 2.0404, atol=5e-5)
    np.testing.assert_allclose(losses.weighted_mean(loss), 2.75865, atol=5e-6)
    np.testing.assert_allclose(gradient[0], [-0.870017, 0.869050, 0.000968], atol=1e-6)


def test_hinge_at_the_margin_has_no_gradient():
    logits = jnp.array([[1.0, 0.0]])
    gradient = jax.grad(lambda x: losses.weston_watkins_hinge(x, jnp.array([0]))[0])(logits)
    np.testing.assert_array_equal(gradient, [[0.0, 0.0]])


@per_example
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_saturated_logits_are_finite(loss, dtype):
    logits = jnp.array([[1e4, -1e4, 0.0]] * 2, dtype)
    value, gradient = value_and_gradient(lambda x: loss(x, jnp.array([0, 1])), logits)
    assert value.dtype == jnp.float32
    assert gradient.dtype == dtype
    chex.assert_tree_all_finite((value, gradient))
    # Right by a wide margin costs nothing; wrong by a wide margin costs, and pulls back.
    value, gradient = np.asarray(value), np.asarray(gradient, np.float32)
    assert (value[0], np.abs(gradient[0]).max()) == (0, 0)
    assert value[1] >= 1.9e4
    assert gradient[1, 1] <= -1


@per_example
def test_impossible_classes_add_nothing(loss):
    logits = jnp.array([[1.0, -jnp.inf, 0.5]])
    value, gradient = value_and_gradient(lambda x: loss(x, jnp.array([2])), logits)
    expected, rest = value_and_gradient(lambda x: loss(x, jnp.array([1])), logits[:, ::2])
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[:, ::2], rest, rtol=1e-6)
    assert gradient[0, 1] == 0


@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.focal])
def test_impossible_classes_with_soft_labels(loss):
    logits, labels = jnp.array([[1.0, -jnp.inf, 0.5]]), jnp.array([[0.25, 0.0, 0.75]])
    value, gradient = value_and_gradient(lambda x: loss(x, labels), logits)
    np.testing.assert_allclose(value, loss(logits[:, ::2], labels[:, ::2]), rtol=1e-6)
    chex.assert_tree_all_finite(gradient)
    # An impossible class that happens all the same is infinitely surprising.
    assert losses.cross_entropy(logits, labels[:, ::-1] + 0.1)[0] == jnp.inf


def test_class_of_weight_zero_adds_nothing():
    logits, weights = jnp.array([[1.0, -jnp.inf, 0.5]]), jnp.array([1.0, 0.0, 1.0])
    assert losses.cross_entropy(logits, jnp.array([1]), class_weights=weights)[0] == 0


@per_example
@pytest.mark.parametrize("labels", [jnp.array([-1, 3, 255, 1]), jnp.array([3, 1], jnp.uint8)])
def test_unknown_labels_give_nan_and_no_gradient(loss, labels):
    logits = SCORES[2:].repeat(len(labels), 0)
    value, gradient = value_and_gradient(lambda x: loss(x, labels), logits)
    unknown = labels != 1
    np.testing.assert_array_equal(jnp.isnan(value), unknown)
    np.testing.assert_array_equal(gradient.any(axis=-1), ~unknown)


def test_void_pixels_are_left_out_by_their_weight():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 3, 4))
    labels = jnp.arange(18).reshape(2, 3, 3) % 4
    weight = jnp.arange(18).reshape(2, 3, 3) % 3 > 0

    @jax.jit
    @jax.value_and_grad
    def mean(logits, labels):
        return losses.weighted_mean(losses.cross_entropy(logits, labels), weight)

    expected = mean(logits, labels)
    chex.assert_trees_all_equal(mean(logits, jnp.where(weight, labels, 255)), expected)
    rows = losses.cross_entropy(logits[weight], labels[weight])
    np.testing.assert_allclose(expected[0], rows.mean(), rtol=1e-6)


@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.focal])
def test_one_hot_rows_equal_indices(loss):
    expected = loss(SCORES, CLASSES)
    np.testing.assert_allclose(loss(SCORES, jnp.eye(3)), expected, rtol=1e-6)
    np.testing.assert_allclose(loss(SCORES, CLASSES.astype(jnp.uint8)), expected, rtol=1e-6)


def test_focal_without_focus_is_cross_entropy():
    distributions = jnp.asarray(TORCH["inputs"]["distributions"])
    logits, weights = jnp.asarray(TORCH["inputs"]["logits"]), jnp.array([0.5, 2.0, 0.0, 1.25])
    for labels in (jnp.array(TORCH["inputs"]["indices"]), distributions):
        for alpha in (None, weights):
            chex.assert_trees_all_close(
                value_and_gradient(
                    lambda x, y=labels, a=alpha: losses.focal(x, y, gamma=0.0, alpha=a), logits
                ),
                value_and_gradient(
                    lambda x, y=labels, a=alpha: losses.cross_entropy(x, y, class_weights=a), logits
                ),
                rtol=1e-5,
                atol=1e-6,
            )


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_of_two_classes_is_sigmoid_focal(gamma):
    # The softmax over (0, x) is the sigmoid of x.
    x, labels = jnp.linspace(-8.0, 8.0, 17), jnp.arange(17) % 2

    @jax.jit
    def both(x, labels):
        pairs = jnp.stack([jnp.zeros(17), x], axis=-1)
        of_two = losses.focal(pairs, labels, gamma=gamma, alpha=jnp.array([0.7, 0.3]))
        return of_two, losses.sigmoid_focal(x, labels, gamma=gamma, alpha=0.3)

    actual, expected = both(x, labels)
    np.testing.assert_allclose(actual, expected, rtol=2e-3, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("alpha", [None, 0.0, 0.25])
def test_sigmoid_focal_equals_its_formula(gamma, alpha):
    random = np.random.default_rng(0)
    logits, soft = 3 * random.normal(size=(6, 5)), random.uniform(size=(6, 5))
    for labels in (soft, soft.round()):
        p = 1 / (1 + np.exp(-logits))
        truth = labels * p + (1 - labels) * (1 - p)
        share = 1 if alpha is None else labels * alpha + (1 - labels) * (1 - alpha)
        surprise = -labels * np.log(p) - (1 - labels) * np.log(1 - p)
        np.testing.assert_allclose(
            losses.sigmoid_focal(
                jnp.asarray(logits), jnp.asarray(labels), gamma=gamma, alpha=alpha
            ),
            share * (1 - truth) ** gamma * surprise,
            rtol=2e-4,
            atol=1e-7,
        )


def test_sigmoid_focal_value():
    p = np.array([0.9, 0.8, 0.3, 0.1])
    loss = losses.sigmoid_focal(jnp.asarray(np.log(p / (1 - p))), jnp.array([1, 1, 0, 0]))
    np.testing.assert_allclose(loss.mean(), 0.0068402, atol=5e-8)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_sigmoid_focal_is_finite_at_saturated_logits(gamma, dtype):
    logits = jnp.array([1e4, 1e4, -1e4, -1e4, 90.0, 17.0], dtype)
    labels = jnp.array([1, 0, 1, 0, 1, 1])
    value, gradient = value_and_gradient(
        lambda x: losses.sigmoid_focal(x, labels, gamma=gamma), logits
    )
    assert value.dtype == jnp.float32
    chex.assert_tree_all_finite((value, gradient))
    np.testing.assert_allclose(value[:4], [0, 7500, 2500, 0], rtol=2e-3)


def test_sigmoid_focal_takes_booleans():
    logits = jnp.array([0.3, -2.0])
    np.testing.assert_array_equal(
        losses.sigmoid_focal(logits, jnp.array([True, False])),
        losses.sigmoid_focal(logits, jnp.array([1.0, 0.0])),
    )


@per_example
def test_any_batch_shape_jit_and_vmap(loss):
    logits = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    labels = jax.random.randint(jax.random.key(1), (2, 3, 4), 0, 5)
    compiled = jax.jit(loss)
    expected = np.reshape(compiled(logits.reshape(-1, 5), labels.ravel()), (2, 3, 4))
    np.testing.assert_allclose(compiled(logits, labels), expected, rtol=1e-6)
    np.testing.assert_allclose(loss(logits, labels), expected, rtol=1e-6)  # not compiled
    np.testing.assert_allclose(jax.jit(jax.vmap(loss))(logits, labels), expected, rtol=1e-5)
    assert loss(logits[0, 0, 0], labels[0, 0, 0]).shape == ()
    assert loss(logits[:0], labels[:0]).shape == (0, 3, 4)


@pytest.mark.usefixtures("unchecked")
@per_example
def test_wrong_shapes_are_named(loss):
    with pytest.raises(ValueError, match=r"\(3, 3\).*int32 labels of shape \(2,\)"):
        loss(SCORES, CLASSES[:2])
    with pytest.raises(ValueError, match=r"classes, got shape \(3, 0\)"):
        loss(SCORES[:, :0], CLASSES)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.cross_entropy(SCORES, jnp.ones(3)), r"float32 labels of shape \(3,\)"),
        (lambda: losses.weston_watkins_hinge(SCORES, jnp.eye(3)), "integer type, got float32"),
        (lambda: losses.cross_entropy(SCORES, CLASSES, class_weights=jnp.ones(4)), r"\(4,\)"),
        (lambda: losses.focal(SCORES, CLASSES, alpha=jnp.ones(4)), r"alpha .* shape \(4,\)"),
        (lambda: losses.sigmoid_focal(SCORES, CLASSES), r"\(3, 3\) and \(3,\)"),
        (lambda: losses.cross_entropy(SCORES, CLASSES, label_smoothing=1.5), "got 1.5"),
        (lambda: losses.focal(SCORES, CLASSES, gamma=-1.0), "got -1.0"),
        (lambda: losses.sigmoid_focal(SCORES[0], CLASSES, gamma=-1.0), "got -1.0"),
        (lambda: losses.sigmoid_focal(SCORES[0], CLASSES, alpha=2.0), "got 2.0"),
        (lambda: losses.weston_watkins_hinge(SCORES, CLASSES, margin=0.0), "got 0.0"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
