"""t-SNE as an estimator of scikit-learn."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxvision.checks import check_count
from jaxvision.classical.neighbors import Metric
from jaxvision.manifold.problem import Init, Method, make_schedule
from jaxvision.manifold.transform import transform
from jaxvision.manifold.tsne import tsne

Embedding = Float[np.ndarray, "points components"]

_LEAST_POINTS = 3
_TRANSFORM_PERPLEXITY = 5.0


class TSNE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """t-SNE for scikit-learn: embeds points in few dimensions so that neighbors stay neighbors.

    `fit` and `transform` check the parameters, as usual in scikit-learn. Points of any numeric type
    become float32, and the embedding is float32.

    `transform` places points in the fitted embedding without changing it. It treats the fitted
    points like new ones, so `fit(X).transform(X)` is near `fit_transform(X)`, but not equal to it.

    Args:
        n_components: Dimensions of the embedding.
        perplexity: Effective number of neighbors of a point; less than the number of points minus
            1.
        num_steps: Number of steps.
        init: Initial embedding: "pca", "random" or an array; see `init_embedding`.
        method: Method of the repulsion: "auto", "exact" or "mesh"; see `make_problem`.
        metric: Distance between points: "l2", "l1" or "cosine".
        dof: Degrees of freedom of the similarity; fewer pull clusters farther apart.
        exaggeration: Factor of the attraction in the early steps.
        early_steps: Number of early steps.
        learning_rate: Learning rate without exaggeration; None takes the number of points.
        transform_perplexity: Effective number of neighbors of a point in `transform`; None takes 5,
            or `perplexity` where that is smaller.
        random_state: Seed of the noise in the initial embedding. The same seed gives the same
            embedding, on the same kind of device.

    Attributes:
        embedding_: Fitted points in the embedding.
        kl_divergence_: Kullback-Leibler divergence of the embedding, in nats; see `Embedded`.
        n_iter_: Number of steps.
        method_: Method of the repulsion: "exact" or "mesh".
        n_features_in_: Number of features of the points.
        feature_names_in_: Names of the features, where the points came with names.

    Reference: van der Maaten and Hinton, Visualizing data using t-SNE, JMLR 2008.

    >>> points = np.random.default_rng(0).standard_normal((60, 5))
    >>> estimator = TSNE(perplexity=10, num_steps=100, random_state=0)
    >>> estimator.fit_transform(points).shape, estimator.transform(points[:4]).shape
    ((60, 2), (4, 2))
    >>> estimator.get_feature_names_out()
    array(['tsne0', 'tsne1'], dtype=object)
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        perplexity: int | float = 30.0,
        num_steps: int = 1000,
        init: Init | np.ndarray = "pca",
        method: Method = "auto",
        metric: Metric = "l2",
        dof: int | float = 1.0,
        exaggeration: int | float = 12.0,
        early_steps: int = 250,
        learning_rate: int | float | None = None,
        transform_perplexity: int | float | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.perplexity = perplexity
        self.num_steps = num_steps
        self.init = init
        self.method = method
        self.metric = metric
        self.dof = dof
        self.exaggeration = exaggeration
        self.early_steps = early_steps
        self.learning_rate = learning_rate
        self.transform_perplexity = transform_perplexity
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "TSNE":
        """Embeds points.

        Args:
            X: Points, one per row: an array, a list of lists or a data frame. They are copied, and
                kept for `transform`.
            y: Ignored; pipelines pass it.

        Returns:
            The estimator.

        Raises:
            ValueError: There are too few points for the perplexity, a number is not finite, or a
                parameter is not allowed.
            TypeError: The points are a sparse matrix.
            FloatingPointError: The embedding did not stay finite.
        """
        points = validate_data(
            self, X, dtype=np.float32, copy=True, ensure_min_samples=_LEAST_POINTS
        )
        check_count("n_components", self.n_components)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        found = tsne(
            points,
            key=jax.random.key(seed),
            perplexity=self.perplexity,
            num_steps=self.num_steps,
            init=self.init,
            method=self.method,
            num_components=self.n_components,
            metric=self.metric,
            dof=self.dof,
            schedule=make_schedule(
                len(points),
                learning_rate=self.learning_rate,
                exaggeration=self.exaggeration,
                early_steps=self.early_steps,
            ),
        )
        self._points = points
        self.embedding_ = np.array(found.embedding)
        self.kl_divergence_ = float(found.kl)
        self.n_iter_ = int(found.num_steps)
        self.method_ = found.method
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Embedding:
        """Embeds points as `fit` does, and returns the embedding."""
        return self.fit(X).embedding_

    def transform(self, X: Any) -> Embedding:
        """Places points in the fitted embedding, each independently of the others in `X`.

        Args:
            X: Points with the features of the fitted points.

        Returns:
            Places of the points in the embedding.

        Raises:
            sklearn.exceptions.NotFittedError: `fit` was not called.
            ValueError: The points have other features, a number is not finite, or the estimator was
                fitted to too few points for `transform_perplexity`.
            TypeError: The points are a sparse matrix.

        Reference: Policar, Strazar and Zupan, Embedding to reference t-SNE space addresses batch
        effects in single-cell classification, Machine Learning 2021.
        """
        check_is_fitted(self)
        perplexity = self.transform_perplexity
        if perplexity is None:
            perplexity = min(_TRANSFORM_PERPLEXITY, self.perplexity)
        placed = transform(
            validate_data(self, X, dtype=np.float32, reset=False),
            self._points,
            self.embedding_,
            perplexity=perplexity,
            metric=self.metric,
            dof=self.dof,
            method=self.method,
        )
        return np.array(placed)

    @property
    def _n_features_out(self) -> int:
        """Number of components, for `get_feature_names_out`."""
        return self.embedding_.shape[1]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
