import functools
import itertools
import json
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import losses

TORCH = json.loads((pathlib.Path(__file__).parent.parent / "fixtures" / "losses.json").read_text())
INPUTS = {name: np.array(value) for name, value in TORCH["inputs"].items()}

# The cat, car and frog of a well-known course example.
SCORES = np.float32([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
CLASSES = np.arange(3)

PER_EXAMPLE = {
    "cross_entropy": losses.cross_entropy,
    "focal": losses.focal,
    "focal, gamma below 1": functools.partial(losses.focal, gamma=0.5),
    "hinge": losses.weston_watkins_hinge,
    "squared hinge": losses.weston_watkins_squared_hinge,
}
per_example = pytest.mark.parametrize("loss", PER_EXAMPLE.values(), ids=PER_EXAMPLE.keys())
OF_DISTRIBUTIONS = (losses.cross_entropy, losses.focal)


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def value_and_gradient(loss, logits):
    """The loss of each row, and the gradient of their sum in the logits."""

    def total(logits):
        values = loss(logits)
        return jnp.sum(values), values

    gradient, values = jax.grad(total, has_aux=True)(logits)
    return values, gradient


def of_each_loss(logits, labels):
    """Values and gradients of every loss that takes one label per example."""
    return {
        name: value_and_gradient(lambda logits, loss=loss: loss(logits, labels), logits)
        for name, loss in PER_EXAMPLE.items()
    }


def check_against_torch(cases, of_all_cases):
    with jax.enable_x64(True):
        results = run(of_all_cases, INPUTS)
    for case, (values, gradient) in zip(cases, results, strict=True):
        name = str(list(case.values())[:3])
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, case["values"], rtol=1e-13, err_msg=name)
        np.testing.assert_allclose(gradient, case["gradient"], rtol=1e-12, atol=1e-14, err_msg=name)


def test_cross_entropy_equals_torch():
    def of_all_cases(inputs):
        def loss(logits, case):
            return losses.cross_entropy(
                logits,
                inputs[case["labels"]],
                label_smoothing=case["label_smoothing"],
                class_weights=inputs["class_weights"] if case["weighted"] else None,
            )

        return [
            value_and_gradient(functools.partial(loss, case=case), inputs["logits"])
            for case in TORCH["cross_entropy"]
        ]

    check_against_torch(TORCH["cross_entropy"], of_all_cases)


def test_hinge_equals_torch():
    hinges = {1: losses.weston_watkins_hinge, 2: losses.weston_watkins_squared_hinge}

    def of_all_cases(inputs):
        return [
            value_and_gradient(
                functools.partial(
                    hinges[case["power"]], labels=inputs["indices"], margin=case["margin"]
                ),
                inputs["logits"],
            )
            for case in TORCH["hinge"]
        ]

    check_against_torch(TORCH["hinge"], of_all_cases)


def test_course_example_hinge():
    def results(scores, classes):
        hinge = losses.weston_watkins_hinge(scores, classes)
        squared = losses.weston_watkins_squared_hinge(scores, classes)
        return hinge, losses.weighted_mean(hinge), squared

    hinge, mean, squared = run(results, SCORES, CLASSES)
    np.testing.assert_allclose(hinge, [2.9, 0.0, 12.9], rtol=1e-6)
    np.testing.assert_allclose(mean, 5.2667, atol=5e-5)
    np.testing.assert_allclose(squared, [8.41, 0.0, 83.25], rtol=1e-6)


def test_course_example_softmax():
    def results(scores, classes):
        loss, gradient = value_and_gradient(lambda x: losses.cross_entropy(x, classes), scores)
        return loss, losses.weighted_mean(loss), gradient

    loss, mean, gradient = run(results, SCORES, CLASSES)
    np.testing.assert_allclose(loss[0], 2.0404, atol=5e-5)
    np.testing.assert_allclose(mean, 2.75865, atol=5e-6)
    np.testing.assert_allclose(gradient[0], [-0.870017, 0.869050, 0.000968], atol=1e-6)


def test_hinge_at_the_margin_has_no_gradient():
    hinge = functools.partial(losses.weston_watkins_hinge, labels=jnp.array([0]))
    _, gradient = run(lambda logits: value_and_gradient(hinge, logits), np.float32([[1, 0]]))
    np.testing.assert_array_equal(gradient, [[0.0, 0.0]])


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float32])
def test_saturated_logits_are_finite(dtype):
    logits = np.array([[1e4, -1e4, 0.0]] * 2, dtype)
    for name, (value, gradient) in run(of_each_loss, logits, np.arange(2)).items():
        assert value.dtype == np.float32, name
        assert gradient.dtype == dtype, name
        gradient = gradient.astype(np.float32)
        assert np.isfinite(value).all(), name
        assert np.isfinite(gradient).all(), name
        # Right by a wide margin costs nothing; wrong by a wide margin costs, and pulls back.
        assert (value[0], np.abs(gradient[0]).max()) == (0, 0), name
        assert value[1] >= 1.9e4, name
        assert gradient[1, 1] <= -1, name


