"""Convolutions of every form against a sum over taps in NumPy, and that against `lax`.

XLA has ended the process for some of the programs that the forms become. The slow tests, and those
before a release, look for more of these: they draw what is convolved, and have it optimized.
"""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxvision import ops
from jaxvision.ops import depthwise, lowerings, windows, winograd
from jaxvision.ops.convolution import NHWC

FORMS = {
    "pointwise": {"kernel": (1, 1), "channels": 5, "features": 7},
    "depthwise": {"channels": 6, "features": 6, "groups": 6},
    "multiplied": {"channels": 3, "features": 6, "groups": 3},
    "grouped": {"channels": 12, "features": 6, "groups": 3},
    "blocks": {"channels": 96, "features": 192, "groups": 24},
    "transposed": {"channels": 4, "features": 5, "spread": (2, 3)},
    "transposed far": {"channels": 4, "features": 5, "spread": (2, 3), "kernel": (5, 2)},
    "transposed groups": {"channels": 4, "features": 6, "spread": (2, 2), "groups": 2},
    "dense": {"channels": 4, "features": 5},
    "small maps": {
        "channels": 17,
        "features": 5,
        "kernel": (3, 3),
        "strides": (1, 1),
        "dilation": (1, 1),
    },
    "patches": {
        "channels": 4,
        "features": 5,
        "kernel": (3, 2),
        "strides": (3, 2),
        "dilation": (1, 1),
    },
    "few numbers": {
        "channels": 1,
        "features": 17,
        "kernel": (4, 4),
        "strides": (2, 2),
        "dilation": (1, 1),
    },
    "tiles": {
        "channels": 4,
        "features": 5,
        "kernel": (3, 3),
        "strides": (1, 1),
        "dilation": (1, 1),
        "convolve": "by_tiles",
    },
    "products": {"channels": 4, "features": 5, "dilation": (1, 1), "convolve": "by_products"},
    "blocks of images": {
        "channels": 1,
        "features": 9,
        "kernel": (4, 5),
        "strides": (2, 2),
        "dilation": (1, 1),
        "convolve": "by_products",
    },
    "in a loop": {"channels": 4, "features": 5, "dilation": (1, 1), "convolve": "in_loops"},
    "in a loop, otherwise": {"channels": 6, "features": 4, "groups": 2, "convolve": "in_loops"},
}
SOME_FORMS = quick.only(
    FORMS,
    "pointwise",
    "depthwise",
    "grouped",
    "transposed",
    "small maps",
    "few numbers",
    "tiles",
    "products",
    "blocks of images",
    "in a loop",
)


def lay_out(x, case):
    """Views of the padded maps, in groups of channels: the maps alone, and what each tap sees."""
    kernel, groups, sizes, places, kept = case["kernel"], case["groups"], [], [], []
    for size, (low, high), spread in zip(
        case["shape"][1:3], case["pads"], case["spread"], strict=True
    ):
        before, reach = max(low, 0), (size - 1) * spread + 1
        sizes.append(before + reach + max(high, 0))
        places.append(slice(before, before + reach, spread))
        kept.append(slice(max(-low, 0), sizes[-1] - max(-high, 0)))
    full = np.zeros((case["shape"][0], *sizes, groups, kernel[2]))
    maps, padded = full[:, *places], full[:, *kept]
    maps[...] = np.reshape(x, maps.shape)

    def seen(axis, index):
        step = case["dilation"][axis]
        last = padded.shape[1 + axis] - step * (kernel[axis] - 1)
        return slice(index * step, last + index * step, case["strides"][axis])

    taps = itertools.product(range(kernel[0]), range(kernel[1]))
    return maps, {tap: padded[:, seen(0, tap[0]), seen(1, tap[1])] for tap in taps}


def by_groups(kernel, case):
    return np.reshape(kernel, (*case["kernel"][:3], case["groups"], -1)).astype(np.float64)


def output_of(x, kernel, case):
    """The convolution: a sum over taps."""
    _, seen = lay_out(x, case)
    weights = by_groups(kernel, case)
    products = [np.einsum("nhwgc,cgf->nhwgf", seen[tap], weights[tap]) for tap in seen]
    return sum(products).reshape(*products[0].shape[:3], -1)


def gradients_of(x, kernel, gradient, case):
    """What the gradient of the output becomes in the maps and in the kernel."""
    _, seen = lay_out(x, case)
    of_maps, of_seen = lay_out(np.zeros(x.shape), case)
    weights = by_groups(kernel, case)
    of_weights = np.zeros(weights.shape)
    gradient = np.reshape(gradient, (*gradient.shape[:3], case["groups"], -1))
    for tap in seen:
        of_seen[tap][...] += np.einsum("nhwgf,cgf->nhwgc", gradient, weights[tap])
        of_weights[tap] = np.einsum("nhwgc,nhwgf->cgf", seen[tap], gradient)
    return of_maps.reshape(x.shape), of_weights.reshape(kernel.shape)


