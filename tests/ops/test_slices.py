"""Convolutions of volumes by their slices, against XLA's own."""

import functools

import jax
import numpy as np
import pytest
import quick
from jax import lax

from jaxvision import ops

NDHWC = ("NDHWC", "DHWIO", "NDHWC")
PLAIN = {"window_strides": (1, 1, 1), "padding": "SAME"}
CASES = {
    "same": ((2, 5, 6, 7, 4), (3, 3, 3, 4, 5), {}),
    "strided": ((2, 7, 6, 7, 4), (3, 2, 3, 4, 5), {"window_strides": (2, 3, 1)}),
    "apart": ((1, 8, 9, 8, 3), (2, 3, 1, 3, 4), {"rhs_dilation": (3, 2, 2), "padding": "VALID"}),
    "cut": ((1, 6, 6, 6, 2), (3, 3, 3, 2, 3), {"padding": [(-1, 4), (2, 0), (1, -1)]}),
    "grouped": ((2, 4, 5, 4, 6), (3, 3, 3, 2, 9), {"feature_group_count": 3}),
    "pointwise": ((2, 3, 4, 5, 6), (1, 1, 1, 6, 3), {}),
    "doubled": (
        (2, 3, 4, 3, 5),
        (2, 2, 2, 5, 3),
        {"lhs_dilation": (2, 2, 2), "padding": [(1, 1)] * 3},
    ),
    "spread": (
        (1, 4, 3, 3, 2),
        (3, 2, 4, 2, 3),
        {"lhs_dilation": (3, 1, 2), "rhs_dilation": (2, 1, 1), "padding": [(3, 2), (1, 0), (0, 3)]},
    ),
    "spread far": (
        (1, 3, 2, 2, 2),
        (1, 2, 2, 2, 3),
        {"lhs_dilation": (3, 2, 2), "padding": [(0, 1), (1, 1), (1, 1)]},
    ),
    "spread and strided": (
        (1, 4, 3, 3, 2),
        (3, 2, 2, 2, 3),
        {"lhs_dilation": (2, 1, 1), "window_strides": (2, 1, 1), "padding": [(0, 0)] * 3},
    ),
}
LEFT_TO_LAX = ("spread and strided",)


def derivatives(convolve, x, kernel, options):
    function = functools.partial(convolve, **{**PLAIN, **options}, dimension_numbers=NDHWC)
    output, backward = jax.vjp(function, x, kernel)
    return output, backward(output)


def draw(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("convolve", [ops.conv_general_dilated, ops.conv_in_loops])
def test_they_are_convolutions(convolve) -> None:
    values = {name: (draw(x, 0), draw(kernel, 1)) for name, (x, kernel, _) in CASES.items()}

    def each(convolve, values):
        return {
            name: derivatives(convolve, *values[name], options)
            for name, (_, _, options) in CASES.items()
        }

    ours, theirs = (
        jax.device_get(quick.jit(functools.partial(each, one))(values))
        for one in (convolve, lax.conv_general_dilated)
    )
    for name in CASES:
        for one, other in zip(*map(jax.tree.leaves, (ours[name], theirs[name])), strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max(), err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_none_is_left_to_xla_but_what_has_no_other_form(name: str) -> None:
    x, kernel, options = CASES[name]
    function = functools.partial(ops.conv_general_dilated, **{**PLAIN, **options})
    traced = jax.make_jaxpr(functools.partial(function, dimension_numbers=NDHWC))
    program = str(traced(np.zeros(x, np.float32), np.zeros(kernel, np.float32)))
    assert ("rhs_spec=(4, 3, 0, 1, 2)" in program) == (name in LEFT_TO_LAX)


def test_a_volume_without_room_for_the_kernel_is_left_to_lax() -> None:
    convolve = functools.partial(
        ops.conv_general_dilated, **{**PLAIN, "padding": "VALID"}, dimension_numbers=NDHWC
    )
    assert jax.eval_shape(convolve, np.zeros((1, 2, 5, 5, 3)), np.zeros((3, 3, 3, 3, 4))).shape == (
        (1, 0, 3, 3, 4)
    )
