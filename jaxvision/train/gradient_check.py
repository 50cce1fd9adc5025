"""Comparison of numerical and analytic gradients."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvision._trees import path_name

PyTree = Any


@dataclasses.dataclass(frozen=True)
class LeafReport:
    """The result for one array of parameters.

    Attributes:
        name: The path of the array.
        checked: The number of entries compared.
        kinks: Entries skipped because the loss has a corner within the step, such as a ReLU at 0.
        error: The largest relative error, `|a - n| / max(|a|, |n|)`, less what rounding explains;
            NaN if a derivative or the loss is not finite.
        index: The entry with that error.
        analytic: Its derivative by automatic differentiation.
        numerical: Its derivative by the central difference.
    """

    name: str
    checked: int
    kinks: int
    error: float
    index: tuple[int, ...]
    analytic: float
    numerical: float


@dataclasses.dataclass(frozen=True)
class GradientReport:
    """The result of `gradient_check`; print it as a table.

    Attributes:
        leaves: One report per array of parameters.
        tolerance: The relative error up to which a gradient counts as right.
    """

    leaves: tuple[LeafReport, ...]
    tolerance: float

    @property
    def error(self) -> float:
        """The largest relative error of all arrays; NaN if any is NaN."""
        return float(np.max([leaf.error for leaf in self.leaves])) if self.leaves else 0.0

    @property
    def passed(self) -> bool:
        """Whether at least one gradient was compared, and all compared ones are right."""
        return self.error <= self.tolerance and any(leaf.checked for leaf in self.leaves)

    def __str__(self) -> str:
        width = max(len(name) for name in ["parameter", *(leaf.name for leaf in self.leaves)])
        header = f"{'parameter':{width}}  checked  kinks  largest error  analytic     numerical"
        rows = [
            f"{leaf.name:{width}}  {leaf.checked:7d}  {leaf.kinks:5d}  {leaf.error:13.1e}  "
            f"{leaf.analytic:+.4e}  {leaf.numerical:+.4e}"
            + ("" if leaf.error <= self.tolerance else f"  <- wrong at {list(leaf.index)}")
            for leaf in self.leaves
        ]
        verdict = "pass" if self.passed else "FAIL"
        last = f"{verdict}: largest relative error {self.error:.1e}, tolerance {self.tolerance:.0e}"
        return "\n".join([header, *rows, last])


def gradient_check(
    loss_fn: Callable[..., Any],
    params: PyTree,
    *args: Any,
    samples: int = 10,
    step_size: float = 1e-5,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> GradientReport:
    """Compares the gradient of a loss with central differences, `(f(w + h) - f(w - h)) / 2h`.

    Everything is computed in float64, in which a right gradient agrees to about 1e-7. A loss that
    computes in a narrower type itself cannot agree as well: make its model with `dtype=None`.

    Args:
        loss_fn: `loss_fn(params, *args)` returns a scalar, or a tuple that begins with one, as the
            losses of `make_train_step` do.
        params: The parameters to differentiate with respect to.
        *args: Further arguments: model state, batch, key. A fixed key keeps dropout fixed.
        samples: How many entries of each array to compare; smaller arrays are compared whole.
        step_size: The step h.
        tolerance: The largest relative error of a right gradient.
        seed: Seed of the choice of entries.

    Returns:
        A report, which prints as a table and has `passed` for tests.

    Raises:
        ValueError: There are no parameters, one is not floating-point, or an option is out of
            range.

    >>> def loss_fn(params):
    ...     return (params["w"] ** 3).sum()
    >>> print(gradient_check(loss_fn, {"w": jnp.array([1.0, -2.0])}))
    parameter  checked  kinks  largest error  analytic     numerical
    w                2      0        ...  +...e+0...  +...e+0...
    pass: largest relative error ..., tolerance 1e-05
    """
    if samples < 1 or step_size <= 0 or tolerance <= 0:
        raise ValueError(
            "samples, step_size and tolerance must be positive, got "
            f"{samples}, {step_size} and {tolerance}"
        )
    if not jax.tree.leaves(params):
        raise ValueError("there are no parameters to check")
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise ValueError(
                f"parameter {path_name(path)} has the type {jnp.result_type(leaf)}; only real "
                "floating-point parameters have a derivative"
            )
    with jax.enable_x64(True):
        params, args = jax.tree.map(_widen, (params, args))

        @jax.jit
        def value(params: PyTree, args: PyTree) -> Float[Array, ""]:
            result = loss_fn(params, *args)
            return result[0] if isinstance(result, tuple) else result

        gradients = jax.jit(jax.grad(value))(params, args)
        leaves, structure = jax.tree_util.tree_flatten_with_path(params)
        names = [path_name(path) for path, _ in leaves]
        arrays = [np.asarray(leaf) for _, leaf in leaves]
        rng = np.random.default_rng(seed)
        reports = []
        for position, (name, gradient) in enumerate(
            zip(names, jax.tree.leaves(gradients), strict=True)
        ):

            def shifted(index: tuple[int, ...], by: float, position: int = position) -> float:
                moved = arrays[position].copy()
                moved[index] += by
                changed = [*arrays[:position], moved, *arrays[position + 1 :]]
                return float(value(jax.tree.unflatten(structure, changed), args))

            chosen = rng.permutation(gradient.size)[:samples]
            indices = [tuple(map(int, np.unravel_index(i, gradient.shape))) for i in chosen]
            reports.append(_check_leaf(name, np.asarray(gradient), indices, shifted, step_size))
    return GradientReport(tuple(reports), tolerance)


def _check_leaf(
    name: str,
    gradient: np.ndarray,
    indices: list[tuple[int, ...]],
    shifted: Callable[..., float],
    step_size: float,
) -> LeafReport:
    worst = LeafReport(name, 0, 0, 0.0, (), 0.0, 0.0)
    checked = 0
    for index in indices:
        below, here, above = (shifted(index, by * step_size) for by in (-1, 0, 1))
        numerical = (above - below) / (2 * step_size)
        analytic = float(gradient[index])
        error = _relative_error(analytic, numerical, here, step_size)
        # A corner explains differences up to the jump between the slopes on its two sides. A
        # larger difference is a wrong gradient, even where the loss is curved.
        jump = abs((above - here) - (here - below)) / step_size
        size = max(abs(analytic), abs(numerical))
        if error > 1e-6 and jump > 1e-3 * size and jump >= abs(analytic - numerical):
            continue
        checked += 1
        # NaN is worse than any number.
        if checked == 1 or (math.isnan(error), error) > (math.isnan(worst.error), worst.error):
            worst = LeafReport(name, 0, 0, error, index, analytic, numerical)
    return dataclasses.replace(worst, checked=checked, kinks=len(indices) - checked)


def _relative_error(analytic: float, numerical: float, here: float, step_size: float) -> float:
    if not all(map(math.isfinite, (analytic, numerical, here))):
        return math.nan
    rounding = 1e-14 * max(abs(here), 1.0) / step_size  # the rounding error of the difference
    difference = max(abs(analytic - numerical) - rounding, 0.0)
    return difference / max(abs(analytic), abs(numerical)) if difference else 0.0


def _widen(leaf: Any) -> Any:
    """Floats as float64; keys and integers unchanged."""
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    array = np.asarray(leaf)
    return array.astype(np.float64) if jnp.issubdtype(array.dtype, jnp.floating) else array
