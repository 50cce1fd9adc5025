"""The text of `--help`, wrapped to the width of the terminal."""

import ast
import dataclasses
import inspect
import re
import textwrap
import types
import typing

from common.console import in_form


def describe(settings: type) -> None:
    """Makes the docstrings of fields the help texts of their flags, in groups too.

    tyro reads docstrings too, but keeps their line breaks in the middle of sentences.
    """
    hints = typing.get_type_hints(settings)
    said: dict[str, str] = {}
    for part in reversed(settings.__mro__):
        if dataclasses.is_dataclass(part):
            said |= _docstrings(part)
    for field in dataclasses.fields(settings):
        if field.name in said:
            field.metadata = types.MappingProxyType({**field.metadata, "help": said[field.name]})
        if dataclasses.is_dataclass(hints[field.name]):
            describe(hints[field.name])


def _docstrings(settings: type) -> dict[str, str]:
    """The docstrings below the fields of a dataclass."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    except OSError:  # the class has no source file
        return {}
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: in_form(" ".join(text.value.value.split()))
        for field, text in zip(definition.body, definition.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def wrapped(text: str, width: int) -> str:
    r"""Wraps paragraphs, and indented commands with backslashes, to a number of columns.

    >>> print(wrapped("Does this.\n\n    python do.py --what this", 24))
    Does this.
    <BLANKLINE>
        python do.py \
            --what this
    <BLANKLINE>
    """
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        if not paragraph.startswith(" "):
            lines += [*textwrap.wrap(paragraph, width), ""]
            continue
        for command in re.sub(r"\\\n\s*", "", paragraph).splitlines():
            lines += _broken(command, width)
        lines.append("")
    return "\n".join(lines)


def _broken(command: str, width: int) -> list[str]:
    """A command in lines, which are broken before flags where that is enough."""
    words = re.sub(r" {2,}", " ", command.strip())
    for text in (re.sub(r" (?!-)", "\u00a0", words), words):
        lines = textwrap.wrap(
            text,
            width - 2,
            initial_indent="    ",
            subsequent_indent="        ",
            break_on_hyphens=False,
            break_long_words=False,
        )
        if max(map(len, lines)) <= width - 2:
            break
    plain = [line.replace("\u00a0", " ") for line in lines]
    return [f"{line} \\" for line in plain[:-1]] + plain[-1:]
