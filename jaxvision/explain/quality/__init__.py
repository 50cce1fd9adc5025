"""How good explanations are, as numbers per image.

Maps have the shape (batch, height, width, channels), or one channel; the relevance of a pixel is
the sum over its channels. A row whose map is not finite gives NaN, and so does one for which a
measure is not defined. Without these rows, `metrics.t_interval` and `metrics.bootstrap_interval`
give the interval of the mean.
"""

from jaxvision.explain.quality.correlation import faithfulness_correlation, sensitivity_n
from jaxvision.explain.quality.curves import Curve, blurred, deletion, insertion
from jaxvision.explain.quality.localization import pointing_game, relevance_mass, relevance_rank
from jaxvision.explain.quality.randomization import Randomization, model_randomization
from jaxvision.explain.quality.similarity import rank_correlation, structural_similarity

__all__ = [
    "Curve",
    "Randomization",
    "blurred",
    "deletion",
    "faithfulness_correlation",
    "insertion",
    "model_randomization",
    "pointing_game",
    "rank_correlation",
    "relevance_mass",
    "relevance_rank",
    "sensitivity_n",
    "structural_similarity",
]
