"""Lists the registered models whose names match a pattern.

    python experiments/list_models.py
    python experiments/list_models.py "resnet*"

These are the names that --model accepts.
"""

import dataclasses
from typing import Annotated

from common import script

import tyro

from jaxvision import models


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the list."""

    pattern: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PATTERN")] = "*"
    """Pattern of names: * stands for any characters, ? for any one character."""


def main(settings: Settings) -> list[str]:
    """Prints a name on each line."""
    names = models.list_models(settings.pattern)
    if not names:
        raise SystemExit(
            f"no model is called {settings.pattern!r}; without a pattern, all models are listed"
        )
    for name in names:
        print(name)
    return names


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
