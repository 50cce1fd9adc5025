"""Embeddings of points in few dimensions, in which neighbors stay neighbors."""

from jaxvision.manifold.affinities import Affinities, affinities, conditional, symmetric
from jaxvision.manifold.kernels import Gaussian, Kernel, Student
from jaxvision.manifold.problem import init_embedding, make_problem, make_schedule
from jaxvision.manifold.step import EmbeddingState, EmbeddingStep, Problem, Schedule
from jaxvision.manifold.transform import transform
from jaxvision.manifold.tsne import Embedded, embed, optimize, sne, tsne

__all__ = [
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
    "symmetric",
    "transform",
    "tsne",
]
