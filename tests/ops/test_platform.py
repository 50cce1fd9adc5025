"""Functions with a form for each platform, in programs that may run on any."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from jax import lax

from jaxvision import ops
from jaxvision.models.layers import activation
from jaxvision.ops.convolution import NHWC
from jaxvision.ops.platform import choose, for_one

CONVOLUTIONS = {
    "pointwise": ((1, 1, 8, 6), {}),
    "small": ((3, 3, 16, 4), {"channels": 16}),
    "strided patches": ((4, 4, 8, 6), {"window_strides": (4, 4)}),
    "depthwise": ((3, 3, 1, 8), {"feature_group_count": 8}),
    "grouped": ((3, 3, 2, 12), {"feature_group_count": 4}),
    "transposed": ((4, 4, 8, 6), {"lhs_dilation": (2, 2), "padding": [(2, 2), (2, 2)]}),
    "dilated": ((3, 3, 8, 6), {"rhs_dilation": (2, 2), "padding": [(2, 2), (2, 2)]}),
    "volumes": ((3, 3, 3, 2, 4), {"channels": 2}),
}
OTHERS = ("doubled", "doubled beside", "pooled")


def inputs(name: str) -> tuple[np.ndarray, np.ndarray, dict]:
    random = np.random.default_rng(0)
    kernel_shape, options = CONVOLUTIONS.get(name, ((3, 3, 8, 5), {}))
    options = {"window_strides": (1,) * (len(kernel_shape) - 2), "padding": "SAME", **options}
    channels = options.pop("channels", 8)
    space = (4, 6, 5) if len(kernel_shape) == 5 else (12, 8)
    maps = random.normal(size=(3, *space, channels)).astype(np.float32)
    return maps, random.normal(size=kernel_shape).astype(np.float32), options


def functions(name: str):
    """A function with forms, and the same by XLA's own operations."""
    maps, _, options = inputs(name)
    layout = ("NDHWC", "DHWIO", "NDHWC") if maps.ndim == 5 else NHWC
    native = functools.partial(lax.conv_general_dilated, dimension_numbers=layout, **options)
    if name == "pooled":
        return (
            lambda x, k: ops.max_pool(x, 3, 2, [(1, 1), (1, 1)]),
            lambda x, k: lax.reduce_window(
                x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 1), (0, 0)]
            ),
        )
    if name.startswith("doubled"):
        split = 8 if name == "doubled" else 5

        def parts(x):
            beside = None if split == 8 else jnp.tile(x[..., split:], (1, 2, 2, 1))
            return x[..., :split], beside

        def doubled_first(x, kernel):
            coarse, beside = parts(x)
            maps = [ops.resize(coarse, (24, 16), "nearest"), *([] if beside is None else [beside])]
            return native(jnp.concatenate(maps, -1), kernel)

        def ours(x, kernel):
            coarse, beside = parts(x)
            return ops.conv_doubled(coarse, kernel, beside)

        return ours, doubled_first
    return functools.partial(ops.conv_general_dilated, dimension_numbers=layout, **options), native


@pytest.fixture(scope="module")
def exported():
    """One program of all of them, for two platforms."""
    (batch,) = jax.export.symbolic_shape("batch")
    shapes = [
        (jax.ShapeDtypeStruct((batch, *maps.shape[1:]), maps.dtype), kernel)
        for maps, kernel, _ in map(inputs, (*CONVOLUTIONS, *OTHERS))
    ]

    def all_of_them(pairs):
        return [
            functions(name)[0](*pair)
            for name, pair in zip((*CONVOLUTIONS, *OTHERS), pairs, strict=True)
        ]

    made = jax.export.export(jax.jit(all_of_them), platforms=("cpu", "cuda"))(shapes)
    return jax.export.deserialize(made.serialize())


def test_every_form_gives_what_xla_does(exported) -> None:
    names = (*CONVOLUTIONS, *OTHERS)
    pairs = [inputs(name)[:2] for name in names]

    def by_xla(pairs):
        return [functions(name)[1](*pair) for name, pair in zip(names, pairs, strict=True)]

    given, wanted = quick.jit(exported.call)(pairs), quick.jit(by_xla)(pairs)
    for name, ours, theirs in zip(names, given, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4, err_msg=name)


def test_both_forms_are_in_the_program(exported) -> None:
    text = exported.mlir_module()
    assert text.count('"stablehlo.case"') >= len(CONVOLUTIONS) - 1
    assert "feature_group_count = 8 " in text  # XLA's own depthwise convolution


def test_a_usual_program_has_one_form() -> None:
    maps, kernel, _ = inputs("depthwise")
    text = jax.jit(functions("depthwise")[0]).lower(maps, kernel).as_text()
    assert "stablehlo.case" not in text
    assert "stablehlo.convolution" not in text


def test_activations_in_bfloat16() -> None:
    """On a CPU, and there alone, they are kept apart from what surrounds them."""
    (batch,) = jax.export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, 4), jnp.bfloat16)
    made = jax.export.export(jax.jit(activation("tanh")), platforms=("cpu", "cuda"))(shape)
    assert made.mlir_module().count("stablehlo.optimization_barrier") == 1
    x = np.linspace(-2, 2, 8).reshape(2, 4).astype(jnp.bfloat16)
    given = jax.jit(made.call)(x).astype(np.float32)
    np.testing.assert_allclose(given, np.tanh(x.astype(np.float32)), atol=0.01)


def test_the_form_for_a_cpu_sees_single_images() -> None:
    seen = []

    def cpu(x, y):
        seen.append((x.shape, y.shape))
        return x + y

    (batch,) = jax.export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, 4), np.float32)
    fn = jax.jit(lambda x: choose(cpu, lambda x, y: x + y, [x], [jnp.ones(4)]))
    made = jax.export.export(fn, platforms=("cpu", "tpu"))(shape)
    assert seen == [((1, 4), (4,))]
    np.testing.assert_array_equal(made.call(np.ones((3, 4), np.float32)), np.full((3, 4), 2))
    assert for_one((batch, 4)) == (1, 4)


@pytest.mark.parametrize("name", [*CONVOLUTIONS, "pooled"])
def test_native_forms_are_xlas_own_operations(name):
    """On a CPU too, while tracing; `jit` keeps what it has traced, unless it is disabled."""
    maps, kernel, _ = inputs(name)
    function, _ = functions(name)
    jitted = jax.jit(lambda *args: function(*args))

    def operations():
        return [e.primitive.name for e in jax.make_jaxpr(jitted)(maps, kernel).eqns]

    expected = "reduce_window_max" if name == "pooled" else "conv_general_dilated"
    with ops.native_forms(), jax.disable_jit():
        assert operations() == [expected]
    assert operations() == ["jit"]
