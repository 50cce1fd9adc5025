"""How scripts start, and what they say where there is nothing to run."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from common.flags import FLAT, read
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

__all__ = ["FLAT", "asking", "checking", "start"]

Settings = TypeVar("Settings")
Result = TypeVar("Result")


def start(
    main: Callable[[Settings], Result], settings: type[Settings], about: str | None
) -> Result:
    """Calls a script's `main` with the settings of the command line.

    A run, a data set or weights that cannot be used end the script with the message alone, which
    says what to do; every other error shows where it comes from.
    """
    try:
        chosen = read(settings, about)
        use_large_pages()
        return main(chosen)
    except UNUSABLE as error:
        raise SystemExit(str(error)) from error


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
