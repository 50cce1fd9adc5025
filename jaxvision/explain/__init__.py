"""Explanations: what in an image made a function decide as it did.

Every explainer is a pure function of any `f(images) -> logits`, for example a model closed over its
variables: `explain.NAME(f, images, target=None, ...) -> Attribution`.
"""

from jaxvision.explain.attribution import Attribution, AttributionWarning
from jaxvision.explain.receptive_field import (
    EffectiveField,
    FieldGrid,
    ReceptiveField,
    effective_receptive_field,
    field_grid,
    receptive_field,
)
from jaxvision.explain.target import Score, Target

__all__ = [
    "Attribution",
    "AttributionWarning",
    "EffectiveField",
    "FieldGrid",
    "ReceptiveField",
    "Score",
    "Target",
    "effective_receptive_field",
    "field_grid",
    "receptive_field",
]
