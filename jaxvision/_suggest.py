"""Error messages that name the nearest match."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Says that a name is unknown, which one was probably meant, and what there is.

    Args:
        kind: What the name is of, for example "model".
        name: The name that was not found.
        known: The names that exist.

    Returns:
        One sentence for an exception.

    >>> unknown("model", "resnet81", ["lenet5", "resnet18"])
    "unknown model 'resnet81'; did you mean 'resnet18'? (known: lenet5, resnet18)"
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    shown = names if len(names) <= 20 else [*names[:20], f"and {len(names) - 20} more"]
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(shown)})"
