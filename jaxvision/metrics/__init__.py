"""Evaluation metrics.

Inside the step, under `jit`: `accuracy`, `top_k_accuracy` and `mean` return pairs of sums
`(total, count)`, which `merge` adds and `compute` divides. After evaluation, on the host, in
float64: everything else, from arrays or lists of the whole test set.

What a model gives as numbers (logits, probabilities, scores) comes before the labels, as in the
losses; what it gives as class indices comes after them, as in scikit-learn.
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
from jaxvision.metrics.intervals import (
    Interval,
    bootstrap_interval,
    clopper_pearson_interval,
    t_interval,
    wilson_interval,
)
from jaxvision.metrics.pairs import Pair, accuracy, compute, mean, merge, top_k_accuracy
from jaxvision.metrics.ranking import (
    PrecisionRecallCurve,
    RocCurve,
    average_precision,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)
from jaxvision.metrics.report import Report, classification_report
from jaxvision.metrics.score import Score, score_table

__all__ = [
    "Interval",
    "McNemar",
    "Pair",
    "PairedBootstrap",
    "PrecisionRecallCurve",
    "ReliabilityCurve",
    "Report",
    "RocCurve",
    "Score",
    "accuracy",
    "areas",
    "average_precision",
    "balanced_accuracy",
    "bootstrap_interval",
    "boundary_f1",
    "brier_score",
    "classification_report",
    "clopper_pearson_interval",
    "cohen_kappa",
    "compute",
    "confusion_matrix",
    "expected_calibration_error",
    "f1_score",
    "hausdorff_distance",
    "jaccard_index",
    "matthews_correlation",
    "mcnemar",
    "mean",
    "merge",
    "negative_log_likelihood",
    "paired_bootstrap",
    "precision",
    "precision_recall_curve",
    "reliability_curve",
    "roc_auc",
    "roc_curve",
    "score_table",
    "sensitivity",
    "specificity",
    "t_interval",
    "top_k_accuracy",
    "wilson_interval",
]
