"""Convolutions of every form against `lax` on maps that are padded and spread beforehand.

XLA's convolutions on a CPU read beside the maps where a padding is negative, and their gradients do
where it is larger than the kernel reaches; hence the oracle is given none.
"""

import functools
import itertools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.test_util import check_grads

from jaxvision import ops
from jaxvision.ops import convolution, depthwise, windows

NHWC = convolution.NHWC
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
    "in a loop": {"channels": 4, "features": 5, "dilation": (1, 1), "in_loops": True},
    "in a loop, otherwise": {"channels": 6, "features": 4, "groups": 2, "in_loops": True},
}
SOME_FORMS = quick.only(FORMS, "pointwise", "depthwise", "grouped", "transposed", "in a loop")
sizes = st.integers(1, 9)
steps = st.tuples(st.integers(1, 3), st.integers(1, 2))


def oracle(x, kernel, strides, pads, spread, dilation, groups):
    edges = [(low, high, step - 1) for (low, high), step in zip(pads, spread, strict=True)]
    padded = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    return lax.conv_general_dilated(
        padded,
        kernel,
        strides,
        "VALID",
        rhs_dilation=dilation,
        dimension_numbers=NHWC,
        feature_group_count=groups,
    )


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
        "in_loops": fixed.get("in_loops", False),
    }


def draw_values(shape, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def both(case):
    """The function under test and the oracle."""

    convolve = ops.conv_in_loops if case.get("in_loops") else ops.conv_general_dilated

    def ours(x, kernel):
        return convolve(
            x,
            kernel,
            case["strides"],
            case["pads"],
            lhs_dilation=case["spread"],
            rhs_dilation=case["dilation"],
            dimension_numbers=NHWC,
            feature_group_count=case["groups"],
        )

    names = ("strides", "pads", "spread", "dilation", "groups")
    return ours, functools.partial(oracle, **{name: case[name] for name in names})


def assert_near(got, expected, tolerance=1e-5):
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
        scale = max(1.0, np.abs(other).max(initial=0))
        np.testing.assert_allclose(one, other, atol=tolerance * scale)


def check_against_lax(case):
    x, kernel = draw_values(case["shape"]), draw_values(case["kernel"], 1)
    ours, theirs = both(case)
    gradient = draw_values(jax.eval_shape(theirs, x, kernel).shape, 2)
    tangents = (draw_values(case["shape"], 3), draw_values(case["kernel"], 4))

    @functools.partial(jax.jit, static_argnums=0)
    def everything(function, *primals):
        output, backward = jax.vjp(function, *primals)
        return output, backward(gradient), jax.jvp(function, primals, tangents)[1]

    assert_near(everything(ours, x, kernel), everything(theirs, x, kernel))


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=2, deadline=None, derandomize=True)
@given(data=st.data())
def test_results_and_gradients_are_those_of_lax(form, data):
    check_against_lax(data.draw(cases(form)))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=16, deadline=None)
@given(data=st.data())
def test_many_results_and_gradients_are_those_of_lax(form, data):
    check_against_lax(data.draw(cases(form)))


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
        **changes,
    }


