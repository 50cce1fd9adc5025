"""Parallel branches of layers whose outputs are concatenated, as in the Inception family."""

import dataclasses
from collections.abc import Callable
from functools import partial
from string import ascii_lowercase

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxvision.models.layers.convolution import ConvNorm, Size
from jaxvision.models.layers.initializers import INITIALIZERS, Initializer
from jaxvision.models.layers.normalization import NORM_EPSILON


@dataclasses.dataclass(frozen=True)
class ConvStep:
    """A convolution of a branch, with arguments of `conv`."""

    features: int
    kernel_size: Size = 1
    stride: int = 1
    padding: int | None = None


Fork = tuple[ConvStep, ...]
"""Convolutions of the same maps, whose outputs are concatenated."""
BranchItem = ConvStep | Fork | Callable[[Array], Array]


class Branches(nn.Module, kw_only=True):
    """Applies several sequences of layers to the same maps and concatenates their outputs.

    Item i of branch b is called `branch{b}_conv{i}`, followed by "a", "b", ... in a fork. Each
    convolution is a `ConvNorm`.

    Attributes:
        branches: Items of each branch: a `ConvStep`, a tuple of them (a fork), or a function of the
            maps without parameters, such as a pooling.
        norm, activation, epsilon, kernel_init, axis_name, dtype: See `ConvNorm`.

    Reference: Szegedy et al., Going deeper with convolutions, CVPR 2015, arXiv:1409.4842, figure 2.

    >>> import functools, jax, jax.numpy as jnp
    >>> fork = (ConvStep(6, (1, 3)), ConvStep(7, (3, 1)))
    >>> layer = Branches(branches=((ConvStep(8),), (ConvStep(4), fork)))
    >>> start = functools.partial(layer.init_with_output, train=False)
    >>> y, variables = jax.eval_shape(start, jax.random.key(0), jnp.ones((1, 5, 5, 3)))
    >>> y.shape, sorted(variables["params"])
    ((1, 5, 5, 21), ['branch0_conv0', 'branch1_conv0', 'branch1_conv1a', 'branch1_conv1b'])
    """

    branches: tuple[tuple[BranchItem, ...], ...]
    norm: str | None = "batch"
    activation: str = "relu"
    epsilon: float = NORM_EPSILON
    kernel_init: Initializer = INITIALIZERS["lecun_normal"]
    axis_name: str | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Float[Array, "batch out_height out_width out_channels"]:
        """Applies all branches and concatenates their channels."""
        conv_norm = partial(
            ConvNorm,
            norm=self.norm,
            activation=self.activation,
            epsilon=self.epsilon,
            kernel_init=self.kernel_init,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )

        def convolve(step: ConvStep, y: Array, name: str) -> Array:
            return conv_norm(**dataclasses.asdict(step), name=name)(y, train)

        outputs = []
        for b, steps in enumerate(self.branches):
            maps = [x]
            for i, step in enumerate(steps):
                name, before = f"branch{b}_conv{i}", _stack(maps)
                if isinstance(step, ConvStep):
                    maps = [convolve(step, before, name)]
                elif isinstance(step, tuple):
                    maps = [
                        convolve(part, before, name + ascii_lowercase[k])
                        for k, part in enumerate(step)
                    ]
                else:
                    maps = [step(before)]
            outputs += maps
        return _stack(outputs)


def _stack(maps: list[Array]) -> Array:
    return maps[0] if len(maps) == 1 else jnp.concatenate(maps, axis=-1)
