"""Weights of other libraries into a model, and back."""

import pathlib
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxvision._trees import by_path
from jaxvision.models.base import Model
from jaxvision.models.layout import Form, Layout
from jaxvision.models.weights.adaptation import (
    adapt,
    as_tree,
    check_accounted,
    sample_images,
    title,
    variable_shapes,
    warn_of_changes,
)
from jaxvision.models.weights.state_dict import StateDict, read_state_dict, write_state_dict
from jaxvision.models.weights.torch_files import WeightsError

PyTree = Any


class _Leaf(NamedTuple):
    """A leaf of a model, and where it is elsewhere."""

    shape: tuple[int, ...]
    name: str
    form: Form


def load_weights(
    model: Model,
    path: str | pathlib.Path,
    *,
    key: jax.Array | None = None,
    image_size: int | tuple[int, int] | None = None,
    new_head: bool = False,
) -> dict[str, PyTree]:
    """Reads weights that torchvision or timm trained, without torch.

    Every tensor of the file and every leaf of the model has to find its counterpart, running
    statistics included. Where the model has another number of classes than the weights, or these
    have no classifier at all, its head is made anew; where it has another number of channels, its
    stem is adapted (one channel takes the sum over the colors, more repeat them, scaled so that
    sums stay the same). A warning says so, and another where that library makes other logits of the
    same weights, because it has another epsilon.

    Args:
        model: A model that `create_model` made.
        path: A `.safetensors`, `.pth` or `.pt` file. No code in it is run.
        key: Draws a new head's parameters; None makes them zero, so that all classes begin alike.
        image_size: Height and width of the images the model is for; None takes its usual size. It
            matters to models that have parameters per place only.
        new_head: Whether to make the head anew though it fits, because the classes are others.

    Returns:
        The variables, `params` and perhaps `batch_stats`, in float32.

    Raises:
        WeightsError: The file cannot be read or would run code, or its tensors are not those of the
            model; the message lists what is missing and what is left over.
        OSError: The file cannot be read.

    >>> import tempfile
    >>> import jax.numpy as jnp
    >>> from jaxvision import models
    >>> model = models.create_model("resnet18", num_classes=10)
    >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    >>> variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes)
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/resnet18.safetensors"
    >>> save_weights(model, variables, path)
    >>> load_weights(model, path)["params"]["head"]["kernel"].shape
    (512, 10)
    >>> folder.cleanup()
    """
    state = read_state_dict(path)
    images = sample_images(model, image_size)
    shapes = variable_shapes(model, images)
    layout, leaves = _best_layout(model, shapes, state)
    state = {layout.current_name(name): array for name, array in state.items()}
    _check_names(model, path, layout, leaves, state)
    _compare_options(model, path, layout)
    fresh = None if key is None else model.init(key, images)

    def find(leaf_path: str) -> np.ndarray | None:
        return _read(leaves[leaf_path], state)

    adapted = adapt(model, shapes, find, fresh, new_head=new_head)
    if adapted.misfits:
        misfits = ((leaf_path, leaves[leaf_path]) for leaf_path in adapted.misfits)
        raise WeightsError(
            f"{path} does not fit {title(model)}:\n  "
            + "\n  ".join(
                f"{leaf_path} {leaf.shape} from {leaf.name} {state[leaf.name].shape}"
                for leaf_path, leaf in misfits
            )
        )
    warn_of_changes(f"{path} was", adapted.changes, stacklevel=3)
    return as_tree(shapes, adapted.leaves)


