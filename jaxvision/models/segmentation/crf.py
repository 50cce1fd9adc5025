"""A conditional random field that is learned with the segmenter under it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.models.description import register_module
from jaxvision.ops import BilateralKernel, GaussianKernel, dense_crf
from jaxvision.ops.crf import CRFMethod, Width


@register_module
class DenseCRF(nn.Module, kw_only=True):
    """CRF-RNN: refines logits by `ops.dense_crf`, whose weights and compatibility are learned.

    Parameters are a weight of each kernel for each class, and the compatibility of classes, which
    starts as the Potts model. Widths of kernels are not learned. (Zheng et al., Conditional random
    fields as recurrent neural networks, ICCV 2015, arXiv:1502.03240.)

    Attributes:
        appearance_spatial: The width of the kernel of place and color, in pixels: one number, or
            one for each axis.
        appearance_color: Its width in the unit of the images.
        appearance_weight: The weight that it starts with.
        smoothness_spatial: The width of the kernel of place alone, in pixels: one number, or one
            for each axis.
        smoothness_weight: The weight that it starts with.
        num_steps: The number of mean-field steps. The paper trains with 5 and tests with 10:
            `module.clone(num_steps=10)` has the same parameters.
        method: See `ops.dense_crf`.

    >>> module = DenseCRF()
    >>> logits, image = jnp.zeros((2, 8, 9, 4)), jnp.zeros((2, 8, 9, 3))
    >>> variables = jax.eval_shape(module.init, jax.random.key(0), logits, image)
    >>> {name: leaf.shape for name, leaf in variables["params"].items()}
    {'appearance_weight': (4,), 'compatibility': (4, 4), 'smoothness_weight': (4,)}
    """

    appearance_spatial: Width = 80.0
    appearance_color: int | float = 13 / 255
    appearance_weight: int | float = 10.0
    smoothness_spatial: Width = 3.0
    smoothness_weight: int | float = 3.0
    num_steps: int = 5
    method: CRFMethod = "auto"

    @nn.compact
    def __call__(
        self,
        logits: Float[Array, "batch *space classes"],
        image: Float[Array, "batch *space channels"],
    ) -> Float[Array, "batch *space classes"]:
        """Refines the logits.

        Args:
            logits: Unnormalized log-probabilities of the pixels.
            image: The image that they are of, whose values have the unit of `appearance_color`.

        Returns:
            The log-probabilities, in float32 at least.
        """
        classes = logits.shape[-1]

        def weight(name: str, start: int | float) -> Array:
            return self.param(name, nn.initializers.constant(start), (classes,))

        appearance = BilateralKernel(
            self.appearance_spatial,
            self.appearance_color,
            weight("appearance_weight", self.appearance_weight),
        )
        smoothness = GaussianKernel(
            self.smoothness_spatial, weight("smoothness_weight", self.smoothness_weight)
        )
        return dense_crf(
            logits,
            image,
            [appearance, smoothness],
            num_steps=self.num_steps,
            compatibility=self.param("compatibility", _potts, (classes, classes)),
            method=self.method,
        )


def _potts(key: jax.Array, shape: tuple[int, int]) -> Array:
    del key
    return 1 - jnp.eye(*shape)
