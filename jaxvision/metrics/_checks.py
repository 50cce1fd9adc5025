"""Input checks of the metrics that run on the host."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float64, Int64

ArrayLike = np.ndarray | jax.Array | Sequence[Any]
"""NumPy and JAX arrays, lists and tuples."""


def floats(name: str, values: ArrayLike) -> Float64[np.ndarray, "..."]:
    """The values in float64; they must not be empty or contain NaN.

    >>> floats("scores", [1, 2])
    array([1., 2.])
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ValueError(f"{name} is empty, shape {array.shape}")
    if np.isnan(array).any():
        raise ValueError(f"{name} has {np.isnan(array).sum()} NaN of {array.size} values")
    return array


def classes(
    name: str, values: ArrayLike, num_classes: int | None = None
) -> Int64[np.ndarray, "..."]:
    """Class indices in int64, from integers, booleans, or floats without a fraction.

    >>> classes("labels", [True, False])
    array([1, 0])
    """
    array = np.asarray(values)
    if array.size == 0:
        raise ValueError(f"{name} is empty, shape {array.shape}")
    indices = array.astype(np.int64) if array.dtype.kind in "biu" else _integral(name, array)
    outside = indices < 0 if num_classes is None else (indices < 0) | (indices >= num_classes)
    if outside.any():
        allowed = "0 or more" if num_classes is None else f"0 to {num_classes - 1}"
        raise ValueError(f"{name} must be {allowed}, got {indices[outside].flat[0]}")
    return indices


def _integral(name: str, array: np.ndarray) -> Int64[np.ndarray, "..."]:
    values = array.astype(np.float64)
    fraction = ~(values == np.floor(values)) | np.isinf(values)
    if fraction.any():
        raise ValueError(f"{name} must be class indices, got {values[fraction].flat[0]}")
    return values.astype(np.int64)


def binary(name: str, values: ArrayLike) -> Bool[np.ndarray, "examples"]:
    """Labels 0 and 1, one per example, as booleans.

    >>> binary("labels", [1, 0])
    array([ True, False])
    """
    return vector(name, classes(name, values, 2)).astype(bool)


def vector(name: str, array: np.ndarray) -> np.ndarray:
    """The array, which must have one axis."""
    if array.ndim != 1:
        raise ValueError(f"{name} must have one value per example, got shape {array.shape}")
    return array


def same_length(**arrays: np.ndarray) -> int:
    """The length of the arrays, which must be the same.

    >>> same_length(labels=np.zeros(2), scores=np.zeros((2, 3)))
    2
    """
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            "one row per example is needed in each, got lengths "
            + ", ".join(f"{length} ({name})" for name, length in lengths.items())
        )
    return next(iter(lengths.values()))


def weights(
    values: ArrayLike | None, shape: tuple[int, ...]
) -> tuple[Float64[np.ndarray, "kept"], Bool[np.ndarray, "..."]]:
    """The weights above 0, flattened, and a mask of their places; None gives weights of 1.

    >>> weights([0.5, 0.0], (2,))
    (array([0.5]), array([ True, False]))
    """
    if values is None:
        return np.ones(shape).ravel(), np.ones(shape, bool)
    array = floats("weight", values)
    if array.shape != shape:
        raise ValueError(f"weight must have shape {shape}, got {array.shape}")
    if (array < 0).any() or np.isinf(array).any():
        raise ValueError("weight must be finite and not negative")
    return array[array > 0], array > 0


def probabilities(
    values: ArrayLike,
) -> Float64[np.ndarray, "examples"] | Float64[np.ndarray, "examples classes"]:
    """Checked probabilities of class 1, or rows of class probabilities that sum to 1.

    Rounding errors of a softmax in float32 are tolerated.

    >>> probabilities([0.25, 1.0])
    array([0.25, 1.  ])
    """
    array = floats("probabilities", values)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"probabilities must be of shape (examples,) or (examples, classes), got {array.shape}"
        )
    outside = (array < -1e-6) | (array > 1 + 1e-6)
    if outside.any():
        raise ValueError(f"probabilities must be in [0, 1], got {array[outside][0]}")
    if array.ndim == 2 and (off := np.abs(array.sum(axis=1) - 1)).max() > 1e-3:
        row = int(off.argmax())
        raise ValueError(f"row {row} of probabilities sums to {array[row].sum()}, not to 1")
    return np.clip(array, 0, 1)


def confidence_level(confidence: float) -> None:
    """Raises ValueError unless the confidence is between 0 and 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, such as 0.95, got {confidence}")