def test_impossible_classes_add_nothing():
    def with_and_without(logits):
        with_class = of_each_loss(logits, jnp.array([2]))
        return with_class, of_each_loss(logits[:, ::2], jnp.array([1]))

    results, expected = run(with_and_without, np.float32([[1.0, -np.inf, 0.5]]))
    for name, (value, gradient) in results.items():
        np.testing.assert_allclose(value, expected[name][0], rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(gradient[:, ::2], expected[name][1], rtol=1e-6, err_msg=name)
        assert gradient[0, 1] == 0, name


def test_impossible_classes_with_soft_labels():
    def results(logits, labels):
        surprise = losses.cross_entropy(logits, labels[:, ::-1] + 0.1)
        each = [
            (
                *value_and_gradient(lambda logits, loss=loss: loss(logits, labels), logits),
                loss(logits[:, ::2], labels[:, ::2]),
            )
            for loss in OF_DISTRIBUTIONS
        ]
        return surprise, each

    logits, labels = np.float32([[1.0, -np.inf, 0.5]]), np.float32([[0.25, 0.0, 0.75]])
    surprise, each = run(results, logits, labels)
    for value, gradient, expected in each:
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        assert np.isfinite(gradient).all()
    # An impossible class that happens all the same is infinitely surprising.
    assert surprise[0] == np.inf


def test_class_of_weight_zero_adds_nothing():
    def loss(logits, labels, weights):
        return losses.cross_entropy(logits, labels, class_weights=weights)

    logits, weights = np.float32([[1.0, -np.inf, 0.5]]), np.float32([1, 0, 1])
    assert run(loss, logits, np.array([1]), weights)[0] == 0


@pytest.mark.parametrize("labels", [np.array([-1, 3, 255, 1]), np.uint8([3, 1])])
def test_unknown_labels_give_nan_and_no_gradient(labels):
    logits = SCORES[2:].repeat(len(labels), 0)
    for name, (value, gradient) in run(of_each_loss, logits, labels).items():
        unknown = labels != 1
        np.testing.assert_array_equal(np.isnan(value), unknown, name)
        np.testing.assert_array_equal(gradient.any(axis=-1), ~unknown, name)


@pytest.mark.parametrize("loss", OF_DISTRIBUTIONS)
def test_a_distribution_with_nan_gives_nan_and_no_gradient(loss):
    def results(logits, labels):
        each = value_and_gradient(lambda logits: loss(logits, labels), logits)
        alone = value_and_gradient(lambda logits: loss(logits, labels[:1]), logits[:1])
        weight = jnp.array([1.0, 0.0, 0.0])

        def mean(logits):
            return losses.weighted_mean(loss(logits, labels), weight)

        return each, alone, jax.value_and_grad(mean)(logits)

    labels = np.float32([[0.2, 0.3, 0.5], [np.nan, 0.5, 0.5], [np.nan] * 3])
    (value, gradient), alone, (mean, of_mean) = run(results, SCORES, labels)
    np.testing.assert_array_equal(np.isnan(value), [False, True, True])
    np.testing.assert_array_equal(gradient[1:], np.zeros((2, 3)))
    np.testing.assert_allclose(value[:1], alone[0], rtol=1e-6)
    np.testing.assert_allclose(gradient[:1], alone[1], rtol=1e-6)
    # A weight of 0 leaves such examples out.
    np.testing.assert_allclose(mean, value[0], rtol=1e-6)
    np.testing.assert_allclose(of_mean, gradient, rtol=1e-6)


def test_void_pixels_are_left_out_by_their_weight():
    logits = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype(np.float32)
    labels = np.arange(18).reshape(2, 3, 3) % 4
    weight = np.arange(18).reshape(2, 3, 3) % 3 > 0

    @quick.jit
    @jax.value_and_grad
    def mean(logits, labels, weight):
        return losses.weighted_mean(losses.cross_entropy(logits, labels), weight)

    expected = mean(logits, labels, weight)
    with_void = mean(logits, np.where(weight, labels, 255), weight)
    chex.assert_trees_all_equal(with_void, expected)
    rows = run(losses.cross_entropy, logits[weight], labels[weight])
    np.testing.assert_allclose(expected[0], rows.mean(), rtol=1e-6)


def test_one_hot_rows_equal_indices():
    def results(scores, *labels):
        return [[loss(scores, each) for each in labels] for loss in OF_DISTRIBUTIONS]

    one_hot = np.eye(3, dtype=np.float32)
    for expected, *others in run(results, SCORES, CLASSES, one_hot, CLASSES.astype(np.uint8)):
        np.testing.assert_allclose(others, [expected] * 2, rtol=1e-6)


def test_focal_without_focus_is_cross_entropy():
    def results(inputs):
        def both(labels, weights):
            return [
                value_and_gradient(lambda logits, loss=loss: loss(logits, labels), inputs["logits"])
                for loss in (
                    functools.partial(losses.focal, gamma=0.0, alpha=weights),
                    functools.partial(losses.cross_entropy, class_weights=weights),
                )
            ]

        return [
            both(inputs[labels], weights)
            for labels in ("indices", "distributions")
            for weights in (None, inputs["class_weights"])
        ]

    for focal, cross_entropy in run(results, INPUTS):
        chex.assert_trees_all_close(focal, cross_entropy, rtol=1e-5, atol=1e-6)


def test_focal_of_two_classes_is_sigmoid_focal():
    # The softmax over (0, x) is the sigmoid of x.
    def both(x, labels, gamma):
        pairs = jnp.stack([jnp.zeros(17), x], axis=-1)
        of_two = losses.focal(pairs, labels, gamma=gamma, alpha=jnp.array([0.7, 0.3]))
        return of_two, losses.sigmoid_focal(x, labels, gamma=gamma, alpha=0.3)

    x, labels = np.linspace(-8, 8, 17, dtype=np.float32), np.arange(17) % 2
    gammas = (0.5, 1.0, 2.0, 5.0)
    results = run(lambda *inputs: [both(*inputs, gamma) for gamma in gammas], x, labels)
    for gamma, (actual, expected) in zip(gammas, results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=2e-3, atol=1e-9, err_msg=f"{gamma}")


def test_sigmoid_focal_equals_its_formula():
    random = np.random.default_rng(0)
    logits, soft = 3 * random.normal(size=(6, 5)), random.uniform(size=(6, 5))
    labels = np.stack([soft, soft.round()])
    options = list(itertools.product((0.0, 1.0, 2.0, 3.5), (None, 0.0, 0.25)))

    def of_all_options(logits, labels):
        logits = jnp.stack([logits] * 2)
        return [
            losses.sigmoid_focal(logits, labels, gamma=gamma, alpha=alpha)
            for gamma, alpha in options
        ]

    p = 1 / (1 + np.exp(-logits))
    truth = labels * p + (1 - labels) * (1 - p)
    surprise = -labels * np.log(p) - (1 - labels) * np.log(1 - p)
    results = run(of_all_options, logits, labels)
    for (gamma, alpha), actual in zip(options, results, strict=True):
        share = 1 if alpha is None else labels * alpha + (1 - labels) * (1 - alpha)
        expected = share * (1 - truth) ** gamma * surprise
        np.testing.assert_allclose(
            actual, expected, rtol=2e-4, atol=1e-7, err_msg=f"{gamma=}, {alpha=}"
        )


def test_sigmoid_focal_value():
    p = np.array([0.9, 0.8, 0.3, 0.1])
    loss = run(losses.sigmoid_focal, np.log(p / (1 - p)), np.array([1, 1, 0, 0]))
    np.testing.assert_allclose(loss.mean(), 0.0068402, atol=5e-8)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float32])
