"""Parameters to fill in, and receptive fields: without compiling anything."""

import jax
import numpy as np
import pytest


@pytest.fixture(scope="session")
def fill():
    """Makes random variables for a model, which takes seconds less than compiling its `init`."""

    def draw(path, leaf, random, gain, biases):
        if path[-1].key in ("scale", "var"):
            return random.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype)
        fan_in = max(1, np.prod(leaf.shape[:-1]))
        scale = biases if path[-1].key in ("bias", "mean") else gain / np.sqrt(fan_in)
        return (random.normal(size=leaf.shape) * scale).astype(leaf.dtype)

    def make(model, images, gain=1.0, biases=1.0):
        random = np.random.default_rng(0)
        shapes = jax.eval_shape(model.init, jax.random.key(0), images)
        return jax.tree_util.tree_map_with_path(
            lambda *leaf: draw(*leaf, random, gain, biases), shapes
        )

    return make


@pytest.fixture
def receptive_field(monkeypatch):
    """Gives the side of the square of inputs that one output of a traced function can see.

    It follows the jaxpr: a window of k taps, d apart, over values s inputs apart widens the field
    by (k - 1) * d * s. Where branches meet, the widest counts.
    """
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")  # XLA's convolutions and windows

    def measure(function, image):
        closed = jax.make_jaxpr(function)(image)
        return _follow(closed.jaxpr, [(1, 1)])[-1][0]

    return measure


@pytest.fixture
def receptive_field_of(receptive_field):
    """Gives that side for a model's coarsest map."""

    def measure(model):
        def last_map(image):
            # Parameters are made along the way, of which nothing depends on the image.
            maps, _ = model.init_with_output(jax.random.key(0), image, method="features")
            return [*maps.values()][-1]

        return receptive_field(last_map, np.zeros((1, 64, 64, 3)))

    return measure


def _follow(jaxpr, fields):
    """Carries (field, step between values in inputs) from the inputs to the outputs of a jaxpr."""
    known = dict(zip(jaxpr.invars, fields, strict=True))

    def field(value):
        return None if hasattr(value, "val") else known.get(value)

    for equation in jaxpr.eqns:
        seen = [field(value) for value in equation.invars]
        given = [f for f in seen if f is not None]
        if not given:
            continue
        inner = [getattr(p, "jaxpr", None) for p in equation.params.values()]
        inner = [p for p in inner if hasattr(p, "eqns")]
        if inner:
            outputs = _follow(inner[0], seen)
        else:
            outputs = [_widen(equation, given)] * len(equation.outvars)
        known.update(zip(equation.outvars, outputs, strict=True))
    return [field(value) for value in jaxpr.outvars]


def _widen(equation, given):
    field, step = max(given)
    assert all(other == step for _, other in given)
    params = equation.params
    if equation.primitive.name == "conv_general_dilated":
        kernel_axis = params["dimension_numbers"].rhs_spec[2]
        taps = equation.invars[1].aval.shape[kernel_axis]
        dilation, stride = params["rhs_dilation"][0], params["window_strides"][0]
    elif equation.primitive.name == "reduce_window_max":
        taps, dilation = params["window_dimensions"][1], params["window_dilation"][1]
        stride = params["window_strides"][1]
    else:
        shape = equation.outvars[0].aval.shape
        before = [v.aval.shape for v in equation.invars if len(v.aval.shape) == 4]
        assert all(b[i] in (1, shape[i]) for b in before for i in (1, 2)), equation.primitive
        taps = dilation = stride = 1
    return field + (taps - 1) * dilation * step, step * stride
