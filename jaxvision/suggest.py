"""Error messages that name the nearest match."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

_MANY = 20
"""The most names that a message lists."""


def nearest(
    name: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> str | None:
    """Finds the known name that was probably meant.

    Capital letters, hyphens and underscores make no difference: `ResNet-18` is `resnet18`.

    Args:
        name: The name that was given.
        known: The names that exist.
        elsewhere: What other libraries call them: from a name of theirs to the known one.

    Returns:
        One of the known names; None if no name is near.

    >>> nearest("CIFAR10", ["cifar10", "mnist"]), nearest("zebra", ["cifar10", "mnist"])
    ('cifar10', None)
    >>> nearest("vit_base", ["vit_b_16", "mlp"], {"vit_base_patch16_224": "vit_b_16"})
    'vit_b_16'
    """
    names = sorted(known)
    spelled = {other: own for other, own in (elsewhere or {}).items() if own in names}
    spelled |= {own: own for own in names}  # a name of ours comes before one of others
    plain = {_plain(spelling): own for spelling, own in spelled.items()}
    if _plain(name) in plain:
        return plain[_plain(name)]
    small = {spelling.lower(): own for spelling, own in spelled.items()}
    close = difflib.get_close_matches(name.lower(), small, n=1)
    if not close and elsewhere and len(name) > 3:  # the beginning of a longer name of theirs
        close = [spelling for spelling in sorted(small) if spelling.startswith(name.lower())]
    return small[close[0]] if close else None


def unknown(
    kind: str, name: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> str:
    """Says that a name is unknown, which one was probably meant, and what there is.

    Args:
        kind: What the name is of, for example "model".
        name: The name that was not found.
        known: The names that exist.
        elsewhere: What other libraries call them; see `nearest`.

    Returns:
        One sentence for an exception.

    >>> unknown("model", "resnet81", ["lenet5", "resnet18"])
    "unknown model 'resnet81'; did you mean 'resnet18'? (known: lenet5, resnet18)"
    """
    names = sorted(known)
    meant = nearest(name, names, elsewhere)
    hint = f"; did you mean {meant!r}?" if meant is not None else ""
    shown = names
    if len(names) > _MANY:  # the first of the alphabet say nothing of many
        near = difflib.get_close_matches(name.lower(), names, n=8, cutoff=0.3) or names[:_MANY]
        shown = [*near, f"and {len(names) - len(near)} more"]
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(shown)})"


def shortened(values: Sequence[object], most: int = 8) -> str:
    """Writes values of which there may be many.

    Args:
        values: The values.
        most: How many to write.

    Returns:
        The first of them, and how many are left.

    >>> shortened([1, 2, 3, 4], most=2)
    '1, 2 and 2 more'
    """
    shown = ", ".join(map(str, values[:most]))
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())
