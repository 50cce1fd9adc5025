"""Command line: settings as flags, grouped in panels of `--help`, and one-line errors.

tyro makes and reads the flags. Before that, this module checks for the most frequent mistakes:
flags of other programs, and values that a flag does not accept.
"""

import contextlib
import dataclasses
import io
import re
import shutil
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NoReturn, TypeVar, get_args, get_origin

from common.console import console_command, in_form
from common.help import describe, wrapped
from common.other_programs import ADVICE

import tyro

from jaxvision.suggest import nearest

Settings = TypeVar("Settings")

FLAT = tyro.conf.OmitArgPrefixes
"""Marks a group of settings that is a panel of `--help` and whose flags omit the name of the group:
`--dataset`, not `--data.dataset`."""

UNNAMED = tyro.conf.arg(name="")
"""Marks a group that has neither a panel nor a name, but whose own groups keep their names, as in
`--appearance.weight`."""

_HELP = ("-h", "--help", "-H", "--help-verbose")


def read(settings: type[Settings], about: str | None) -> Settings:
    """Reads the settings of a script from the command line.

    Args:
        settings: Dataclass whose fields are flags or groups of flags.
        about: Text that `--help` begins with.

    Raises:
        SystemExit: After `--help`; or after a line about a wrong flag or value.
    """
    describe(settings)
    flags = flags_of(settings)
    arguments = shortened(sys.argv[1:], flags)
    if any(argument in _HELP for argument in arguments):
        print(wrapped(in_form(about or ""), shutil.get_terminal_size().columns))
    else:
        check(arguments, {flag.name: flag.kind for flag in flags})
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            chosen, left = tyro.cli(
                settings,
                description="",
                args=arguments,
                prog=console_command(),
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code == 2:  # tyro's, rather than that of a check of the settings
            end([_missing(errors.getvalue())])
        raise
    if left:
        end([f"unexpected argument {left[0]!r}; --help lists all options"])
    return chosen


class Flag(typing.NamedTuple):
    """A flag of the command line.

    Attributes:
        name: Name without the leading hyphens.
        kind: Type of its value.
        longer: Name with that of its group in front; equal to `name` if there is none.
    """

    name: str
    kind: Any
    longer: str


def flags_of(settings: type) -> list[Flag]:
    """Lists the flags of a dataclass of settings."""
    return [*_flags(settings, "", "", flat=False)]


def has_flag(settings: type, name: str) -> bool:
    """Whether settings have a flag with this name."""
    return any(flag.name == name for flag in flags_of(settings))


def _flags(settings: type, prefix: str, group: str, *, flat: bool) -> Iterator[Flag]:
    hints = typing.get_type_hints(settings, include_extras=True)
    for field in dataclasses.fields(settings):
        kind, *marks = _unpacked(hints[field.name])
        name = field.name.replace("_", "-")
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            is_flat = flat or FLAT in marks
            inside = prefix if UNNAMED in marks else f"{prefix}{name}."
            longer = group if {FLAT, UNNAMED} & {*marks} else f"{group}{name}."
            yield from _flags(kind, "" if is_flat else inside, longer, flat=is_flat)
        elif tyro.conf.Positional not in marks:
            yield Flag(f"{prefix}{name}", kind, f"{group}{name}")


def _unpacked(kind: Any) -> tuple[Any, ...]:
    """A type, and the marks of its annotation."""
    return get_args(kind) if get_origin(kind) is Annotated else (kind,)


def shortened(arguments: Sequence[str], flags: Sequence[Flag]) -> list[str]:
    """Removes the group's name where tyro does not know it: `--augmentation.flip` is `--flip`."""
    shorter = {f"--{flag.longer}": f"--{flag.name}" for flag in flags}
    for flag in flags:
        group, dot, name = flag.longer.rpartition(".")
        if dot and flag.longer != flag.name:
            shorter[f"--{group}.no-{name}"] = f"--no-{flag.name}"
    changed = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        changed.append(shorter.get(name.replace("_", "-"), name) + equals + value)
    return changed


def check(arguments: Sequence[str], flags: dict[str, Any]) -> None:
    """Ends the script with a line for every flag that does not exist or whose value is wrong.

    `flags` has the type of each flag's value, by the name of the flag.
    """
    faults = []
    for flag, values in _given(arguments):
        name = flag.replace("_", "-")
        group, dot, last = name.rpartition(".")
        positive = group + dot + last.removeprefix("no-")
        if name in flags:
            faults.append(_fault(f"--{name}", flags[name], values))
        elif flags.get(positive) is not bool:
            faults.append(_no_such(name, flags))
    wrong = [fault for fault in faults if fault]
    if wrong:
        end(wrong)


def end(faults: Sequence[str]) -> NoReturn:
    """Prints a line for each fault of the command line, and ends the script with status 2."""
    print("\n".join(faults), file=sys.stderr)
    raise SystemExit(2)


def _missing(text: str) -> str:
    """Shortens tyro's text about missing arguments to a line; leaves other texts as they are."""
    listed = text.partition("────── │")[0]  # a rule follows the list
    names = re.findall(r"^│ {5}(\S+(?: \S+)*) *│$", listed, re.MULTILINE)
    if not names or "Missing from" not in text:
        return text.rstrip()
    are = "are" if len(names) > 1 else "is"
    where = "" if names[0].startswith("-") else ", before the options"
    return f"{', '.join(names)} {are} required{where}; --help lists all options"


def _given(arguments: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yields each flag and the words that follow it."""
    starts = [i for i, each in enumerate(arguments) if re.match(r"--\w", each)]
    for start, end in zip(starts, [*starts[1:], len(arguments)], strict=False):
        flag, equals, value = arguments[start][2:].partition("=")
        yield flag, [value] if equals else [*arguments[start + 1 : end]]


def _fault(flag: str, kind: Any, values: Sequence[str]) -> str | None:
    """An error message about the values of a flag; None if they are right."""
    if kind is bool:
        if values and values[0].lower() in ("true", "false", "0", "1", "yes", "no"):
            turned_off = f"--no-{flag[2:]}"
            return f"{flag} takes no value, got {values[0]!r}: write {flag}, or {turned_off}"
        return None
    if get_origin(kind) is dict:
        return _fault_of_pairs(flag, get_args(kind), values)
    leaves = _leaves(kind)
    if any(leaf is not str and leaf not in _WORDS and not _is_choice(leaf) for leaf in leaves):
        return None  # tyro checks other types
    tuples = [get_args(each) for each in (kind, *get_args(kind)) if get_origin(each) is tuple]
    is_open = any(... in each for each in tuples)
    if not values and not is_open:
        return f"{flag} needs a value: {_allowed(leaves)}"
    most = len(values) if is_open else max([1, *map(len, tuples)])
    for value in values[:most]:
        if not any(_accepts(leaf, value) for leaf in leaves):
            return _refusal(flag, leaves, value)
    if tuples and any(_accepts(leaf, value) for leaf in leaves for value in values[most:]):
        return f"{flag} takes at most {most} values, got {len(values)}: {' '.join(values)}"
    return None


def _fault_of_pairs(flag: str, kinds: tuple[Any, ...], values: Sequence[str]) -> str | None:
    if not values or len(values) % 2:
        names = f"; names are {_allowed(_leaves(kinds[0]), ', ')}" if _is_choice(kinds[0]) else ""
        got = repr(" ".join(values)) if values else "nothing"
        return f"{flag} takes pairs of NAME VALUE, got {got}{names}"
    for index, value in enumerate(values):
        leaves = _leaves(kinds[index % 2])
        if not any(_accepts(leaf, value) for leaf in leaves):
            return _refusal(flag, leaves, value)
    return None


_WORDS = {int: "a whole number", float: "a number", type(None): "None"}


def _leaves(kind: Any) -> list[Any]:
    """The single types that a type consists of, such as those of a union or tuple."""
    if get_origin(kind) is Annotated:
        return _leaves(get_args(kind)[0])
    if get_origin(kind) in (typing.Union, types.UnionType, tuple):
        return [leaf for each in get_args(kind) if each is not ... for leaf in _leaves(each)]
    return [kind]


def _is_choice(leaf: Any) -> bool:
    return get_origin(leaf) is Literal


def _accepts(leaf: Any, value: str) -> bool:
    if leaf is type(None):
        return value == "None"
    if _is_choice(leaf):
        return value in map(str, get_args(leaf))
    try:
        leaf(value)
    except ValueError:
        return False
    return True


def _refusal(flag: str, leaves: Sequence[Any], value: str) -> str:
    choices = [str(each) for leaf in leaves if _is_choice(leaf) for each in get_args(leaf)]
    if choices and all(_is_choice(leaf) or leaf is type(None) for leaf in leaves):
        meant = nearest(value, choices)
        hint = f"; did you mean {meant}?" if meant else ""
        return f"{flag} must be one of {', '.join(choices)}, got {value!r}{hint}"
    return f"{flag} must be {_allowed(leaves)}, got {value!r}"


def _allowed(leaves: Sequence[Any], separator: str = " or ") -> str:
    words: list[str] = []
    for leaf in dict.fromkeys(leaves):
        choices = [str(each) for each in get_args(leaf)]
        words += choices if _is_choice(leaf) else [_WORDS.get(leaf, "text")]
    return separator.join(words)


def _no_such(name: str, flags: dict[str, Any]) -> str:
    """An error message about an unknown flag, with the flag that was probably meant."""
    meant, remark = ADVICE.get(name, (None, None))
    if meant is not None and meant.partition(" ")[0] not in flags:
        meant = remark = None
    if meant is None and remark is None:
        meant = nearest(name, flags)
    hint = f"; did you mean --{meant}?" if meant else ""
    remark = f" ({remark})" if meant and remark else f": {remark}" if remark else ""
    return f"there is no option --{name}{hint}{in_form(remark)}" + (
        "" if hint or remark else "; --help lists all options"
    )
