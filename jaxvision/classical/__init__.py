"""Classical methods, each in one call: neighbors, clusters, components, linear models, folds."""

from jaxvision.classical.clustering import Clusters, kmeans, plus_plus
from jaxvision.classical.components import PCA, pca
from jaxvision.classical.folds import folds, stratified_folds
from jaxvision.classical.knn import knn_accuracies, knn_classify
from jaxvision.classical.linear import (
    LinearModel,
    linear_regression,
    logistic_regression,
    softmax_regression,
)
from jaxvision.classical.neighbors import Neighbors, nearest_neighbors
from jaxvision.classical.validation import Validated, cross_validate, nested_cross_validate

__all__ = [
    "PCA",
    "Clusters",
    "LinearModel",
    "Neighbors",
    "Validated",
    "cross_validate",
    "folds",
    "kmeans",
    "knn_accuracies",
    "knn_classify",
    "linear_regression",
    "logistic_regression",
    "nearest_neighbors",
    "nested_cross_validate",
    "pca",
    "plus_plus",
    "softmax_regression",
    "stratified_folds",
]
