"""Selection of parameters by regular expressions over their paths."""

import re
from collections.abc import Sequence
from typing import Any

import jax

from jaxvision._trees import by_path, path_name
from jaxvision.suggest import unknown

PyTree = Any


def select(tree: PyTree, patterns: Sequence[str]) -> PyTree:
    """Marks the leaves whose path matches one of the patterns.

    A pattern must match the whole path of a leaf, or of a module that contains it: `"head"` selects
    `head/kernel` and `head/bias`, `"stage[34].*"` the last two stages, and `".*/bias"` every bias.

    Args:
        tree: The parameters.
        patterns: Regular expressions over paths such as `stage1_block0/conv1/kernel`. An empty
            sequence marks nothing.

    Returns:
        A tree of the same structure, True where a pattern matches.

    Raises:
        ValueError: A pattern is not a regular expression, or matches nothing, so that a mistyped
            name does not go unnoticed.

    >>> select({"stem": {"kernel": 1.0}, "head": {"kernel": 2.0, "bias": 3.0}}, ["head"])
    {'head': {'bias': True, 'kernel': True}, 'stem': {'kernel': False}}
    """
    if isinstance(patterns, str):
        raise ValueError(f"patterns must be a sequence of strings; write [{patterns!r}]")
    paths = {path for leaf in by_path(tree) for path in _path_and_above(leaf)}
    selected: set[str] = set()
    for pattern in patterns:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        matches = {path for path in paths if compiled.fullmatch(path)}
        if not matches:
            raise ValueError(f"no parameter matches: {unknown('pattern', pattern, paths)}")
        selected |= matches
    return jax.tree_util.tree_map_with_path(
        lambda path, _: not selected.isdisjoint(_path_and_above(path_name(path))), tree
    )


def partition(tree: PyTree, mask: PyTree) -> tuple[PyTree, PyTree]:
    """Splits a tree in two; each part has None where the other has the leaf.

    JAX and Optax treat None as an absent leaf, so that no gradients or optimizer moments exist for
    the leaves that are left out.

    Args:
        tree: Any tree.
        mask: A tree of the same structure, with booleans as leaves.

    Returns:
        The leaves where the mask is True, and those where it is False.

    >>> partition({"a": 1, "b": 2}, {"a": True, "b": False})
    ({'a': 1, 'b': None}, {'a': None, 'b': 2})
    """
    chosen = jax.tree.map(lambda leaf, keep: leaf if keep else None, tree, mask)
    rest = jax.tree.map(lambda leaf, keep: None if keep else leaf, tree, mask)
    return chosen, rest


def combine(first: PyTree, second: PyTree) -> PyTree:
    """Merges two trees of which each has None where the other has a leaf; undoes `partition`.

    >>> combine({"a": 1, "b": None}, {"a": None, "b": 2})
    {'a': 1, 'b': 2}
    """
    return jax.tree.map(
        lambda one, other: other if one is None else one,
        first,
        second,
        is_leaf=lambda leaf: leaf is None,
    )


def _path_and_above(name: str) -> list[str]:
    """`a/b/c`, `a/b` and `a`: the paths of a leaf and of the modules that contain it."""
    parts = name.split("/")
    return ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
