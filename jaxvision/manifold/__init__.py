"""Embeddings of points in few dimensions, in which neighbors stay neighbors."""

from jaxvision.manifold.affinities import Affinities, affinities, conditional, symmetric

__all__ = ["Affinities", "affinities", "conditional", "symmetric"]