def save_weights(
    model: Model,
    variables: Mapping[str, PyTree],
    path: str | pathlib.Path,
    *,
    layout: str | None = None,
) -> None:
    """Writes weights under the names of another library, so that it can load them.

    Args:
        model: The model.
        variables: Its variables.
        path: A name that ends in `.safetensors`.
        layout: Whose names: "torchvision" or "timm"; None takes the first that knows the model.

    Raises:
        WeightsError: The names are not known for this model.
        ValueError: The file's name ends otherwise.

    See `load_weights` for an example.
    """
    layouts = _layouts(model)
    if layout is not None and layout not in layouts:
        raise WeightsError(
            f"{title(model)} is known under the names of {', '.join(layouts)}, not {layout!r}"
        )
    chosen = next(iter(layouts.values())) if layout is None else layouts[layout]
    _compare_options(model, path, chosen)
    tensors: StateDict = {}
    for leaf_path, leaf in _leaves(chosen, variables).items():
        value = np.asarray(_at(variables, leaf_path), np.float32)
        written = leaf.form.write(value)
        if leaf.name in tensors and leaf.form.axis is not None:  # the rest of the same tensor
            written = np.concatenate([tensors[leaf.name], written], leaf.form.axis)
        tensors[leaf.name] = written
        tensors.update(chosen.constants_beside(leaf.name))
    write_state_dict(path, tensors)


def _layouts(model: Model) -> Mapping[str, Layout]:
    layouts = model.layouts()
    if not layouts:
        raise WeightsError(
            f"{title(model)} exists in neither torchvision nor timm: there are no weights to load"
        )
    return layouts


def _leaves(layout: Layout, tree: PyTree) -> dict[str, _Leaf]:
    """All leaves of a tree of variables, by path."""
    return {
        path: _Leaf(leaf.shape, *layout.find(path.partition("/")[2], len(leaf.shape)))
        for path, leaf in by_path(tree).items()
    }


def _best_layout(model: Model, shapes: PyTree, state: StateDict) -> tuple[Layout, dict[str, _Leaf]]:
    """The layout that shares most names with a file."""

    def num_shared(candidate: tuple[Layout, dict[str, _Leaf]]) -> int:
        return sum(leaf.name in state for leaf in candidate[1].values())

    candidates = [(layout, _leaves(layout, shapes)) for layout in _layouts(model).values()]
    return max(candidates, key=num_shared)


def _check_names(
    model: Model,
    path: str | pathlib.Path,
    layout: Layout,
    leaves: Mapping[str, _Leaf],
    state: StateDict,
) -> None:
    wanted = {leaf.name for leaf in leaves.values()}
    missing = sorted(wanted - {*state})
    head = {leaf.name for leaf_path, leaf in leaves.items() if leaf_path.startswith("params/head/")}
    if head == {*missing}:  # weights that were trained without labels
        missing = []
    left = [name for name in sorted({*state} - wanted) if not layout.is_ignored(name)]
    unused = {part for name in left if (part := layout.unused_part(name)) is not None}
    left = [name for name in left if layout.unused_part(name) is None]
    check_accounted(f"{path} is not of {title(model)}", missing=missing, left=left)
    if unused:
        warnings.warn(
            f"{path}: {' and '.join(sorted(unused))} are left out, because the model has none",
            stacklevel=3,
        )


def _compare_options(model: Model, path: str | pathlib.Path, layout: Layout) -> None:
    """Warns if the model makes other logits of the same weights than the library with the names."""
    theirs = layout.options
    if any(getattr(model, option) != value for option, value in theirs.items()):
        ours = {option: getattr(model, option) for option in theirs}
        warnings.warn(
            f"{path}: under these names, {title(model)} has {_settings(theirs)} elsewhere, but "
            f"{_settings(ours)} here, so that the same weights make other logits; create it with "
            f"{_settings(theirs)} to load or to hand over weights",
            stacklevel=3,
        )


def _settings(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{option}={value!r}" for option, value in options.items())


def _read(leaf: _Leaf, state: StateDict) -> np.ndarray | None:
    """The tensor of a leaf in our arrangement; None if there is none, or its axes cannot be."""
    try:
        return leaf.form.read(np.asarray(state[leaf.name], np.float32))
    except (KeyError, ValueError, IndexError):
        return None


def _at(tree: Any, path: str) -> Any:
    for part in path.split("/"):
        tree = tree[part]
    return tree
