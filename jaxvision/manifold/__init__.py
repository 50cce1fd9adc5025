"""Embeddings of points in few dimensions, in which neighbors stay neighbors.

`TSNE` is imported at its first use, as it imports scikit-learn, which takes most of a second.
"""

from typing import TYPE_CHECKING, Any

from jaxvision.manifold.affinities import Affinities, affinities, conditional, symmetric
from jaxvision.manifold.kernels import Gaussian, Kernel, Student
from jaxvision.manifold.problem import init_embedding, make_problem, make_schedule, sne_schedule
from jaxvision.manifold.step import EmbeddingState, EmbeddingStep, Problem, Schedule
from jaxvision.manifold.transform import transform
from jaxvision.manifold.tsne import Embedded, embed, optimize, sne, tsne

if TYPE_CHECKING:
    from jaxvision.manifold.estimator import TSNE

__all__ = [
    "TSNE",
    "Affinities",
    "Embedded",
    "EmbeddingState",
    "EmbeddingStep",
    "Gaussian",
    "Kernel",
    "Problem",
    "Schedule",
    "Student",
    "affinities",
    "conditional",
    "embed",
    "init_embedding",
    "make_problem",
    "make_schedule",
    "optimize",
    "sne",
    "sne_schedule",
    "symmetric",
    "transform",
    "tsne",
]


def __getattr__(name: str) -> Any:
    if name == "TSNE":
        from jaxvision.manifold.estimator import TSNE

        return TSNE
    raise AttributeError(f"module 'jaxvision.manifold' has no attribute {name!r}")
