"""How relevance passes operations other than linear layers, and what stays of it."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from jax import lax
from make_relevance import TARGET, draw_images
from relevance_networks import numbers, plain, residual

from jaxvision import ops
from jaxvision.explain import ExplainError, lrp, register_rule
from jaxvision.explain.rules import Composite, Epsilon, Flat, WSquare, primitives

ZERO = Epsilon(0.0)


@pytest.fixture(scope="module")
def arrays():
    random = np.random.default_rng(0)
    shapes = ((3, 6), (6, 6), (6, 4))
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


def test_without_stabilizer_it_is_the_gradient_times_the_input():
    """Of networks of ReLUs and maxima; biases get their own gradients."""

    @quick.jit
    def explain(x):
        return {
            f.__name__: (
                lrp(f, x, TARGET, rule=ZERO),
                x * jax.grad(lambda x, f=f: f(x)[np.arange(2), TARGET].sum())(x),
                f(x)[np.arange(2), TARGET],
            )
            for f in (plain, residual)
        }

    with jax.enable_x64(True):
        results = explain(draw_images(9))
    for found, expected, score in results.values():
        found, expected, score = numbers(found), np.asarray(expected), np.asarray(score)
        np.testing.assert_allclose(found.map, expected, atol=1e-9)
        assert found.error.max() < 1e-12
        assert not found.stabilizers.any()
        np.testing.assert_allclose(found.biases, score - np.sum(expected, (1, 2, 3)), rtol=1e-6)


def passed_on(function, x, **options):
    """The relevance of x where every output has the relevance 1."""

    def f(x):
        return function(x).reshape(len(x), -1)

    return lrp(f, x, lambda y: y.sum(1), rule=ZERO, **options)


def test_operations_on_one_array(arrays):
    """Activations pass relevance on, whatever their value; so do gates and normalizers."""
    x = np.abs(arrays[0]) + 0.1

    def gated(x):
        return x * jax.nn.sigmoid(x @ arrays[1])

    def normalized(x):
        return x * lax.rsqrt(jnp.square(x).mean(1, keepdims=True) + 1e-5)

    functions = {
        **{f.__name__: f for f in (jnp.tanh, jax.nn.sigmoid, jnp.sqrt, jnp.square, jnp.abs)},
        **{f.__name__: f for f in (jax.nn.silu, jax.nn.gelu, jax.nn.hard_swish, jax.nn.elu)},
        **{f.__name__: f for f in (jax.nn.leaky_relu, jax.nn.relu6, gated, normalized)},
        "exact gelu": partial(jax.nn.gelu, approximate=False),
        "power": lambda x: x**1.5,
        "reciprocal": lambda x: x * (1 + x) ** -2,
        "barrier": lambda x: lax.optimization_barrier((x, 2 * x))[1],
        "softmax": jax.nn.softmax,
        "scaled": lambda x: (-x / 3) * 2,
        "hidden": lambda x: x - lax.stop_gradient(x.max(1, keepdims=True)),
        "flipped": lambda x: jnp.roll(x[:, ::-1], 2, 1).reshape(-1, 2, 3).swapaxes(1, 2),
        "larger": lambda x: jnp.maximum(x, 0.3 * x),
        "rounded": lambda x: x.astype(jnp.bfloat16).astype(jnp.float32),
    }

    @quick.jit
    def explain(x):
        return {name: passed_on(function, x) for name, function in functions.items()}

    for name, found in explain(x).items():
        found = numbers(found)
        value = np.asarray(functions[name](x)).reshape(3, -1)
        if name == "flipped":
            value = x
        np.testing.assert_allclose(found.map, value, rtol=2e-2, atol=1e-6, err_msg=name)
        assert found.error.max() < 1e-2, name
        assert not found.biases.any(), name


def test_what_constants_and_padding_take(arrays):
    x = arrays[0]
    row = np.arange(6, dtype=np.float32)
    mask = row > 2
    functions = {
        "bias": (lambda x: x @ np.eye(6, dtype=np.float32) + row, x, 15 + 0 * x[:, 0]),
        "unfolded": (
            lambda x: jax.nn.relu(x @ np.eye(6, dtype=np.float32)) + row,
            np.maximum(x, 0),
            15 + 0 * x[:, 0],
        ),
        "shift of the images": (lambda x: (x - row) / 2, (x - row) / 2, 0 * x[:, 0]),
        "token": (lambda x: jnp.concatenate([x, jnp.ones((len(x), 2))], 1), x, 2 + 0 * x[:, 0]),
        "padding": (lambda x: jnp.pad(x, ((0, 0), (1, 1)), constant_values=2), x, 4 + 0 * x[:, 0]),
        "mask": (lambda x: jnp.where(mask, x, 7.0), x * mask, 21 + 0 * x[:, 0]),
        "two": (lambda x: jnp.where(mask, x, -x), np.where(mask, x, -x), 0 * x[:, 0]),
        "mean": (lambda x: x.mean(1), x / 6, 0 * x[:, 0]),
        "nothing": (lambda x: jnp.ones((len(x), 2)), 0 * x, 2 + 0 * x[:, 0]),
        "itself": (lambda x: x, x, 0 * x[:, 0]),
        "twice": (lambda x: jnp.concatenate([x, x], 1), 2 * x, 0 * x[:, 0]),
        "product": (lambda x: x * x[:, ::-1], x * x[:, ::-1], 0 * x[:, 0]),
    }

    @quick.jit
    def explain(x):
        return {name: passed_on(function, x) for name, (function, _, _) in functions.items()}

    for name, found in explain(x).items():
        found = numbers(found)
        _, expected, biases = functions[name]
        np.testing.assert_allclose(found.map, expected, rtol=1e-4, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(found.biases, biases, rtol=1e-4, atol=1e-5, err_msg=name)


def test_attention_gives_all_to_the_values(arrays):
    """Queries and keys form weights, which count as constants."""
    random = np.random.default_rng(1)
    x = random.normal(size=(2, 5, 6)).astype(np.float32)
    query, key, value = (random.normal(size=(6, 6)).astype(np.float32) for _ in range(3))

    def attend(x, y):
        weights = jax.nn.softmax(jnp.einsum("bqc,bkc->bqk", y @ query, y @ key), axis=-1)
        return jnp.einsum("bqk,bkc->bqc", weights, x @ value)

    @quick.jit
    def explain(x):
        constant = lambda y: attend(y, lax.stop_gradient(y))  # noqa: E731
        gradient = jax.grad(lambda y: constant(y).sum())(x)
        return passed_on(lambda x: attend(x, x), x), x * gradient

    found, expected = explain(x)
    np.testing.assert_allclose(found.map, expected, atol=1e-4)
    assert np.asarray(found.error).max() < 1e-4


def test_maxima_may_share_as_averages_do():
    x = np.array([[1, 3, 2, 2, 0, 0, -1, 2]], np.float32).reshape(1, 4, 2, 1)
    pool = lambda x: nn.max_pool(x, (2, 2), (2, 2))  # noqa: E731
    both = quick.jit(lambda x: [passed_on(pool, x, pooling=k).map for k in ("winner", "average")])(
        x
    )
    winner, average = (np.asarray(each).ravel().tolist() for each in both)
    assert winner == [0, 3, 0, 0, 0, 0, 0, 2]
    np.testing.assert_allclose(average, [3 / 8, 9 / 8, 6 / 8, 6 / 8, 0, 0, -2, 4], rtol=1e-5)


@pytest.mark.slow
def test_targets(arrays):
    """A class, classes of each row, the highest, and functions of the outputs."""
    x, first, last = arrays
    f = lambda x: jax.nn.relu(x @ first) @ last  # noqa: E731
    rows = np.array([3, 0, 1])

    @quick.jit
    def explain(x):
        found = [lrp(f, x, target) for target in (2, rows, None, lambda y: y[:, 0] - y[:, 1])]
        return found, f(x)

    found, logits = explain(x)
    logits = np.asarray(logits)
    scores = (logits[:, 2], logits[range(3), rows], logits.max(1), logits[:, 0] - logits[:, 1])
    for each, score in zip(map(numbers, found), scores, strict=True):
        np.testing.assert_allclose(each.map.sum(1) + each.stabilizers, score, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float64", marks=pytest.mark.slow)])
def test_dtypes(dtype):
    """Relevance is in float32 or wider; sums are not those that half precision has rounded."""
    with jax.enable_x64(True):
        images = draw_images(9).astype(jnp.dtype(dtype))
        found = quick.jit(lambda x: lrp(residual, x, 0))(images)
    assert found.map.dtype == (dtype if dtype == "float64" else "float32")
    assert np.asarray(found.error).max() < (1e-9 if dtype == "float64" else 2e-3)


@pytest.mark.slow
def test_rows_do_not_mix_and_may_be_none():
    images = draw_images(9).astype(np.float32)

    @quick.jit
    def explain(x):
        return lrp(plain, x, 0).map, lrp(plain, x[1:], 0).map, lrp(plain, x[:0], 0).map

    both, second, none = explain(images)
    np.testing.assert_allclose(both[1:], second, rtol=1e-3, atol=1e-5)
    assert none.shape == (0, 9, 9, 3)


def test_nan_is_no_conservation(arrays):
    f = lambda x: x @ arrays[2]  # noqa: E731
    found = quick.jit(lambda x: lrp(f, x, 0))(
        arrays[0] * np.array([[1], [np.nan], [1]], np.float32)
    )
    assert np.asarray(found.holds).tolist() == [True, False, True]


@pytest.mark.slow
def test_lowerings_of_convolutions_conserve():
    """What was lowered before is sums and products; the map of LRP-0 is the same."""
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 6, 7, 4)).astype(np.float32)
    kernel = random.normal(size=(3, 3, 1, 4)).astype(np.float32)
    depthwise = partial(
        ops.conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=4,
    )
    closed = jax.make_jaxpr(depthwise)(x[:1], kernel)
    assert "conv_general" not in str(closed)
    lowered = jax.extend.core.jaxpr_as_fun(closed)

    @quick.jit
    def explain(x, kernel):
        return (
            passed_on(lambda x: jax.nn.relu(lowered(x, kernel)[0]), x),
            passed_on(lambda x: jax.nn.relu(depthwise(x, kernel)), x),
        )

    found, expected = map(numbers, explain(x, kernel))
    assert found.error.max() < 1e-4
    np.testing.assert_allclose(found.map, expected.map, atol=1e-4)


class Net(nn.Module):
    """Two convolutions and a head, whose names composites find."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), name="stem")(x))
        x = nn.BatchNorm(use_running_average=True)(nn.Conv(4, (3, 3), name="body")(x))
        return nn.Dense(3, name="head")(nn.relu(x).mean((1, 2)))


