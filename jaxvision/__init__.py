"""Deep learning for image analysis as pure functions, in JAX.

Everything that learns is a step, `step(state, batch) -> (state, metrics)`: every task uses the same
training loop, checkpoint format and distribution over devices. Packages are imported at their first
use, so that `import jaxvision` is fast.
"""

import importlib
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxvision import (
        classical,
        data,
        explain,
        losses,
        manifold,
        metrics,
        models,
        ops,
        plots,
        rl,
        train,
    )

__version__ = version("jaxvision")

__all__ = [
    "classical",
    "data",
    "explain",
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
    """Imports a package at its first use."""
    if name in __all__:
        return importlib.import_module(f"jaxvision.{name}")
    raise AttributeError(f"module 'jaxvision' has no attribute {name!r}")


def __dir__() -> list[str]:
    """All names, whether their packages are imported or not."""
    return sorted({*globals(), *__all__})
