"""Loads other libraries' weights into models, and saves weights for other libraries."""

import itertools
import operator
import pathlib
import warnings
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxvision._trees import by_path
from jaxvision.models.weights.adaptation import (
    HasTorchNames,
    adapt,
    as_tree,
    check_accounted,
    fresh_variables,
    sample_images,
    title,
    variable_shapes,
    warn_of_changes,
)
from jaxvision.models.weights.errors import WeightsError
from jaxvision.models.weights.names import Form, TorchNames
from jaxvision.models.weights.state_dict import StateDict, as_state_dict, write_state_dict

PyTree = Any


class _Leaf(NamedTuple):
    """The shape of a leaf, and the name and form of its tensor in another library."""

    shape: tuple[int, ...]
    name: str
    form: Form


def load_weights(
    model: HasTorchNames,
    source: str | pathlib.Path | Mapping[str, Any],
    *,
    key: jax.Array | None = None,
    image_size: int | tuple[int, int] | None = None,
    new_head: bool = False,
    prefer_ema: bool = True,
) -> dict[str, PyTree]:
    """Loads weights that torchvision or timm trained, without torch.

    Every tensor of the file and every leaf of the model must have a counterpart, running statistics
    included. A warning lists what was done to make them fit:

    - A prefix that all names share, such as `module.`, `_orig_mod.` or `model.`, is removed.
    - The head is made anew if the model has another number of classes than the weights, or if the
      weights have no classifier.
    - The stem is adapted to another number of channels: one channel takes the sum over the colors,
      more repeat them, scaled so that sums stay the same.

    Another warning lists options of the model, such as an epsilon, that differ from the other
    library's, so that the same weights give other logits.

    Args:
        model: A model of `create_model`, or your own module with the attributes and methods of
            `HasTorchNames`, such as a decoder over a backbone.
        source: A `.safetensors`, `.pth`, `.pt` or `.ckpt` file, whose code is never run; or arrays
            or torch tensors by name, such as a torch module's `state_dict()`.
        key: Random key for a new head; None makes it zero, so that all classes begin alike.
        image_size: Height and width of the images; None takes the model's default size. It matters
            only to models with parameters per position.
        new_head: Whether to make the head anew even if it fits, because the classes are others.
        prefer_ema: Whether to read the averaged weights where a file holds averaged and raw ones,
            as timm does; a warning says so.

    Returns:
        The variables in float32: `params`, and `batch_stats` if the model has any.

    Raises:
        WeightsError: The file is damaged or would run code, or its tensors do not match the model;
            the message lists what is missing and what is left over.
        OSError: The file cannot be read.

    >>> import tempfile
    >>> from jaxvision import models
    >>> model = models.create_model("squeezenet1_1", num_classes=10)
    >>> shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 64, 64, 3)))
    >>> variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/squeezenet.safetensors"
    >>> save_weights(model, variables, path)
    >>> load_weights(model, path)["params"]["head"]["kernel"].shape
    (512, 10)
    >>> folder.cleanup()
    """
    stored, where = as_state_dict(source, prefer_ema=prefer_ema)
    images = sample_images(model, image_size)
    shapes = variable_shapes(model, images)
    names, leaves, state, prefix = _best_fit(model, shapes, stored)
    _check_names(model, where, names, leaves, state)
    if prefix:
        warnings.warn(f"{where}: {prefix!r} was cut off the names of all tensors", stacklevel=2)
    _compare_options(model, where, names)
    fresh = None if key is None else fresh_variables(model, key, images)

    def find(leaf_path: str) -> np.ndarray | None:
        return _read(leaves[leaf_path], state)

    adapted = adapt(model, shapes, find, fresh, new_head=new_head)
    if adapted.misfits:
        misfits = ((leaf_path, leaves[leaf_path]) for leaf_path in adapted.misfits)
        raise WeightsError(
            f"{where} does not fit {title(model)}:\n  "
            + "\n  ".join(
                f"{leaf_path} {leaf.shape} from {leaf.name} {state[leaf.name].shape}"
                for leaf_path, leaf in misfits
            )
        )
    warn_of_changes(f"{where} was", adapted.changes, stacklevel=3)
    return as_tree(shapes, adapted.leaves, np.float32)