@pytest.mark.slow
def test_composites_find_layers_by_name_and_depth():
    net = Net()
    images = draw_images(9).astype(np.float32)
    variables = jax.eval_shape(net.init, jax.random.key(0), images)
    random = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: (
            random.uniform(0.1, 1, leaf.shape).astype(np.float32)
            - 0.5 * (math.prod(leaf.shape) > 4)
        ),
        variables,
    )
    f = partial(net.apply, variables)
    named = Composite(Epsilon(), named={"stem$": Flat(), "Net/body": WSquare()})
    deep = Composite(Epsilon(), at={0: Flat(), -2: WSquare()})
    mixed = Composite(Epsilon(), first=Flat(), convolutions=WSquare())

    @quick.jit
    def explain(x):
        return [lrp(f, x, 0, rule=rule) for rule in (named, deep, mixed)]

    first, *others = map(numbers, explain(images))
    assert first.error.max() < 1e-4
    for other in others:
        np.testing.assert_array_equal(first.map, other.map)


def test_a_primitive_without_rule_is_named_with_its_line(arrays, monkeypatch):
    monkeypatch.setattr(
        primitives, "RULES", {k: v for k, v in primitives.RULES.items() if k != "cumprod"}
    )

    def f(x):
        return jnp.cumprod(x, axis=1)

    with pytest.raises(ExplainError, match=r"'cumprod', used in .*test_relevance.py:\d+ \(.*f\)"):
        lrp(f, jnp.asarray(arrays[0]))
    # Where it only forms a gate, it needs none.
    found = lrp(lambda x: x * jax.nn.sigmoid(f(x)), jnp.asarray(arrays[0]), 0)
    assert found.holds.all()


