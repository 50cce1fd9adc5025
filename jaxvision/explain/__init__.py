"""Explanations: what in an image made a function decide as it did.

Every explainer is a pure function of any `f(images) -> logits`, for example a model closed over its
variables: `explain.NAME(f, images, target=None, ...) -> Attribution`.
"""

from jaxvision.explain import rules
from jaxvision.explain.attribution import Attribution, AttributionWarning
from jaxvision.explain.rules import (
    ExplainError,
    Relevance,
    deconvnet,
    excitation_backprop,
    guided_backprop,
    lrp,
    register_rule,
)
from jaxvision.explain.target import Score, Target

__all__ = [
    "Attribution",
    "AttributionWarning",
    "ExplainError",
    "Relevance",
    "Score",
    "Target",
    "deconvnet",
    "excitation_backprop",
    "guided_backprop",
    "lrp",
    "register_rule",
    "rules",
]
