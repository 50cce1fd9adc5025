"""Deep learning for image analysis as pure functions, in JAX.

Everything that learns is a step, `step(state, batch) -> (state, metrics)`: one loop, one checkpoint
format and one way onto many devices serve every task.
"""

from importlib.metadata import version

from jaxvision import data, losses, metrics, models, plots, rl, train

__version__ = version("jaxvision")

__all__ = ["data", "losses", "metrics", "models", "plots", "rl", "train"]
