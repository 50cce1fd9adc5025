"""Error messages that suggest the nearest match."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

_MANY = 20
"""Largest number of names that a message lists in full."""


def nearest(
    name: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> str | None:
    """Finds the known name that was probably meant, or None.

    Case, hyphens and underscores are ignored. `elsewhere` maps names of other libraries to known
    ones. Names that begin with the given one, or have it as a part, come before those spelled
    alike.

    >>> nearest("CIFAR10", ["cifar10", "mnist"]), nearest("zebra", ["cifar10", "mnist"])
    ('cifar10', None)
    >>> nearest("resnet20", ["resnet50", "cifar_resnet20"])
    'cifar_resnet20'
    >>> nearest("vit_base", ["vit_b_16", "mlp"], {"vit_base_patch16_224": "vit_b_16"})
    'vit_b_16'
    """
    names = sorted(known)
    spelled = {other: own for other, own in (elsewhere or {}).items() if own in names}
    spelled |= {own: own for own in names}  # own names take precedence
    plain = {_plain(spelling): own for spelling, own in spelled.items()}
    if _plain(name) in plain:
        return plain[_plain(name)]
    small = {spelling.lower(): own for spelling, own in spelled.items()}
    part = re.sub(r"\W", "_", name.lower())
    longer = [
        (not each.startswith(part), len(each), each)
        for each in small
        if len(part) > 2 and (each.startswith(part) or f"_{part}_" in f"_{each}_")
    ]
    if longer:
        return small[min(longer)[2]]
    close = difflib.get_close_matches(name.lower(), small, n=1)
    return small[close[0]] if close else None


def unknown(
    kind: str, name: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> str:
    """Writes an error message for an unknown name: the nearest match, and the known names.

    >>> unknown("model", "resnet81", ["lenet5", "resnet18"])
    "unknown model 'resnet81'; did you mean 'resnet18'? (known: lenet5, resnet18)"
    """
    names = sorted(known)
    meant = nearest(name, names, elsewhere)
    hint = f"; did you mean {meant!r}?" if meant is not None else ""
    shown = names
    if len(names) > _MANY:  # of many names, list those most similar
        near = difflib.get_close_matches(name.lower(), names, n=8, cutoff=0.3) or names[:_MANY]
        shown = [*near, f"and {len(names) - len(near)} more"]
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(shown)})"


def shortened(values: Sequence[object], most: int = 8) -> str:
    """Writes the first values of a sequence, and the number of the others.

    >>> shortened([1, 2, 3, 4], most=2)
    '1, 2 and 2 more'
    """
    shown = ", ".join(map(str, values[:most]))
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())
