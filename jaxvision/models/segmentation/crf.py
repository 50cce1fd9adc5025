"""A conditional random field that is trained together with a segmenter."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.models.description import register_module
from jaxvision.ops import BilateralKernel, GaussianKernel, dense_crf
from jaxvision.ops.crf import CRFMethod, Width


@register_module
class DenseCRF(nn.Module, kw_only=True):
    """CRF-RNN: refines logits by `ops.dense_crf`, with learned weights and compatibility.

    The parameters are a weight of each kernel for each class, and the compatibility of classes,
    which starts as the Potts model. The widths of kernels are not learned. (Zheng et al.,
    Conditional random fields as recurrent neural networks, ICCV 2015, arXiv:1502.03240.)

    Attributes:
        appearance_spatial: Width in pixels of the kernel of position and color: one number, or one
            per axis.
        appearance_color: Width of that kernel in color, in the unit of the images.
        appearance_weight: Initial weight of that kernel.
        smoothness_spatial: Width in pixels of the kernel of position alone: one number, or one per
            axis.
        smoothness_weight: Initial weight of that kernel.
        num_steps: Number of mean-field steps. The paper trains with 5 and tests with 10:
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
        """Computes log-probabilities, in float32 at least, from logits and the image."""
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
