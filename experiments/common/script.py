"""How scripts start, and what they say where there is nothing to run."""

import contextlib
import shlex
import signal
from collections.abc import Callable, Iterator
from typing import TypeVar

import tyro

from common.console import console_command
from common.large_pages import use_large_pages
from jaxvision import data, models, train

UNUSABLE = (
    train.SettingsError,
    train.RunFolderError,
    train.CheckpointError,
    data.DatasetError,
    models.WeightsError,
)
"""Errors of the environment (files, settings, weights), shown without a traceback."""

FLAT = tyro.conf.arg(name="")
"""Marks a group of settings whose flags are named without the group: `--dataset`, not
`--data.dataset`."""

Settings = TypeVar("Settings")
Result = TypeVar("Result")


def start(
    main: Callable[[Settings], Result], settings: type[Settings], about: str | None
) -> Result:
    """Calls a script's `main` with the settings of the command line.

    A run, a data set or weights that cannot be used end the script with the message alone, which
    says what to do, and Ctrl-C with nothing more; every other error shows where it comes from.
    """
    try:
        chosen = tyro.cli(settings, description=about, prog=console_command())
        use_large_pages()
        return main(chosen)
    except UNUSABLE as error:
        raise SystemExit(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None


def command(name: str, *arguments: object) -> str:
    """How to start a script, in the words in which this one was started."""
    start = f"jaxvision {name}" if console_command() else f"python experiments/{name}.py"
    return f"{start} {shlex.join(map(str, arguments))}"


@contextlib.contextmanager
def checking() -> Iterator[None]:
    """Ends the script with the message alone where what it makes of its settings refuses them."""
    try:
        yield
    except (ValueError, ImportError) as error:
        raise SystemExit(str(error)) from error


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Ends the script with the message alone where the task of a run cannot do what is asked."""
    try:
        yield
    except NotImplementedError as error:
        raise SystemExit(str(error)) from error
