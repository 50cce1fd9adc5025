"""Explanations by rules that a relevance or a gradient follows from operation to operation."""

from jaxvision.explain.rules.guided import deconvnet, guided_backprop
from jaxvision.explain.rules.layer_rules import (
    AlphaBeta,
    Composite,
    Epsilon,
    Flat,
    Gamma,
    Rule,
    WSquare,
    ZBox,
    ZPlus,
)
from jaxvision.explain.rules.primitives import Step, register_rule
from jaxvision.explain.rules.program import ExplainError
from jaxvision.explain.rules.relevance import Relevance, excitation_backprop, lrp

__all__ = [
    "AlphaBeta",
    "Composite",
    "Epsilon",
    "ExplainError",
    "Flat",
    "Gamma",
    "Relevance",
    "Rule",
    "Step",
    "WSquare",
    "ZBox",
    "ZPlus",
    "deconvnet",
    "excitation_backprop",
    "guided_backprop",
    "lrp",
    "register_rule",
]
