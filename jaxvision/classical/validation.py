"""Cross-validation of any learning method, with all folds and seeds in one program.

Weights of 1 and 0 select the examples of a fold. So all folds have arrays of the same shapes, and
folds, seeds and options are axes of one compiled program.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxvision import metrics
from jaxvision.checks import check_count, check_name

PyTree = Any
Weights = Float[Array, " examples"]
Score = Callable[[Key[Array, ""], Weights, Weights], Mapping[str, Array]]
"""`score(key, train_weight, test_weight)` learns from some examples, and measures on others."""
ScoreOfChoice = Callable[[Key[Array, ""], PyTree, Weights, Weights], Mapping[str, Array]]
"""`score(key, choice, train_weight, test_weight)`, the score of a method with options."""
How = Literal["together", "in turn"]


@dataclasses.dataclass(frozen=True)
class Validated:
    """Scores of a cross-validation.

    Folds share most of their training examples, so their scores vary less than those of independent
    data. Intervals and tests correct for it: the variance of the mean is that of the scores times
    `1 / n + test / train`, with n scores and the sizes of a test and a training set (Nadeau and
    Bengio, Inference for the generalization error, Machine Learning 2003).

    Attributes:
        scores: Scores by name, for every fold and seed.
        train_examples: Mean number of training examples.
        test_examples: Mean number of test examples.
    """

    scores: Mapping[str, Float[np.ndarray, "folds seeds"]]
    train_examples: int | float
    test_examples: int | float

    def mean(self, name: str) -> float:
        """The mean of a score."""
        return float(self._of(name).mean())

    def interval(self, name: str, confidence: float = 0.95) -> metrics.Interval:
        """The confidence interval of the mean of a score."""
        return self._interval(self._of(name), confidence)

    def compare(self, other: "Validated", name: str) -> dict[str, float]:
        """Tests whether a score differs from that of another method, on the same folds and seeds.

        Args:
            other: Scores of the other method.
            name: Name of the score.

        Returns:
            `difference`, the mean of this minus the other; `low` and `high`, its 95% interval; and
            `p_value`, of the paired t-test.

        Raises:
            ValueError: The numbers of folds or seeds differ.
        """
        from scipy.special import stdtr

        own, others = self._of(name), other._of(name)
        if own.shape != others.shape:
            raise ValueError(
                f"folds and seeds must be the same, got {own.shape} and {others.shape}"
            )
        differences = own - others
        low, high = self._interval(differences, 0.95)
        mean, deviation = float(differences.mean()), self._deviation(differences)
        if deviation == 0:
            p_value = 1.0 if mean == 0 else 0.0
        else:
            p_value = 2 * float(stdtr(differences.size - 1, -abs(mean) / deviation))
        return {"difference": mean, "low": low, "high": high, "p_value": p_value}

    def _of(self, name: str) -> np.ndarray:
        check_name("score", name, self.scores)
        return self.scores[name]

    def _deviation(self, values: np.ndarray) -> float:
        """The standard deviation of the mean of scores."""
        share = 1 / values.size + self.test_examples / self.train_examples
        return float(values.std(ddof=1)) * math.sqrt(share)

    def _interval(self, values: np.ndarray, confidence: float) -> metrics.Interval:
        from scipy.special import stdtrit

        half = float(stdtrit(values.size - 1, 0.5 + confidence / 2)) * self._deviation(values)
        return metrics.Interval(float(values.mean()) - half, float(values.mean()) + half)


def cross_validate(
    score: Score,
    folds: Int[np.ndarray, " examples"],
    *,
    key: Key[Array, ""],
    num_seeds: int = 1,
    how: How = "together",
) -> Validated:
    """Learns from all folds but one, and measures on that one, for each fold and seed.

    Args:
        score: `score(key, train_weight, test_weight)`, a pure function. It learns from the examples
            whose training weight is 1, and returns a dict of scores on those whose test weight is
            1. Results are sorted by name.
        folds: Fold of each example, from `folds` or `stratified_folds`.
        key: Random key, split for the seeds; all folds of a seed have the same key.
        num_seeds: Number of seeds.
        how: Whether to compute folds and seeds "together", by `jax.vmap`, or "in turn", in the
            memory of one.

    Raises:
        ValueError: There is only one fold, or a fold is empty.

    >>> values = jnp.array([1.0, 2.0, 3.0, 4.0])
    >>> def score(key, train_weight, test_weight):
    ...     mean = (train_weight * values).sum() / train_weight.sum()
    ...     return {"error": (test_weight * abs(values - mean)).sum() / test_weight.sum()}
    >>> found = cross_validate(score, np.array([0, 0, 1, 1]), key=jax.random.key(0))
    >>> found.scores["error"].ravel()
    array([2., 2.], dtype=float32)
    """
    check_count("num_seeds", num_seeds)
    tests = _tests(folds)
    keys = jax.random.split(key, num_seeds)
    found = _run(score, keys, (1 - tests, tests), how)
    return _validated(found, tests)


def nested_cross_validate(
    score: ScoreOfChoice,
    choices: PyTree,
    folds: Int[np.ndarray, " examples"],
    *,
    key: Key[Array, ""],
    by: str,
    how: How = "together",
) -> tuple[Validated, Int[np.ndarray, " folds"]]:
    """Measures a method together with the choice of its options.

    For each fold, the options are chosen without it: by the mean of a score over the other folds,
    each measured after learning from the rest of them. With the chosen options the method learns
    from all other folds, and is measured on the fold.

    Args:
        score: `score(key, choice, train_weight, test_weight)`; see `cross_validate`.
        choices: Options: arrays whose first axis enumerates the choices.
        folds: Fold of each example; three folds or more.
        key: Random key, the same for every call.
        by: Name of the score that chooses, which is best where it is largest.
        how: See `cross_validate`.

    Returns:
        The scores, and the index of the choice for each fold.

    Raises:
        ValueError: There are fewer than three folds, or a fold is empty.

    Reference: Cawley and Talbot, On over-fitting in model selection and subsequent selection bias
    in performance evaluation, JMLR 2010.
    """
    tests = _tests(folds, least=3)
    count = len(tests)
    outer, inner = np.nonzero(~np.eye(count, dtype=bool))
    rest = 1 - tests[outer] - tests[inner]
    num_choices = len(jax.tree.leaves(choices)[0])

    def of_choice(index: Array, train_weight: Weights, test_weight: Weights) -> Mapping[str, Array]:
        chosen = jax.tree.map(lambda leaf: leaf[index], choices)
        return score(key, chosen, train_weight, test_weight)

    found = _run(of_choice, jnp.arange(num_choices), (rest, tests[inner]), how)
    check_name("score", by, found)
    means = found[by].reshape(count, count - 1, num_choices).mean(axis=1)
    best = means.argmax(axis=1)

    def of_best(
        index: Array, train_weight: Weights, test_weight: Weights, best: Array
    ) -> Mapping[str, Array]:
        return of_choice(best[index], train_weight, test_weight)

    measured = _run(of_best, jnp.arange(1), (1 - tests, tests, best[:, None]), how)
    return _validated(measured, tests), best


def _tests(folds: np.ndarray, least: int = 2) -> np.ndarray:
    """The test weights of each fold."""
    sizes = np.bincount(folds)
    if len(sizes) < least or (sizes == 0).any():
        raise ValueError(
            f"there must be {least} folds or more, numbered from 0, each with examples; got folds "
            f"of {sizes.tolist()} examples"
        )
    return (folds == np.arange(len(sizes))[:, None]).astype(np.float32)


def _run(
    score: Callable[..., Mapping[str, Array]],
    second: Array,
    of_folds: tuple[np.ndarray, ...],
    how: How,
) -> dict[str, np.ndarray]:
    """Computes `score(second, *of_fold)`, with the axes (folds, seeds or choices)."""
    check_name("how", how, ("together", "in turn"))

    def each(function: Callable[..., Any], rows: Any) -> Any:
        return jax.vmap(function)(rows) if how == "together" else jax.lax.map(function, rows)

    def of_fold(given: tuple[Array, ...]) -> Any:
        return each(lambda one: dict(score(one, *given)), second)

    found = jax.jit(lambda rows: each(of_fold, rows))(of_folds)
    return {name: np.asarray(values) for name, values in found.items()}


def _validated(scores: Mapping[str, np.ndarray], tests: np.ndarray) -> Validated:
    size = float(tests.sum(axis=1).mean())
    return Validated(dict(scores), tests.shape[1] - size, size)
