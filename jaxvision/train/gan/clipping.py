"""The bound of the first Wasserstein GAN on the slope of its critic: a box for the parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxvision.checks import check_positive

PyTree = Any


class _Clipped(optax.EmptyState):
    """The state of `clip_parameters`, by which `is_clipped` recognizes it in that of a chain."""


def is_clipped(opt_state: PyTree) -> bool:
    """Whether `clip_parameters` is part of the optimizer with this state.

    >>> is_clipped(optax.chain(optax.sgd(1.0), clip_parameters(0.01)).init({}))
    True
    """
    found = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, _Clipped))
    return any(isinstance(node, _Clipped) for node in found)


def clip_parameters(limit: int | float) -> optax.GradientTransformation:
    """Clips every parameter to [-limit, limit], as the last transformation of an optimizer.

    Args:
        limit: Largest absolute value; 0.01 in the paper of the Wasserstein GAN.

    Returns:
        A transformation whose `update` needs the parameters.

    Raises:
        ValueError: `limit` is not positive.

    Reference: Arjovsky et al., Wasserstein generative adversarial networks, ICML 2017,
    arXiv:1701.07875.

    >>> tx = optax.chain(optax.sgd(1.0), clip_parameters(0.01))
    >>> params = {"w": jnp.zeros(2)}
    >>> updates, _ = tx.update({"w": jnp.array([5.0, 0.005])}, tx.init(params), params)
    >>> print(optax.apply_updates(params, updates)["w"])
    [-0.01  -0.005]
    """
    check_positive("limit", limit)

    def update(updates: PyTree, state: _Clipped, params: PyTree = None) -> tuple[PyTree, _Clipped]:
        if params is None:
            raise ValueError(
                "parameters are clipped by update(updates, state, params): give params"
            )
        clipped = jax.tree.map(lambda u, p: jnp.clip(p + u, -limit, limit) - p, updates, params)
        return clipped, state

    return optax.GradientTransformation(lambda params: _Clipped(), update)
