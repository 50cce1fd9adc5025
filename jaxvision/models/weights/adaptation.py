"""Fits parameters that were trained for other classes, channels or image sizes."""

import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxvision._trees import by_path, path_name
from jaxvision.models.weights.errors import WeightsError
from jaxvision.models.weights.names import TorchNames

MOST_TIMES = 64
"""A parameter is adapted only if it is at most this many times as large as the one in the model."""

PyTree = Any
Leaf = np.ndarray | jax.Array


@runtime_checkable
class HasTorchNames(Protocol):
    """A Linen module that can load weights of other libraries, as every `Model` can."""

    @property
    def in_channels(self) -> int | None:
        """The number of channels of its images; None stands for any."""

    @property
    def default_image_size(self) -> int:
        """Height and width of the images that it was made for."""

    @property
    def init(self) -> Callable[..., Any]:
        """The `init` of Linen modules."""

    def torch_names(self) -> Mapping[str, TorchNames]:
        """See `Model.torch_names`."""

    def adapt_parameter(
        self, path: str, value: np.ndarray, shape: tuple[int, ...]
    ) -> np.ndarray | None:
        """See `Model.adapt_parameter`."""


class Adapted(NamedTuple):
    """Leaves that were fitted to a model.

    Attributes:
        leaves: Values by path.
        changes: Descriptions of the leaves that were adapted or made anew.
        misfits: Paths of the leaves without a value that fits.
    """

    leaves: dict[str, Leaf]
    changes: list[str]
    misfits: list[str]


def adapt_variables(
    model: HasTorchNames,
    variables: Mapping[str, PyTree],
    *,
    image_shape: Sequence[int] | None = None,
    new_head: bool = False,
    key: jax.Array | None = None,
) -> dict[str, PyTree]:
    """Fits the variables of a model to one with other classes, channels or image sizes.

    A head for another number of classes is made anew, and a stem for another number of channels is
    adapted as in `load_weights`. A warning lists the changes.

    Args:
        model: The model that the variables are fitted to.
        variables: Variables of a model of the same architecture.
        image_shape: Height, width and channels of the images; None takes the model's default size.
        new_head: Whether to make the head anew even if it fits, because the classes are others.
        key: Random key for a new head; None makes it zero, so that all classes begin alike.

    Returns:
        The fitted variables; leaves that already fit are not copied.

    Raises:
        WeightsError: The variables are of another architecture; the message lists what is missing,
            what is left over and what does not fit.

    >>> from jaxvision import models
    >>> ten, five = (models.create_model("lenet5", num_classes=count) for count in (10, 5))
    >>> variables = jax.jit(ten.init)(jax.random.key(0), np.zeros((1, 32, 32, 1), np.float32))
    >>> with warnings.catch_warnings(action="ignore"):
    ...     variables = adapt_variables(five, variables, image_shape=(32, 32, 1))
    >>> variables["params"]["head"]["kernel"].shape
    (84, 5)
    """
    given = by_path(variables)
    images = (
        sample_images(model, None)
        if image_shape is None
        else jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    )
    shapes = variable_shapes(model, images)
    wanted = by_path(shapes)
    check_accounted(
        f"the variables are not of {title(model)}",
        missing=[path for path in wanted if path not in given and not is_head(path)],
        left=[path for path in given if path not in wanted],
    )
    fresh = None if key is None else fresh_variables(model, key, images)
    adapted = adapt(model, shapes, given.get, fresh, new_head=new_head)
    if adapted.misfits:
        raise WeightsError(
            f"the variables do not fit {title(model)}:\n  "
            + "\n  ".join(f"{p} {wanted[p].shape} from {given[p].shape}" for p in adapted.misfits)
        )
    warn_of_changes("the variables were", adapted.changes, stacklevel=3)
    return as_tree(shapes, adapted.leaves)


def adapt(
    model: HasTorchNames,
    shapes: PyTree,
    find: Callable[[str], Leaf | None],
    fresh: PyTree | None,
    *,
    new_head: bool,
) -> Adapted:
    """Finds a value for every leaf of `shapes`.

    `find` returns the trained value for a path, or None. A new head is taken from the variables
    `fresh`, or is zero if `fresh` is None.
    """
    fresh_leaves = {} if fresh is None else by_path(fresh)
    result = Adapted({}, [], [])
    for path, leaf in by_path(shapes).items():
        found = None if new_head and is_head(path) else find(path)
        value = None if found is None else _fit(model, path, found, leaf.shape)
        if value is None and is_head(path):
            value = fresh_leaves.get(path, np.zeros(leaf.shape, np.float32))
        if value is None:
            result.misfits.append(path)
            continue
        if found is None or found.shape != leaf.shape:
            before = "" if found is None else f"{found.shape} "
            result.changes.append(f"{path} {before}-> {leaf.shape}")
        result.leaves[path] = value
    return result