def test_sigmoid_focal_is_finite_at_saturated_logits(dtype):
    def results(logits, labels):
        return [
            value_and_gradient(
                functools.partial(losses.sigmoid_focal, labels=labels, gamma=gamma), logits
            )
            for gamma in (0.0, 0.5, 2.0)
        ]

    logits = np.array([1e4, 1e4, -1e4, -1e4, 90.0, 17.0], dtype)
    for value, gradient in run(results, logits, np.array([1, 0, 1, 0, 1, 1])):
        assert value.dtype == np.float32
        assert np.isfinite(value).all()
        assert np.isfinite(gradient.astype(np.float32)).all()
        np.testing.assert_allclose(value[:4], [0, 7500, 2500, 0], rtol=2e-3)


def test_sigmoid_focal_takes_booleans():
    def results(logits, *labels):
        return [losses.sigmoid_focal(logits, each) for each in labels]

    labels = np.array([True, False])
    of_booleans, of_numbers = run(results, np.float32([0.3, -2]), labels, labels.astype(np.float32))
    np.testing.assert_array_equal(of_booleans, of_numbers)


def test_any_batch_shape_and_vmap():
    def of_each_shape(logits, labels):
        return {
            name: (
                loss(logits.reshape(-1, 5), labels.ravel()),
                loss(logits, labels),
                jax.vmap(loss)(logits, labels),
                loss(logits[0, 0, 0], labels[0, 0, 0]),
                loss(logits[:0], labels[:0]),
            )
            for name, loss in PER_EXAMPLE.items()
        }

    random = np.random.default_rng(0)
    logits = random.normal(size=(2, 3, 4, 5)).astype(np.float32)
    labels = random.integers(0, 5, (2, 3, 4))
    for name, (rows, whole, mapped, one, none) in run(of_each_shape, logits, labels).items():
        expected = rows.reshape(2, 3, 4)
        np.testing.assert_allclose(whole, expected, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(mapped, expected, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(one, expected[0, 0, 0], rtol=1e-5, err_msg=name)
        assert none.shape == (0, 3, 4), name


@pytest.mark.usefixtures("unchecked")
@per_example
def test_wrong_shapes_are_named(loss):
    with pytest.raises(ValueError, match=r"\(3, 3\).*int32 labels of shape \(2,\)"):
        jax.eval_shape(loss, SCORES, CLASSES[:2])
    with pytest.raises(ValueError, match=r"classes, got shape \(3, 0\)"):
        jax.eval_shape(loss, SCORES[:, :0], CLASSES)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("loss", "labels", "options", "message"),
    [
        (losses.cross_entropy, np.ones(3), {}, r"float32 labels of shape \(3,\)"),
        (losses.weston_watkins_hinge, np.eye(3), {}, "integer type, got float32"),
        (losses.cross_entropy, CLASSES, {"class_weights": np.ones(4)}, r"\(4,\)"),
        (losses.focal, CLASSES, {"alpha": np.ones(4)}, r"alpha .* shape \(4,\)"),
        (losses.sigmoid_focal, CLASSES, {}, r"\(3, 3\) and \(3,\)"),
        (losses.cross_entropy, CLASSES, {"label_smoothing": 1.5}, "got 1.5"),
        (losses.focal, CLASSES, {"gamma": -1.0}, "got -1.0"),
        (losses.sigmoid_focal, np.eye(3), {"gamma": -1.0}, "got -1.0"),
        (losses.sigmoid_focal, np.eye(3), {"alpha": 2.0}, "got 2.0"),
        (losses.weston_watkins_hinge, CLASSES, {"margin": 0.0}, "got 0.0"),
    ],
)
def test_bad_arguments_are_named(loss, labels, options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(functools.partial(loss, **options), SCORES, labels)