@pytest.mark.parametrize("form", SOME_FORMS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_types(form, dtype):
    with jax.enable_x64(dtype == "float64"):
        case = example(form)
        x = draw_values(case["shape"], dtype=dtype)
        kernel = draw_values(case["kernel"], 1, dtype)
        ours, theirs = both(case)
        wide = jax.jit(lambda *args: theirs(*jax.tree.map(jnp.float32, args)).astype(dtype))
        tolerance = {"bfloat16": 2e-2, "float16": 2e-3}.get(dtype, 1e-5)
        assert_near(jax.jit(ours)(x, kernel), wide(x, kernel), tolerance)


@pytest.mark.parametrize("form", SOME_FORMS)
def test_second_derivatives(form):
    case = example(form, shape=(2, 3, 3, FORMS[form]["channels"]))
    with jax.enable_x64(True):
        x = draw_values(case["shape"], dtype=np.float64)
        kernel = draw_values(case["kernel"], 1, np.float64)
        check_grads(jax.jit(both(case)[0]), (x, kernel), order=2, modes=["fwd", "rev"])


@pytest.mark.parametrize("form", SOME_FORMS)
def test_vmap_over_maps_and_over_kernels(form):
    case = example(form)
    x, kernel = draw_values((3, *case["shape"])), draw_values((3, *case["kernel"]), 1)
    ours, theirs = both(case)

    def gradients(function, x, kernel):
        return jax.vjp(function, x, kernel)[1](jnp.ones(jax.eval_shape(function, x, kernel).shape))

    of_lax = jax.jit(functools.partial(gradients, theirs))
    for axes in ((0, 0), (0, None), (None, 0)):
        given_x, given_kernel = (
            values if axis == 0 else values[0]
            for values, axis in zip((x, kernel), axes, strict=True)
        )
        got = jax.jit(jax.vmap(functools.partial(gradients, ours), axes))(given_x, given_kernel)
        each = [
            of_lax(x[i if axes[0] == 0 else 0], kernel[i if axes[1] == 0 else 0]) for i in range(3)
        ]
        assert_near(got, jax.tree.map(lambda *leaves: np.stack(leaves), *each))


@pytest.mark.parametrize("form", FORMS)
def test_what_the_cache_does_not_hold_gives_the_same(form, monkeypatch):
    # No other test has as many images, so that JAX traces anew, and sees the limits set here.
    case = example(form, shape=(6, 5, 6, FORMS[form]["channels"]))
    x, kernel = draw_values(case["shape"]), draw_values(case["kernel"], 1)
    monkeypatch.setattr(windows, "CHUNK_BYTES", 2**12)
    monkeypatch.setattr(depthwise, "UNROLLED_TAPS", 2)
    ours, theirs = both(case)
    gradient = jnp.ones(jax.eval_shape(theirs, x, kernel).shape)

    @functools.partial(jax.jit, static_argnums=0)
    def everything(function, x, kernel):
        output, backward = jax.vjp(function, x, kernel)
        return output, backward(gradient)

    assert_near(everything(ours, x, kernel), everything(theirs, x, kernel))


def test_derivative_to_one_argument_alone():
    case = example("depthwise")
    x, kernel = draw_values(case["shape"]), draw_values(case["kernel"], 1)
    ours, theirs = both(case)
    for argument in (0, 1):

        def loss(function, argnums):
            return jax.jit(jax.grad(lambda *args: (function(*args) ** 2).sum(), argnums))(x, kernel)

        assert_near(loss(ours, argument), loss(theirs, argument))


def test_gradients_of_groups_that_fill_one_block():
    # jaxlib 0.10 may crash where it sums a product of seven axes, see lowerings._join_groups.
    case = example("grouped", shape=(2, 5, 6, 32), kernel=(3, 3, 4, 64), groups=8)
    check_against_lax(case)
    x, kernel = draw_values(case["shape"]), draw_values(case["kernel"], 1)
    gradients = jax.make_jaxpr(jax.grad(lambda *args: both(case)[0](*args).sum(), (0, 1)))
    axes = re.findall(r"f32\[([\d,]*)\]", str(gradients(x, kernel)))
    assert max(len(shape.split(",")) for shape in axes) <= 6


@pytest.mark.parametrize("across", [False, True])
def test_gradient_where_two_taps_step_by_two(across):
    # XLA ends the process if it is given this padding, see lowerings._kept_pads.
    case = example(
        "dense", shape=(1, 1, 8, 4), kernel=(4, 2, 4, 5), strides=(2, 2), pads=[(2, 2), (1, 1)]
    )
    if across:
        case |= {"shape": (1, 8, 1, 4), "kernel": (2, 4, 4, 5), "pads": case["pads"][::-1]}
    check_against_lax(case)


def test_other_platforms_keep_the_native_convolution(monkeypatch):
    case = example("depthwise")
    x, kernel = draw_values(case["shape"]), draw_values(case["kernel"], 1)
    assert "conv_general_dilated" not in str(jax.make_jaxpr(both(case)[0])(x, kernel))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "conv_general_dilated" in str(jax.make_jaxpr(both(case)[0])(x, kernel))


@pytest.mark.parametrize(
    ("x", "kernel", "options"),
    [
        ((2, 5, 8), (3, 8, 4), {"dimension_numbers": ("NHC", "HIO", "NHC"), "strides": (1,)}),
        ((2, 8, 5, 5), (4, 8, 1, 1), {"dimension_numbers": None}),
        ((4, 5, 5, 8), (1, 1, 8, 4), {"batch_group_count": 2}),
        ((0, 5, 5, 8), (3, 3, 1, 8), {"feature_group_count": 8}),
        ((2, 1, 1, 8), (3, 3, 1, 8), {"feature_group_count": 8, "padding": "VALID"}),
        ((2, 5, 5, 8), (3, 3, 1, 8), {"feature_group_count": 8, "preferred_element_type": "f8"}),
    ],
)
def test_what_has_no_other_form_is_left_to_lax(x, kernel, options):
    x, kernel = draw_values(x), draw_values(kernel, 1)
    strides = options.pop("strides", (1, 1))
    options = {"padding": "SAME", "dimension_numbers": NHWC, **options}
    if options.get("preferred_element_type"):
        options["preferred_element_type"] = jnp.float32
    padding = options.pop("padding")
    got = ops.conv_general_dilated(x, kernel, strides, padding, **options)
    assert_near(got, lax.conv_general_dilated(x, kernel, strides, padding, **options))


def test_wrong_channels_are_refused_as_by_lax():
    with pytest.raises(ValueError, match="feature dimension size"):
        ops.conv_general_dilated(
            jnp.ones((1, 5, 5, 6)), jnp.ones((1, 1, 5, 2)), (1, 1), "SAME", dimension_numbers=NHWC
        )


@pytest.mark.parametrize("size", [(4, 4), (2, 3), (1, 5)])
@pytest.mark.parametrize("flipped", [False, True])
def test_transposed_layer_is_that_of_flax(size, flipped):
    paddings = ["SAME", "VALID", 1, (1, 0), ((1, 2), (0, 3))]
    options = [
        {"strides": strides, "padding": padding, "transpose_kernel": flipped}
        for strides, padding in itertools.product([None, (2, 2), (3, 1)], paddings)
    ]
    x = draw_values((2, 4, 5, 6))
    params = {"kernel": draw_values((*size, 3, 6) if flipped else (*size, 6, 3))}
    variables = {"params": params | {"bias": draw_values((3,), 1)}}
    shapes = jax.tree.map(jax.typeof, variables)

    def results_of(kind):
        layers = [kind(3, size, **each) for each in options]
        for layer in layers:
            made = jax.eval_shape(layer.init, jax.random.key(0), x)
            assert jax.tree.map(jax.typeof, made) == shapes
        apply = quick.jit(lambda variables, x: [layer.apply(variables, x) for layer in layers])
        return apply(variables, x)

    assert_near(results_of(ops.ConvTranspose), results_of(nn.ConvTranspose))


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_layer_is_that_of_flax(groups):
    options = {"strides": 2, "padding": 1, "feature_group_count": groups}
    ours, theirs = ops.Conv(8, (3, 3), **options), nn.Conv(8, (3, 3), **options)
    x = draw_values((2, 7, 5, 8))
    variables, also = (jax.jit(layer.init)(jax.random.key(0), x) for layer in (theirs, ours))
    jax.tree.map(np.testing.assert_array_equal, also, variables)
    assert_near(jax.jit(ours.apply)(variables, x), jax.jit(theirs.apply)(variables, x))


def test_unknown_padding_of_a_transposed_convolution():
    with pytest.raises(ValueError, match="padding must be 'SAME', 'VALID' or pairs of numbers, go"):
        ops.conv_transpose(jnp.ones((1, 3, 3, 2)), jnp.ones((2, 2, 2, 2)), (2, 2), "FULL")