def check_accounted(problem: str, *, missing: Sequence[str], left: Sequence[str]) -> None:
    """Raises a `WeightsError` that lists the names without a counterpart, if there are any."""
    parts = [
        f"{where} ({len(names)}): {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
        for where, names in (
            ("the model has, the weights lack", missing),
            ("the weights have, the model lacks", left),
        )
        if names
    ]
    if parts:
        raise WeightsError("\n  ".join([f"{problem}:", *parts]))


def warn_of_changes(source: str, changes: Sequence[str], *, stacklevel: int) -> None:
    """Warns that `source`, the beginning of a sentence, was changed, if there are changes."""
    if changes:
        warnings.warn(
            f"{source} trained for other classes, channels or sizes; made anew or adapted: "
            + ", ".join(changes),
            stacklevel=stacklevel,
        )


def sample_images(
    model: HasTorchNames, image_size: int | tuple[int, int] | None
) -> jax.ShapeDtypeStruct:
    """The shape of one image; without `image_size`, of the model's default size."""
    size = model.default_image_size if image_size is None else image_size
    height, width = (size, size) if isinstance(size, int) else size
    return jax.ShapeDtypeStruct((1, height, width, model.in_channels or 3), jnp.float32)


def variable_shapes(model: HasTorchNames, images: jax.ShapeDtypeStruct) -> PyTree:
    """The shapes of a model's variables."""
    return jax.eval_shape(model.init, jax.random.key(0), images)


def fresh_variables(model: HasTorchNames, key: jax.Array, images: jax.ShapeDtypeStruct) -> PyTree:
    """Initializes the variables of a model, without computing an image."""
    return jax.jit(lambda key: model.init(key, jnp.zeros(images.shape, images.dtype)))(key)


def as_tree(shapes: PyTree, leaves: Mapping[str, Leaf], dtype: DTypeLike | None = None) -> PyTree:
    """Arranges leaves in a tree of JAX arrays; others are converted, to `dtype` if it is given."""

    def convert(leaf: Leaf) -> jax.Array:
        # jnp.asarray would compile a program for every shape; device_put may keep its input, hence
        # the copy.
        return leaf if isinstance(leaf, jax.Array) else jax.device_put(np.array(leaf, dtype))

    return jax.tree_util.tree_map_with_path(
        lambda path, _: convert(leaves[path_name(path)]), shapes
    )


def title(model: HasTorchNames) -> str:
    """The name of a model in messages."""
    spec = getattr(model, "spec", None)
    return spec.name if spec else type(model).__name__


def is_head(path: str) -> bool:
    """Whether a leaf is part of a classifier, auxiliary ones included."""
    module = path.rpartition("/")[0].rpartition("/")[2]
    return re.fullmatch(r"head\d*", module) is not None  # heads at several strides are numbered


def _fit(model: HasTorchNames, path: str, value: Leaf, shape: tuple[int, ...]) -> Leaf | None:
    """The value in the shape that the model has; None if it cannot be adapted."""
    if value.shape == shape:
        return value
    if value.size > MOST_TIMES * math.prod(shape):
        return None
    value = np.asarray(value)
    value = value.astype(np.promote_types(value.dtype, np.float32))
    if len(shape) == 4 and value.shape[:2] == shape[:2] and value.shape[3:] == shape[3:]:
        old, new = value.shape[2], shape[2]
        if new == model.in_channels and any(part.startswith("stem") for part in path.split("/")):
            return _with_channels(value, old, new)
    return model.adapt_parameter(path.partition("/")[2], value, shape)


def _with_channels(kernel: np.ndarray, old: int, new: int) -> np.ndarray:
    """Adapts a kernel to another number of input channels."""
    if new == 1:
        return kernel.sum(axis=2, keepdims=True)
    repeated = np.concatenate([kernel] * -(-new // old), axis=2)[:, :, :new]
    scaled: np.ndarray = repeated * np.float32(old / new)
    return scaled
