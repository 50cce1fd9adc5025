"""What the leaves of a tree are called."""

from collections.abc import Sequence
from typing import Any

import jax


def path_name(path: Sequence[Any]) -> str:
    """The path of a leaf as text, its parts joined by `/`.

    Args:
        path: What `jax.tree_util` hands over as the path of a leaf.

    Returns:
        For example `"stage1_block0/conv1/kernel"`.

    >>> leaves = jax.tree_util.tree_leaves_with_path({"head": {"bias": 0.0}})
    >>> path_name(leaves[0][0])
    'head/bias'
    """
    return jax.tree_util.keystr(tuple(path), simple=True, separator="/")


def by_path(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by the names of their paths.

    Args:
        tree: Any tree.

    Returns:
        A flat dict.

    >>> by_path({"head": {"bias": 0.0}})
    {'head/bias': 0.0}
    """
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