def draw_values(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def without(*limits):
    """The function under test that takes a form also where that is not worth it."""

    def convolve(*arguments, **options):
        with pytest.MonkeyPatch.context() as patch:
            for limit in limits:
                patch.setattr(lowerings, limit, 0)
            return ops.conv_general_dilated(*arguments, **options)

    return convolve


CONVOLVE = {
    "anywhere": ops.conv_general_dilated,
    "in_loops": ops.conv_in_loops,
    "by_tiles": without("_MUCH_WORK", "_MANY_TILES", "_MANY_CHANNELS"),
    "by_products": without("_SOME_WORK", "_SOME_FEATURES"),
}


def ours(case):
    """The function under test."""
    return functools.partial(
        CONVOLVE[case["convolve"]],
        window_strides=case["strides"],
        padding=case["pads"],
        lhs_dilation=case["spread"],
        rhs_dilation=case["dilation"],
        dimension_numbers=NHWC,
        feature_group_count=case["groups"],
    )


def assert_near(got, expected, tolerance=1e-5, dtype=np.float32):
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert (one.shape, one.dtype) == (other.shape, dtype)
        scale = max(1.0, np.abs(other).max(initial=0))
        np.testing.assert_allclose(one.astype(np.float64), other, atol=tolerance * scale)


def values_of(case):
    """Maps, a kernel, a gradient of the output, and tangents of maps and kernel."""
    x, kernel = draw_values(case["shape"]), draw_values(case["kernel"], 1)
    gradient = draw_values(output_of(x, kernel, case).shape, 2)
    return x, kernel, gradient, draw_values(case["shape"], 3), draw_values(case["kernel"], 4)


def derivatives(case, x, kernel, gradient, *tangents):
    """The output, and its derivatives backward and forward."""
    output, backward = jax.vjp(ours(case), x, kernel)
    return output, backward(gradient), jax.jvp(ours(case), (x, kernel), tangents)[1]


def check_derivatives(*cases, jit=quick.jit):
    values = [values_of(case) for case in cases]

    def together(values):
        return [derivatives(case, *each) for case, each in zip(cases, values, strict=True)]

    results = jax.device_get(jit(together)(values))
    for case, (x, kernel, gradient, dx, dkernel), got in zip(cases, values, results, strict=True):
        backward = gradients_of(x, kernel, gradient, case)
        forward = output_of(dx, kernel, case) + output_of(x, dkernel, case)
        assert_near(got, (output_of(x, kernel, case), backward, forward))


def example(form, **changes):
    fixed = FORMS[form]
    kernel = fixed.get("kernel", (3, 2))
    return {
        "shape": (2, 5, 6, fixed["channels"]),
        "kernel": (*kernel, fixed["channels"] // fixed.get("groups", 1), fixed["features"]),
        "strides": (1, 1),
        "pads": [(1, 0), (1, 1)],
        "spread": fixed.get("spread", (1, 1)),
        "dilation": (1, 1),
        "groups": fixed.get("groups", 1),
        "convolve": fixed.get("convolve", "anywhere"),
        **changes,
    }


@pytest.mark.parametrize("form", FORMS)
def test_outputs_and_derivatives(form):
    fixed, cases = FORMS[form], []
    for taps, strides, dilation in (((2, 4), (3, 2), (3, 1)), ((3, 4), (2, 1), (1, 2))):
        case = example(form, pads=[(3, -1), (-1, 4)])
        case["shape"] = (2, 8, 9, fixed["channels"])
        case["kernel"] = (*fixed.get("kernel", taps), *case["kernel"][2:])
        case["dilation"] = fixed.get("dilation", dilation)
        case["strides"] = fixed.get("strides", (1, 1) if "spread" in fixed else strides)
        cases.append(case)
    check_derivatives(*cases)


@pytest.mark.parametrize("form", ["grouped", "transposed"])
def test_the_sum_over_taps_is_the_convolution_of_lax(form):
    # On maps that are padded and spread beforehand: XLA reads beside them where it pads itself.
    strides = (2, 1) if form == "grouped" else (1, 1)
    case = example(form, pads=[(3, -1), (-1, 4)], dilation=(2, 1), strides=strides)

    def theirs(x, kernel):
        edges = [
            (*pads, spread - 1) for pads, spread in zip(case["pads"], case["spread"], strict=True)
        ]
        return lax.conv_general_dilated(
            lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)]),
            kernel,
            strides,
            "VALID",
            rhs_dilation=case["dilation"],
            dimension_numbers=NHWC,
            feature_group_count=case["groups"],
        )

    def output_and_gradients(x, kernel, gradient):
        output, backward = jax.vjp(theirs, x, kernel)
        return output, backward(gradient)

    x, kernel, gradient, *_ = values_of(case)
    got = run(output_and_gradients, x, kernel, gradient)
    expected = output_of(x, kernel, case), gradients_of(x, kernel, gradient, case)
    assert_near(got, expected)


