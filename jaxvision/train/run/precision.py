"""Restored runs whose models compute in another floating-point type."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.train.run.restore import SavedRun

PyTree = Any
DTYPES = ("float32", "bfloat16")
"""The types that a model can compute in."""


def computing_in(run: SavedRun, dtype: str) -> SavedRun:
    """Returns the run as if its models had been created with `dtype`.

    In bfloat16, kernels and other matrices are stored in bfloat16 too, which halves them; biases,
    norms and statistics stay in float32. A network whose class has no field `dtype`, such as those
    of agents, computes in float32 with the rounded kernels. If nothing changes, the same object is
    returned.
    """
    described = {name: _with_dtype(each, dtype) for name, each in run.record.models.items()}
    state = _rounded(run.state) if dtype == "bfloat16" else run.state
    if described == run.record.models and state is run.state:
        return run
    record = dataclasses.replace(run.record, models=described)
    return dataclasses.replace(run, record=record, state=state)


def _with_dtype(description: Any, dtype: str) -> Any:
    """A model's description, and those of the models inside it, with another `dtype`."""
    if isinstance(description, list):
        return [_with_dtype(each, dtype) for each in description]
    if not isinstance(description, Mapping):
        return description
    changed = {name: _with_dtype(value, dtype) for name, value in description.items()}
    # With dtype None, a model computes in the type of its parameters, which is float32.
    if "dtype" in changed and not (changed["dtype"] is None and dtype == "float32"):
        changed["dtype"] = dtype
    return changed


def _rounded(state: PyTree) -> PyTree:
    """The state with all matrices among the parameters in bfloat16."""
    if not isinstance(state, Mapping):
        return state
    return {
        name: jax.tree.map(_narrow, value) if name in ("params", "ema_params") else _rounded(value)
        for name, value in state.items()
    }


def _narrow(leaf: Any) -> Any:
    if np.ndim(leaf) < 2 or not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    return np.asarray(leaf).astype(jnp.bfloat16)  # by NumPy, to compile nothing
