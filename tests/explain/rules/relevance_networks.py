"""The networks of tests/fixtures/make_relevance.py in JAX, and the explanations of the fixture."""

from types import SimpleNamespace

import jax
import numpy as np
from jax import lax
from make_relevance import HIGH, LOW, draw

from jaxvision.explain.rules import AlphaBeta, Composite, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus

SUMS = Epsilon()
RULES = {
    "epsilon": Epsilon(),
    "epsilon_large": Composite(SUMS, convolutions=Epsilon(0.1), dense=Epsilon(0.1)),
    "gamma": Gamma(),
    "alpha2_beta1": AlphaBeta(),
    "z_plus": ZPlus(),
    "first_flat": Composite(SUMS, first=Flat()),
    "first_w_square": Composite(SUMS, first=WSquare()),
    "first_z_box": Composite(SUMS, first=ZBox(LOW, HIGH)),
    "epsilon_plus_flat": Composite(SUMS, convolutions=ZPlus(), first=Flat()),
    "epsilon_gamma_box": Composite(SUMS, convolutions=Gamma(), first=ZBox(LOW, HIGH)),
}


def convolve(x, name, features, stride=1, bias=True):
    kernel = draw(f"{name}.weight", (features, x.shape[-1], 3, 3)).transpose(2, 3, 1, 0)
    y = lax.conv_general_dilated(
        x,
        kernel.astype(x.dtype),
        (stride, stride),
        [(1, 1), (1, 1)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y + draw(f"{name}.bias", (features,)).astype(x.dtype) if bias else y


def normalize(x, name):
    mean, var, scale, bias = (
        draw(f"{name}.{leaf}", x.shape[-1:]).astype(x.dtype)
        for leaf in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) * (lax.rsqrt(var + 1e-5) * scale) + bias


def dense(x, name, features, bias=True):
    y = x @ draw(f"{name}.weight", (features, x.shape[-1])).T.astype(x.dtype)
    return y + draw(f"{name}.bias", (features,)).astype(x.dtype) if bias else y


def pool(x, operation, start):
    return lax.reduce_window(x, start, operation, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def plain(x, norm=True, bias=True):
    x = pool(jax.nn.relu(convolve(x, "conv1", 4, bias=bias)), lax.max, -np.inf)
    x = convolve(x, "conv2", 5, 2, bias=bias)
    x = jax.nn.relu(normalize(x, "norm2") if norm else x)
    x = (pool(x, lax.add, 0.0) / 4).reshape(len(x), 5)
    return dense(jax.nn.relu(dense(x, "fc1", 6, bias)), "fc2", 3, bias)


def residual(x):
    x = jax.nn.relu(normalize(convolve(x, "conv1", 4, 2, bias=False), "norm1"))
    y = jax.nn.relu(normalize(convolve(x, "conv2", 4, bias=False), "norm2"))
    y = normalize(convolve(y, "conv3", 4, bias=False), "norm3")
    return dense(jax.nn.relu(x + y).mean((1, 2)), "fc", 3)


def numbers(relevance):
    """The arrays of a result as NumPy's."""
    names = ("map", "error", "biases", "stabilizers")
    return SimpleNamespace(**{name: np.asarray(getattr(relevance, name)) for name in names})