sizes = st.integers(1, 9)
steps = st.tuples(st.integers(1, 3), st.integers(1, 2))


@st.composite
def cases(draw, form):
    """Shapes and windows that leave an output."""
    fixed = FORMS[form]
    kernel = fixed.get("kernel") or draw(st.tuples(st.integers(1, 5), st.integers(1, 4)))
    spread = fixed.get("spread", (1, 1))
    dilation = fixed.get("dilation") or draw(steps)
    shape, pads = [], []
    for axis in (0, 1):
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        low, high = draw(st.integers(-1, 4)), draw(st.integers(-1, 4))
        size = draw(sizes)
        while (size - 1) * spread[axis] + 1 + low + high < reach or low + high + size < 1:
            size += 1
        shape.append(size)
        pads.append((low, high))
    return {
        "shape": (draw(st.integers(1, 3)), *shape, fixed["channels"]),
        "kernel": (*kernel, fixed["channels"] // fixed.get("groups", 1), fixed["features"]),
        "strides": (1, 1) if "spread" in fixed else draw(steps),
        "pads": pads,
        "spread": spread,
        "dilation": dilation,
        "groups": fixed.get("groups", 1),
        "convolve": fixed.get("convolve", "anywhere"),
    }


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_outputs_and_derivatives_of_drawn_cases(form, data):
    check_derivatives(data.draw(cases(form)), jit=jax.jit)


@pytest.mark.release
@pytest.mark.optimized
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=16, deadline=None)
@given(data=st.data())
def test_outputs_and_derivatives_of_many_drawn_cases(form, data):
    check_derivatives(data.draw(cases(form)), jit=jax.jit)


@pytest.mark.parametrize("form", SOME_FORMS)
def test_types(form):
    case = example(form)
    x, kernel, *_ = values_of(case)

    def check(got, x, kernel, tolerance):
        assert_near(got, output_of(x, kernel, case), tolerance, x.dtype)

    halves = [(x.astype(dtype), kernel.astype(dtype)) for dtype in (jnp.bfloat16, np.float16)]
    of_halves = run(lambda pairs: [ours(case)(*pair) for pair in pairs], halves)
    for got, pair, tolerance in zip(of_halves, halves, (2e-2, 2e-3), strict=True):
        check(got, *pair, tolerance)
    doubles = x.astype(np.float64), kernel.astype(np.float64)
    with jax.enable_x64(True):
        check(run(ours(case), *doubles), *doubles, 1e-12)


@pytest.mark.parametrize("form", SOME_FORMS)
def test_second_derivatives(form):
    # A convolution is linear in each argument, so that these are first ones of the tangents.
    case = example(form, shape=(2, 3, 3, FORMS[form]["channels"]))
    x, kernel, gradient, *tangents = values_of(case)

    def of_gradients(x, kernel, gradient, *tangents):
        def gradients(x, kernel):
            return jax.vjp(ours(case), x, kernel)[1](gradient)

        def forward(x, kernel):
            return jax.jvp(ours(case), (x, kernel), tangents)[1]

        return (
            jax.jvp(gradients, (x, kernel), tangents)[1],
            jax.vjp(gradients, x, kernel)[1](tangents),
            jax.vjp(forward, x, kernel)[1](gradient),
            jax.jvp(forward, (x, kernel), tangents)[1],
        )

    *of_tangents, twice = run(of_gradients, x, kernel, gradient, *tangents)
    assert_near(of_tangents, [gradients_of(*tangents, gradient, case)] * 3)
    assert_near(twice, 2 * output_of(*tangents, case))


@pytest.mark.parametrize("form", SOME_FORMS)
def test_vmap_over_maps_and_over_kernels(form):
    case = example(form)
    x, kernel = draw_values((3, *case["shape"])), draw_values((3, *case["kernel"]), 1)
    gradient = np.ones(output_of(x[0], kernel[0], case).shape)

    def gradients(x, kernel):
        output, backward = jax.vjp(ours(case), x, kernel)
        return backward(jnp.ones_like(output))

    def of_each(x, kernel):
        return (
            jax.vmap(gradients)(x, kernel),
            jax.vmap(gradients, (0, None))(x, kernel[0]),
            jax.vmap(gradients, (None, 0))(x[0], kernel),
        )

    pairs = ((0, 0), (1, 1), (2, 2)), ((0, 0), (1, 0), (2, 0)), ((0, 0), (0, 1), (0, 2))
    for got, places in zip(run(of_each, x, kernel), pairs, strict=True):
        each = [gradients_of(x[i], kernel[j], gradient, case) for i, j in places]
        assert_near(got, jax.tree.map(lambda *leaves: np.stack(leaves), *each))