def test_a_registered_rule_is_used(arrays, monkeypatch):
    monkeypatch.setattr(primitives, "RULES", dict(primitives.RULES))
    register_rule("cumprod", lambda step: [step.relevance[0]])
    x = jnp.asarray(arrays[0])
    found = lrp(lambda x: jnp.cumprod(x, axis=1), x, 2)
    np.testing.assert_allclose(found.map[:, 2], np.prod(arrays[0][:, :3], 1), rtol=1e-5)
    assert found.holds.all()


def test_a_registered_rule_must_fit(arrays, monkeypatch):
    monkeypatch.setattr(primitives, "RULES", dict(primitives.RULES))
    register_rule("cumprod", lambda step: [step.relevance[0][:, :1]])
    with pytest.raises(ExplainError, match=r"'cumprod' must give .* \[\(1, 6\)\] or None, got"):
        lrp(lambda x: jnp.cumprod(x, axis=1), jnp.asarray(arrays[0]), 2)


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.ones((1, 2), np.uint8), {}, "got the dtype uint8 .*; scale them first"),
        (np.float32(1), {}, r"with a batch axis, .* the shape \(\)"),
        (np.ones((1, 2), np.float32), {"pooling": "max"}, "'winner', 'average'.*got 'max'"),
        (np.ones((1, 2), np.float32), {"target": jnp.sum}, r"one number per row, .*shape \(\)"),
        (np.ones((1, 2, 2), np.float32), {}, r"f must return logits .*got \(1, 2, 2\)"),
    ],
)
def test_what_cannot_be_explained(images, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        lrp(lambda x: x, images, **options)
