"""The shapes in a model, which is traced once for all tests of a process."""

import dataclasses
import functools

import flax.linen as nn
import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Shapes:
    """What a model is made of, and what it makes of one image.

    Attributes:
        variables: Their shapes and types, by collection.
        maps: The height, width and channels of each feature map, by stride, finest first.
        logits: The shape of what a call gives.
    """

    variables: dict
    maps: dict[str, tuple[int, int, int]]
    logits: tuple[int, int]

    @property
    def num_parameters(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self.variables["params"]))


@functools.cache
def shapes_of(model: nn.Module, height: int, width: int, channels: int = 3) -> Shapes:
    """Traces a model for one image of these sizes: in tenths of a second, for nothing is compiled.

    The result is shared: nothing in it may be changed.
    """
    made = {}

    def note(call, args, kwargs, context):
        result = call(*args, **kwargs)
        if not context.module.path:
            made[context.method_name] = result
        return result

    def call(module, image):
        logits = module(image)
        # Most models make the maps on their way to the logits.
        return made["features"] if "features" in made else module.features(image), logits

    with nn.intercept_methods(note):
        (maps, logits), variables = jax.eval_shape(
            lambda image: model.init_with_output(jax.random.key(0), image, method=call),
            np.zeros((1, height, width, channels)),
        )
    strides = sorted(maps, key=lambda stride: stride)
    return Shapes(
        variables=variables,
        maps={stride: maps[stride].shape[1:] for stride in strides},
        logits=logits.shape,
    )