def test_forms_of_long_convolutions():
    kernel = (3, 3, 64, 64)
    window = windows.Window(pads=((1, 1), (1, 1)))
    chosen = {
        (64, 32, 32, 64): lowerings.by_tiles,
        (32, 32, 32, 64): lowerings.dense,
        (6, 32, 32, 64): None,  # too little work
        (64, 4, 4, 64): lowerings.unfolded,
    }
    for shape, form in chosen.items():
        assert lowerings.for_cpu(shape, kernel, window) is form
    strided = window._replace(strides=(2, 2))
    assert lowerings.for_cpu((512, 32, 32, 64), kernel, strided) is lowerings.dense
    assert lowerings.for_cpu((512, 32, 32, 64), (3, 3, 64, 16), window) is None  # few features


@pytest.mark.parametrize("form", ["tiles", "products"])
def test_long_convolutions_of_half_precision_are_direct(form):
    case = example(form, pads=[(1, 1), (1, 1)])
    x, kernel, *_ = values_of(case)
    gradient = jax.grad(lambda x, kernel: ours(case)(x, kernel).sum(), 1)
    programs = [
        str(jax.make_jaxpr(gradient)(x.astype(dtype), kernel.astype(dtype)))
        for dtype in (np.float32, jnp.bfloat16)
    ]
    assert ["dot_general" in program for program in programs] == [True, False]


def test_tiles_are_as_exact_as_a_direct_sum():
    case = example("tiles", shape=(2, 16, 16, 128), kernel=(3, 3, 128, 64), pads=[(1, 1), (1, 1)])
    x, kernel, *_ = values_of(case)
    expected = output_of(x, kernel, case)
    direct = {**case, "convolve": "anywhere"}
    errors = [np.abs(run(ours(each), x, kernel) - expected).max() for each in (case, direct)]
    assert errors[0] < 2 * errors[1] < 1e-3


@pytest.mark.parametrize("form", ["tiles", "products"])
def test_chunks_of_images_need_not_have_the_same_size(form, monkeypatch):
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", 2 * 16 * 12 * 9 * 4)  # two images
    monkeypatch.setattr(windows, "CHUNK_BYTES", 2**12)
    check_derivatives(example(form, shape=(7, 5, 6, 4)))


@pytest.mark.parametrize("form", ["depthwise", "multiplied", "blocks", "transposed"])
def test_what_the_cache_does_not_hold_gives_the_same(form, monkeypatch):
    # No other test has as many images, so that JAX traces anew, and sees the limits set here.
    monkeypatch.setattr(windows, "CHUNK_BYTES", 2**12)
    monkeypatch.setattr(depthwise, "UNROLLED_TAPS", 2)
    check_derivatives(example(form, shape=(6, 5, 6, FORMS[form]["channels"])))


def test_derivative_to_one_argument_alone():
    case = example("depthwise")
    x, kernel, *_ = values_of(case)

    def loss(x, kernel):
        return (ours(case)(x, kernel) ** 2).sum()

    got = run(lambda *values: [jax.grad(loss, argument)(*values) for argument in (0, 1)], x, kernel)
    assert_near(got, gradients_of(x, kernel, 2 * output_of(x, kernel, case), case))


def test_gradients_of_groups_that_fill_one_block():
    # jaxlib 0.10 may crash where it sums a product of seven axes, see lowerings._join_groups.
    case = example("grouped", shape=(2, 5, 6, 32), kernel=(3, 3, 4, 64), groups=8)
    check_derivatives(case)
    x, kernel, *_ = values_of(case)
    gradients = jax.make_jaxpr(jax.grad(lambda *args: ours(case)(*args).sum(), (0, 1)))
    axes = re.findall(r"f32\[([\d,]*)\]", str(gradients(x, kernel)))
    assert max(len(shape.split(",")) for shape in axes) <= 6


@pytest.mark.parametrize("across", [False, True])
def test_gradient_where_two_taps_step_by_two(across):
    # XLA ends the process if it is given this padding, see dense.kept_pads.
    case = example(
        "dense", shape=(1, 1, 8, 4), kernel=(4, 2, 4, 5), strides=(2, 2), pads=[(2, 2), (1, 1)]
    )
    if across:
        case |= {"shape": (1, 8, 1, 4), "kernel": (2, 4, 4, 5), "pads": case["pads"][::-1]}
    check_derivatives(case)
