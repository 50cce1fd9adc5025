"""One backbone under several heads, one for each task.

References: Caruana, Multitask learning, Machine Learning 28, 1997; Kendall et al., Multi-task
learning using uncertainty to weigh losses for scene geometry and semantics, CVPR 2018,
arXiv:1705.07115.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp
from flax.core import FrozenDict
from jaxtyping import Array, Float

from jaxvision.models.base import Images, Model
from jaxvision.models.description import register_module

Outputs = dict[str, Float[Array, "batch outputs"]]


class LogVariances(nn.Module):
    """A learned log variance per task, which weighs the task's loss (Kendall et al.).

    Attributes:
        tasks: Names of the tasks.
    """

    tasks: tuple[str, ...]

    @nn.compact
    def __call__(self) -> dict[str, Float[Array, ""]]:
        """Gives the log variance of every task; each starts at 0."""
        return {
            task: self.param(task, nn.initializers.zeros, (), jnp.float32) for task in self.tasks
        }


@register_module
class MultiHead(nn.Module, kw_only=True):
    """A model's backbone with one head per task, in place of the model's own head.

    Attributes:
        backbone: Model that computes the embedding for all heads; its own head is not created.
        heads: Number of outputs of each task, by the name of the task.
        learned_weights: Whether there is a log variance per task, for a loss that learns the
            weights of the tasks; see `train.multitask`.

    >>> import jax
    >>> from jaxvision import models
    >>> backbone = models.create_model("lenet5")
    >>> model = models.MultiHead(backbone=backbone, heads={"digit": 10, "slant": 1})
    >>> images = jnp.zeros((2, 32, 32, 1))
    >>> outputs, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), images)
    >>> {name: output.shape for name, output in outputs.items()}
    {'digit': (2, 10), 'slant': (2, 1)}
    """

    backbone: Model
    heads: Mapping[str, int]
    learned_weights: bool = False

    def __post_init__(self) -> None:
        if not self.heads:
            raise ValueError("heads must name at least one task")
        for name, size in self.heads.items():
            if not (isinstance(name, str) and name and f"head_{name}".isidentifier()):
                raise ValueError(f"a task's name must be letters, digits and _, not {name!r}")
            if size < 1:
                raise ValueError(f"the head of {name!r} must have 1 or more outputs, got {size}")
        self.heads = FrozenDict(self.heads)  # models are hashed
        super().__post_init__()

    def setup(self) -> None:
        """Defines the heads."""
        for name, size in self.heads.items():
            setattr(self, f"head_{name}", nn.Dense(size, dtype=self.backbone.dtype))
        if self.learned_weights:
            self.head_weights = LogVariances(tuple(self.heads))

    def __call__(self, x: Images, train: bool = False) -> Outputs:
        """Computes the outputs of every task, each (batch, outputs), by the task's name."""
        return self.with_log_variances(x, train)[0]

    def with_log_variances(
        self, x: Images, train: bool = False
    ) -> tuple[Outputs, dict[str, Float[Array, ""]]]:
        """Computes the outputs and the log variances (an empty dict if not learned), by task."""
        vector = self.backbone.embed(x, train)
        outputs = {name: getattr(self, f"head_{name}")(vector) for name in self.heads}
        return outputs, self.head_weights() if self.learned_weights else {}
