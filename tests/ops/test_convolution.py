import functools

import jax
import numpy as np
import pytest
from jax import lax

from jaxvision import ops
from jaxvision.ops.convolution import NHWC


def program(convolve, x, kernel, strides=(1, 1), padding="SAME", **options):
    """What JAX traces, for arrays of these shapes."""

    def traced(x, kernel):  # a new function every time: JAX keeps what it has traced
        return convolve(x, kernel, strides, padding, **options)

    return str(jax.make_jaxpr(traced)(np.zeros(x), np.zeros(kernel)))


def test_other_platforms_keep_the_native_convolution(monkeypatch):
    depthwise = functools.partial(
        program,
        x=(2, 5, 6, 6),
        kernel=(3, 2, 1, 6),
        dimension_numbers=NHWC,
        feature_group_count=6,
    )
    assert "conv_general_dilated" not in depthwise(ops.conv_general_dilated)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert depthwise(ops.conv_general_dilated) == depthwise(lax.conv_general_dilated)


@pytest.mark.parametrize(
    ("x", "kernel", "options"),
    [
        ((2, 5, 8), (3, 8, 4), {"dimension_numbers": ("NHC", "HIO", "NHC")}),
        ((2, 8, 5, 5), (4, 8, 1, 1), {"dimension_numbers": None}),
        ((4, 5, 5, 8), (1, 1, 8, 4), {"batch_group_count": 2}),
        ((0, 5, 5, 8), (3, 3, 1, 8), {"feature_group_count": 8}),
        ((2, 1, 1, 8), (3, 3, 1, 8), {"feature_group_count": 8, "padding": "VALID"}),
        ((2, 5, 5, 8), (3, 3, 1, 8), {"feature_group_count": 8, "preferred_element_type": "f4"}),
    ],
)
def test_what_has_no_other_form_is_left_to_lax(x, kernel, options):
    options = {"dimension_numbers": NHWC, "strides": (1,) * (len(x) - 2), **options}
    ours, theirs = (
        program(convolve, x, kernel, **options)
        for convolve in (ops.conv_general_dilated, lax.conv_general_dilated)
    )
    assert ours == theirs


def test_wrong_channels_are_refused_as_by_lax():
    convolve = functools.partial(
        ops.conv_general_dilated, window_strides=(1, 1), padding="SAME", dimension_numbers=NHWC
    )
    with pytest.raises(ValueError, match="feature dimension size"):
        jax.eval_shape(convolve, np.ones((1, 5, 5, 6)), np.ones((1, 1, 5, 2)))


def test_unknown_padding_of_a_transposed_convolution():
    convolve = functools.partial(ops.conv_transpose, strides=(2, 2), padding="FULL")
    with pytest.raises(ValueError, match="padding must be 'SAME', 'VALID' or pairs of numbers, go"):
        jax.eval_shape(convolve, np.ones((1, 3, 3, 2)), np.ones((2, 2, 2, 2)))