def save_weights(
    model: HasTorchNames,
    variables: Mapping[str, PyTree],
    path: str | pathlib.Path,
    *,
    library: str | None = None,
) -> None:
    """Writes weights under the names of another library, so that it can load them.

    See `load_weights` for an example.

    Args:
        model: The model of the variables.
        variables: Its variables.
        path: A file name that ends in `.safetensors`.
        library: The library: "torchvision" or "timm"; None takes the first that has the model.

    Raises:
        WeightsError: `library`, or every library, lacks this model.
        ValueError: `path` does not end in `.safetensors`.
    """
    known = _known_names(model)
    if library is not None and library not in known:
        raise WeightsError(
            f"{title(model)} is known under the names of {', '.join(known)}, not {library!r}"
        )
    chosen = next(iter(known.values())) if library is None else known[library]
    _compare_options(model, str(path), chosen)
    tensors: StateDict = {}
    for leaf_path, leaf in _leaves(chosen, variables).items():
        value = np.asarray(_at(variables, leaf_path), np.float32)
        written = leaf.form.write(value)
        if leaf.name in tensors and leaf.form.axis is not None:  # a further part of the tensor
            written = np.concatenate([tensors[leaf.name], written], leaf.form.axis)
        tensors[leaf.name] = written
        tensors.update(chosen.constants_beside(leaf.name))
    write_state_dict(path, tensors)


def _known_names(model: HasTorchNames) -> Mapping[str, TorchNames]:
    known = model.torch_names()
    if not known:
        raise WeightsError(
            f"{title(model)} exists in neither torchvision nor timm: there are no weights to load"
        )
    return known


def _leaves(names: TorchNames, tree: PyTree) -> dict[str, _Leaf]:
    """The leaves of a tree of variables by path, with their names in the other library."""
    return {
        path: _Leaf(leaf.shape, *names.find(path.partition("/")[2], len(leaf.shape)))
        for path, leaf in by_path(tree).items()
    }


class _Fit(NamedTuple):
    """How to read a file: names of a library, leaves, tensors by current name, prefix to remove."""

    names: TorchNames
    leaves: dict[str, _Leaf]
    state: StateDict
    prefix: str


def _best_fit(model: HasTorchNames, shapes: PyTree, stored: StateDict) -> _Fit:
    """Chooses the library and the prefix with which most names of a file match the model."""

    def num_shared(fit: _Fit) -> int:
        return sum(leaf.name in fit.state for leaf in fit.leaves.values())

    fits = []
    for names in _known_names(model).values():
        leaves = _leaves(names, shapes)
        for prefix in _shared_prefixes(stored):
            state = {
                names.current_name(name.removeprefix(prefix)): array
                for name, array in stored.items()
            }
            fits.append(_Fit(names, leaves, state, prefix))
    return max(fits, key=num_shared)


def _shared_prefixes(names: Collection[str]) -> list[str]:
    """Lists the prefixes that all names share, shortest first: "", "module.", "module.model."."""
    columns = zip(*(name.split(".")[:-1] for name in names), strict=False)
    shared = [column[0] for column in itertools.takewhile(lambda c: len({*c}) == 1, columns)]
    return ["".join(f"{part}." for part in shared[:depth]) for depth in range(len(shared[:8]) + 1)]


def _check_names(
    model: HasTorchNames,
    where: str,
    names: TorchNames,
    leaves: Mapping[str, _Leaf],
    state: StateDict,
) -> None:
    wanted = {leaf.name for leaf in leaves.values()}
    missing = sorted(wanted - {*state})
    head = {leaf.name for leaf_path, leaf in leaves.items() if leaf_path.startswith("params/head/")}
    if head == {*missing}:  # the weights have no classifier
        missing = []
    left = [name for name in sorted({*state} - wanted) if not names.is_ignored(name)]
    unused = {part for name in left if (part := names.unused_part(name)) is not None}
    left = [name for name in left if names.unused_part(name) is None]
    check_accounted(f"{where} is not of {title(model)}", missing=missing, left=left)
    if unused:
        warnings.warn(
            f"{where}: {' and '.join(sorted(unused))} are left out, because the model has none",
            stacklevel=3,
        )


def _compare_options(model: HasTorchNames, where: str, names: TorchNames) -> None:
    """Warns if the model's options differ from the library's, so that logits would differ."""
    theirs = names.options
    ours = {option: operator.attrgetter(option)(model) for option in theirs}
    if ours != {**theirs}:
        warnings.warn(
            f"{where}: in the library of these names, {title(model)} has {_settings(theirs)}, but "
            f"{_settings(ours)} here, so that the same weights give other logits; create it with "
            f"{_settings(theirs)} to load or to save weights",
            stacklevel=3,
        )


def _settings(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{option}={value!r}" for option, value in options.items())


def _read(leaf: _Leaf, state: StateDict) -> np.ndarray | None:
    """The tensor of a leaf in the layout of this library; None if it is missing or has other axes.

    It keeps its type: to convert it before its shape is known to fit might take all memory.
    """
    try:
        return leaf.form.read(state[leaf.name])
    except (KeyError, ValueError, IndexError):
        return None


def _at(tree: Any, path: str) -> Any:
    for part in path.split("/"):
        tree = tree[part]
    return tree
