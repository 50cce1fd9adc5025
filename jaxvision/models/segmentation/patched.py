"""A segmenter that treats several pixels as one."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvision.models.base import Images
from jaxvision.models.description import register_module
from jaxvision.ops import depth_to_space, space_to_depth

Logits = Float[Array, "batch _ _ _"]


@register_module
class PatchedSegmenter(nn.Module, kw_only=True):
    """Lets a segmenter treat each patch of pixels as one pixel with more channels.

    Its convolutions cost `patch_size**2` times less, and see an area of the image that is larger by
    the same factor. Each pixel of a patch has logits of its own. Images whose size is no multiple
    of the patch are extended by repeating their last rows and columns, whose logits are dropped.

    Attributes:
        segmenter: A network that gives `patch_size**2` times as many logits as there are classes,
            at the size of its images.
        patch_size: Height and width of a patch.

    Reference: Shi et al., Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network, CVPR 2016, arXiv:1609.05158, for the rearrangement of
    logits.

    >>> import jax
    >>> from jaxvision import models
    >>> inner = models.ClassicUNet(num_classes=12, channels=(8, 16), padded=True)
    >>> model = PatchedSegmenter(segmenter=inner, patch_size=2)
    >>> images = jnp.zeros((1, 21, 30, 3))
    >>> jax.eval_shape(model.init_with_output, jax.random.key(0), images)[0].shape
    (1, 21, 30, 3)
    """

    segmenter: nn.Module
    patch_size: int

    def __post_init__(self) -> None:
        if self.patch_size < 1 or self._logits % self.patch_size**2:
            raise ValueError(
                f"patch_size must be 1 or more, and the segmenter have a multiple of patch_size**2 "
                f"logits, got {self.patch_size} and {self._logits}"
            )
        super().__post_init__()

    @property
    def _logits(self) -> int:
        count: int = self.segmenter.num_classes
        return count

    @property
    def num_classes(self) -> int:
        """The number of logits per pixel."""
        return self._logits // self.patch_size**2

    def __call__(self, x: Images, train: bool = False) -> Logits:
        """Computes logits, (batch, height, width, num_classes)."""
        logits = self.segmenter(self._patches(x), train)
        return self._pixels(logits, (x.shape[1], x.shape[2]))

    def with_auxiliary(self, x: Images, train: bool = False) -> tuple[Logits, tuple[Logits, ...]]:
        """Computes the logits, and those of the segmenter's auxiliary heads, if it has any."""
        if not hasattr(self.segmenter, "with_auxiliary"):
            return self(x, train), ()
        logits, coarse = self.segmenter.with_auxiliary(self._patches(x), train)
        pixels = self._pixels(logits, (x.shape[1], x.shape[2]))
        return pixels, tuple(depth_to_space(each, self.patch_size) for each in coarse)

    def _patches(self, x: Images) -> Images:
        missing = [(0, -size % self.patch_size) for size in x.shape[1:3]]
        filled = jnp.pad(x, [(0, 0), *missing, (0, 0)], mode="edge")
        return space_to_depth(filled, self.patch_size)

    def _pixels(self, logits: Logits, size: tuple[int, int]) -> Logits:
        return depth_to_space(logits, self.patch_size)[:, : size[0], : size[1]]
