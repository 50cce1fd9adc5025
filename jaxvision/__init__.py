"""Deep learning for image analysis as pure functions, in JAX.

Everything that learns is a step, `step(state, batch) -> (state, metrics)`: one loop, one checkpoint
format and one way onto many devices serve every task. The packages are loaded when they are first
used, so that `import jaxvision` costs nothing and each program pays for what it needs.
"""

import importlib
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxvision import classical, data, losses, manifold, metrics, models, ops, plots, rl, train

__version__ = version("jaxvision")

__all__ = [
    "classical",
    "data",
    "losses",
    "manifold",
    "metrics",
    "models",
    "ops",
    "plots",
    "rl",
    "train",
]


def __getattr__(name: str) -> ModuleType:
    """Loads a package at its first use."""
    if name in __all__:
        return importlib.import_module(f"jaxvision.{name}")
    raise AttributeError(f"module 'jaxvision' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What there is, loaded or not."""
    return sorted({*globals(), *__all__})
