"""Derivatives of convolutions in forms of their own."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jaxvision.ops import windows
from jaxvision.ops.windows import Window

Array = jax.Array
Form = Callable[[Array, Array, Window], Array]


def with_derivatives(form: Form, of_maps: Form, of_kernel: Form) -> Form:
    """A form of a convolution whose derivative by each argument is computed by another form.

    A convolution is linear in each argument, so its derivative is the convolution of the tangent.
    The form to choose for it is one whose transpose, the gradient, is fast.

    Args:
        form: `form(maps, kernel, window)` convolves.
        of_maps: The same function, for tangents of the maps.
        of_kernel: The same function, for tangents of the kernel.
    """

    @functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
    def convolve(x: Array, kernel: Array, window: Window) -> Array:
        return form(x, kernel, window)

    def derivative(
        window: Window,
        primals: tuple[Array, Array],
        tangents: tuple[Array | SymbolicZero, Array | SymbolicZero],
    ) -> tuple[Array, Array]:
        x, kernel = primals
        dx, dkernel = tangents
        y = convolve(x, kernel, window)
        parts = []
        if not isinstance(dx, SymbolicZero):
            parts.append(of_maps(dx, kernel, window))
        if not isinstance(dkernel, SymbolicZero):
            parts.append(of_kernel(x, dkernel, window))
        return y, windows.add_up(parts) if parts else jnp.zeros_like(y)

    convolve.defjvp(derivative, symbolic_zeros=True)
    return convolve
