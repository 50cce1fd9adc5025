"""Evaluation metrics.

For use inside `jit`: `accuracy`, `top_k_accuracy` and `mean` return pairs of sums `(total, count)`,
which `merge` adds and `compute` divides; `psnr`, `ssim`, `ms_ssim` and `total_variation` return one
number per image. All other metrics run on the host, in float64, from all examples of the test set.

Numeric outputs of a model (logits, probabilities, scores) precede the labels, as in the losses;
predicted class indices follow them, as in scikit-learn.
"""

from jaxvision.metrics.boundaries import boundary_f1, hausdorff_distance
from jaxvision.metrics.calibration import (
    ReliabilityCurve,
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_curve,
)
from jaxvision.metrics.comparison import McNemar, PairedBootstrap, mcnemar, paired_bootstrap
from jaxvision.metrics.components import areas
from jaxvision.metrics.confusion import (
    balanced_accuracy,
    cohen_kappa,
    confusion_matrix,
    f1_score,
    jaccard_index,
    matthews_correlation,
    precision,
    sensitivity,
    specificity,
)
from jaxvision.metrics.embedding import continuity, neighbor_preservation, trustworthiness
from jaxvision.metrics.fixations import (
    auc_judd,
    fixation_correlation,
    fixation_counts,
    fixation_divergence,
    fixation_similarity,
    nss,
)
from jaxvision.metrics.generative import (
    ModeCoverage,
    Support,
    frechet_distance,
    frechet_distance_of_moments,
    inception_score,
    kernel_distance,
    mode_coverage,
    nearest,
    support,
)
from jaxvision.metrics.intervals import (
    Interval,
    bootstrap_interval,
    clopper_pearson_interval,
    t_interval,
    wilson_interval,
)
from jaxvision.metrics.pairs import Pair, accuracy, compute, mean, merge, top_k_accuracy
from jaxvision.metrics.per_class import ClassScore, class_scores, class_table
from jaxvision.metrics.ranking import (
    PrecisionRecallCurve,
    RocCurve,
    average_precision,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from jaxvision.metrics.report import Report, classification_report
from jaxvision.metrics.score import Score, mean_score, score_table
from jaxvision.metrics.similarity import ms_ssim, psnr, ssim, total_variation

__all__ = [
    "ClassScore",
    "Interval",
    "McNemar",
    "ModeCoverage",
    "Pair",
    "PairedBootstrap",
    "PrecisionRecallCurve",
    "ReliabilityCurve",
    "Report",
    "RocCurve",
    "Score",
    "Support",
    "accuracy",
    "areas",
    "auc_judd",
    "average_precision",
    "balanced_accuracy",
    "bootstrap_interval",
    "boundary_f1",
    "brier_score",
    "class_scores",
    "class_table",
    "classification_report",
    "clopper_pearson_interval",
    "cohen_kappa",
    "compute",
    "confusion_matrix",
    "continuity",
    "expected_calibration_error",
    "f1_score",
    "fixation_correlation",
    "fixation_counts",
    "fixation_divergence",
    "fixation_similarity",
    "frechet_distance",
    "frechet_distance_of_moments",
    "hausdorff_distance",
    "inception_score",
    "jaccard_index",
    "kernel_distance",
    "matthews_correlation",
    "mcnemar",
    "mean",
    "mean_score",
    "merge",
    "mode_coverage",
    "ms_ssim",
    "nearest",
    "negative_log_likelihood",
    "neighbor_preservation",
    "nss",
    "paired_bootstrap",
    "precision",
    "precision_recall_curve",
    "psnr",
    "reliability_curve",
    "roc_auc",
    "roc_curve",
    "score_table",
    "sensitivity",
    "specificity",
    "ssim",
    "support",
    "t_interval",
    "top_k_accuracy",
    "total_variation",
    "trustworthiness",
    "wilson_interval",
]
