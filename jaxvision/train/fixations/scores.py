"""Scores of predicted densities of fixations, with confidence intervals."""

import numpy as np
from jaxtyping import Bool, Float, Float64

from jaxvision import metrics
from jaxvision.metrics import Score
from jaxvision.train.fixations.prediction import Predictions

Maps = Float[np.ndarray, "examples height width"]


def score(predictions: Predictions, *, confidence: float = 0.95) -> dict[str, Score]:
    """Scores predicted densities: means over the images, with t intervals.

    Args:
        predictions: Output of `predict`.
        confidence: Level of the intervals.

    Returns:
        `nss` and `auc_judd`, if there are fixations; `cc`, `sim` and `kl` (in nats), if there is a
        true density. An image in which a score is undefined is left out of its mean.

    Raises:
        ValueError: There are neither fixations nor true densities.

    Reference: Kümmerer et al., Saliency benchmarking made easy, ECCV 2018, arXiv:1704.08615 (the
    density is the best map for NSS, CC and KL if it is right).

    >>> uniform = np.full((2, 2, 2), np.log(0.25), np.float32)
    >>> density = np.array([[[0.5, 0.5], [0, 0]], [[1, 0], [0, 0]]], np.float32)
    >>> scores = score(Predictions(uniform, np.arange(2), density))
    >>> round(scores["kl"].value, 4), scores["cc"].note
    (1.0397, 'undefined in all images')
    """
    values = scores_of_images(
        **{name: value for name, value in predictions._asdict().items() if name != "indices"}
    )
    if not values:
        raise ValueError("scores need fixations or a true density, and the data have neither")
    return {name: _mean(each, confidence) for name, each in values.items()}


def scores_of_images(
    log_density: Maps,
    density: Maps | None = None,
    fixations: Float[np.ndarray, "examples fixations 2"] | None = None,
    valid: Bool[np.ndarray, "examples fixations"] | None = None,
) -> dict[str, Float64[np.ndarray, " examples"]]:
    """The scores of each image; NaN where one is undefined."""
    predicted = np.exp(log_density.astype(np.float64))
    values: dict[str, Float64[np.ndarray, " examples"]] = {}
    if fixations is not None:
        counts = metrics.fixation_counts(fixations, predicted.shape[1:], valid)
        values |= {
            "nss": metrics.nss(predicted, counts),
            "auc_judd": metrics.auc_judd(predicted, counts),
        }
    if density is not None:
        values |= {
            "cc": metrics.fixation_correlation(predicted, density),
            "sim": metrics.fixation_similarity(predicted, density),
            "kl": metrics.fixation_divergence(predicted, density),
        }
    return values


def _mean(values: Float64[np.ndarray, " examples"], confidence: float) -> Score:
    known = values[~np.isnan(values)]
    if not len(known):
        return Score(np.nan, note="undefined in all images")
    mean = metrics.mean_score(known, confidence)
    if len(known) == len(values):
        return mean
    return mean._replace(note=f"undefined in {len(values) - len(known)} images")
