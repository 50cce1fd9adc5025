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
from jaxvision.explain.units import (
    Canvas,
    Patches,
    Synthesis,
    deep_dream,
    filter_images,
    frequencies,
    from_spectrum,
    gram_matrix,
    invert_features,
    maximize,
    maximize_on_sphere,
    pixels,
    strongest_patches,
    style_loss,
    synthesize,
    synthesize_texture,
    to_spectrum,
    transfer_style,
)

__all__ = [
    "Attribution",
    "AttributionWarning",
    "Canvas",
    "EffectiveField",
    "FieldGrid",
    "Patches",
    "ReceptiveField",
    "Score",
    "Synthesis",
    "Target",
    "deep_dream",
    "effective_receptive_field",
    "field_grid",
    "filter_images",
    "frequencies",
    "from_spectrum",
    "gram_matrix",
    "invert_features",
    "maximize",
    "maximize_on_sphere",
    "pixels",
    "receptive_field",
    "strongest_patches",
    "style_loss",
    "synthesize",
    "synthesize_texture",
    "to_spectrum",
    "transfer_style",
]
