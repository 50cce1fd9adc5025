"""Elementwise nonlinearities by name."""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxvision.checks import check_name
from jaxvision.ops.platform import choose

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "elu": jax.nn.elu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_swish": jax.nn.hard_swish,
    "identity": lambda x: x,
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


def activation(name: str) -> Callable[[Array], Array]:
    """Looks up an elementwise nonlinearity.

    Args:
        name: One of `ACTIVATIONS`. "gelu" is exact (by the error function), "hard_sigmoid" and
            "hard_swish" are piecewise (Howard et al., 2019, arXiv:1905.02244), "leaky_relu" has
            slope 0.01, "relu" has gradient 0 at 0, and "relu6" is at most 6.

    Returns:
        A function of one array.

    Raises:
        ValueError: There is no such activation.

    >>> activation("relu")(jnp.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    check_name("activation", name, ACTIVATIONS)
    return functools.partial(_alone_in_bfloat16, ACTIVATIONS[name])


def _alone_in_bfloat16(function: Callable[[Array], Array], x: Array) -> Array:
    """Keeps a bfloat16 activation out of XLA's fusions on the CPU.

    jaxlib 0.12.0 (not 0.10) computes wrong numbers where two fused activations of one kind read the
    same constant, as in `vgg11` and `wrn_28_2`.
    """
    y = function(x)
    if y.dtype != jnp.bfloat16:
        return y
    return choose(jax.lax.optimization_barrier, lambda y: y, [y])
