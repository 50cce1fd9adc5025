"""Short texts of objects with arrays: shapes and types instead of all numbers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

_SHOWN = 60
"""Largest number of characters of a value without arrays."""


def brief(self: Any) -> str:
    """The text of a dataclass or named tuple, for its `__repr__`.

    Arrays are shown by type and shape, scalars by value, trees by their number of arrays and
    entries.

    >>> @dataclasses.dataclass
    ... class State:
    ...     step: int
    ...     params: dict
    ...     def __repr__(self):
    ...         return brief(self)
    >>> State(3, {"kernel": np.ones((3, 2), np.float32), "bias": np.ones(2, np.float32)})
    State(step=3, params={2 arrays, 8 numbers})
    """
    if dataclasses.is_dataclass(self):
        names = [field.name for field in dataclasses.fields(self) if field.repr]
    else:
        names = list(self._fields)
    texts = [f"{name}={_brief(getattr(self, name))}" for name in names]
    return f"{type(self).__name__}({', '.join(texts)})"


def _brief(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _of_array(value)
    if dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        return brief(value)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        text = _of_many(value)
        if text is not None:
            return text
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _of_array(array: Any) -> str:
    """A scalar by its value, other arrays by type and shape."""
    is_concrete = isinstance(array, jax.Array) and not isinstance(array, jax.core.Tracer)
    is_gone = is_concrete and array.is_deleted()
    is_number = array.ndim == 0 and jax.dtypes.issubdtype(array.dtype, np.number)
    is_here = isinstance(array, np.generic | np.ndarray) or (
        is_concrete and not is_gone and array.is_fully_addressable
    )
    if is_number and is_here:
        return f"{np.asarray(array).item():.6g}"
    text = f"{array.dtype}{list(array.shape)}"
    return f"{text} (used up)" if is_gone else text


def _of_many(values: Mapping[Any, Any] | Sequence[Any]) -> str | None:
    """The size of a mapping or sequence; None if it is short and has no arrays."""
    leaves = jax.tree.leaves(values)
    arrays = [leaf for leaf in leaves if hasattr(leaf, "shape") and hasattr(leaf, "dtype")]
    if arrays:
        numbers = sum(int(np.prod(array.shape)) for array in arrays)
        count = f"{len(arrays)} array" + ("s" if len(arrays) != 1 else "")
        text = f"{count}, {numbers:,} numbers"
        return f"{{{text}}}" if isinstance(values, Mapping) else f"({text})"
    if len(repr(values)) <= _SHOWN:
        return None
    text = "1 entry" if len(values) == 1 else f"{len(values)} entries"
    return f"{{{text}}}" if isinstance(values, Mapping) else f"[{text}]"
