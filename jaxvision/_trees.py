"""Names of the leaves of a tree."""

from collections.abc import Sequence
from typing import Any

import jax


def path_name(path: Sequence[Any]) -> str:
    """The path of a leaf, as given by `jax.tree_util`, joined by `/`.

    >>> leaves = jax.tree_util.tree_leaves_with_path({"head": {"bias": 0.0}})
    >>> path_name(leaves[0][0])
    'head/bias'
    """
    return jax.tree_util.keystr(tuple(path), simple=True, separator="/")


def by_path(tree: Any) -> dict[str, Any]:
    """The leaves of a tree in a flat dict, by the names of their paths.

    >>> by_path({"head": {"bias": 0.0}})
    {'head/bias': 0.0}
    """
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
