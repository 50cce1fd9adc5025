"""The start of a script, and its one-line error messages."""

import contextlib
import os
import pathlib
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from common import end_quietly
from common.console import in_form
from common.flags import FLAT, has_flag, read
from common.large_pages import use_large_pages

import jax

from jaxvision import data, models, train

UNUSABLE = (
    train.SettingsError,
    train.RunFolderError,
    train.CheckpointError,
    data.DatasetError,
    models.WeightsError,
    train.NonFiniteLossError,
)
"""Errors of the environment (files, settings, weights), and of a run that diverges, shown without a
traceback."""

__all__ = [
    "FLAT",
    "asking",
    "checking",
    "command",
    "ending",
    "figures_in",
    "keep_command",
    "kept_command",
    "start",
    "started_as",
]

Settings = TypeVar("Settings")
Result = TypeVar("Result")


def start(
    main: Callable[[Settings], Result], settings: type[Settings], about: str | None
) -> Result:
    """Calls a script's `main` with the settings of the command line.

    `UNUSABLE` errors end the script with their message alone, and Ctrl-C ends it silently; other
    errors show a traceback.
    """
    try:
        if signal.getsignal(signal.SIGINT) is end_quietly:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        chosen = read(settings, about)
        use_large_pages()
        return main(chosen)
    except UNUSABLE as error:
        can_skip = isinstance(error, data.CorruptImageError) and has_flag(settings, "corrupt")
        remedy = "; --corrupt skip leaves out such images and counts them" if can_skip else ""
        raise SystemExit(f"{error}{remedy}") from error
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except BrokenPipeError:  # the reader of the output has closed it, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None


def command(name: str, *arguments: object) -> str:
    """The command that starts a script, in the form in which this one was started."""
    start = in_form(f"python experiments/{name}.py")
    return f"{start} {shlex.join(map(str, arguments))}".rstrip()


def started_as() -> str:
    """The name of the script with the arguments that it was started with."""
    return shlex.join([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])


def keep_command(run_dir: str) -> None:
    """Adds the command to `command.txt` of a run folder, unless it is its last line already."""
    if jax.process_index() == 0:
        path = pathlib.Path(run_dir).expanduser() / "command.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        if lines[-1:] != [started_as()]:
            path.write_text("\n".join([*lines, started_as()]) + "\n")


def kept_command(run_dir: pathlib.Path) -> str | None:
    """The last command that trained the run in a folder; None if it is not known."""
    path = run_dir / "command.txt"
    return path.read_text().splitlines()[-1] if path.exists() else None


def ending(figures: Iterable[pathlib.Path], name: str, *arguments: object) -> None:
    """Prints the paths of figures, and the command of a script to go on with."""
    if jax.process_index() == 0:
        for path in figures:
            print(f"  {path}")
        print(f"next: {command(name, *arguments)}")


def figures_in(*folders: pathlib.Path) -> list[pathlib.Path]:
    """The figures of run folders."""
    return [path for folder in folders for path in sorted(folder.glob("figures/**/*.png"))]


@contextlib.contextmanager
def checking(*more: type[Exception]) -> Iterator[None]:
    """Ends the script with the message alone on a ValueError, an ImportError, or one of `more`."""
    try:
        yield
    except (ValueError, ImportError, *more) as error:  # type: ignore[misc]
        raise SystemExit(str(error)) from error


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Ends the script with the message alone if the task of a run does not support an operation."""
    try:
        yield
    except NotImplementedError as error:
        raise SystemExit(str(error)) from error
