"""Detection of the console command `jaxvision NAME`, which runs a script."""

import pathlib
import re
import sys

from jaxvision.command import OTHER_NAMES, commands


def console_command() -> str | None:
    """The words that started this program, such as `jaxvision train`; None for a script."""
    for index, word in enumerate(sys.orig_argv[1:-1], start=1):
        if pathlib.PurePath(word).name == "jaxvision":
            return f"jaxvision {sys.orig_argv[index + 1]}"
    return None


def in_form(text: str) -> str:
    """Names scripts in a text in the form in which this one was started.

    For a console command, `python experiments/evaluate.py`, and `evaluate.py` alone, become
    `jaxvision evaluate`.
    """
    if console_command() is None:
        return text
    known = commands()

    def command(found: re.Match[str]) -> str:
        name = OTHER_NAMES.get(found[1], found[1])
        return f"jaxvision {name}" if name in known else found[0]

    return re.sub(r"(?:python )?(?:\bexperiments/)?\b(\w+)\.py\b", command, text)
