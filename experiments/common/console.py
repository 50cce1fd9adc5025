"""Detection of the console command `jaxvision NAME`, which runs a script."""

import pathlib
import sys


def console_command() -> str | None:
    """The words that started this program, such as `jaxvision train`; None for a script."""
    for index, word in enumerate(sys.orig_argv[1:-1], start=1):
        if pathlib.PurePath(word).name == "jaxvision":
            return f"jaxvision {sys.orig_argv[index + 1]}"
    return None
