"""Explanations: what in an image made a function decide as it did.

Every explainer is a pure function of any `f(images) -> logits`, for example a model closed over its
variables: `explain.NAME(f, images, target=None, ...) -> Attribution`. Compile with `jax.jit` what
you call more than once.
"""

from jaxvision.explain import quality, rules
from jaxvision.explain.attribution import Attribution, AttributionWarning
from jaxvision.explain.cam import cam, grad_cam, grad_cam_plus_plus, score_cam
from jaxvision.explain.deeplift import deeplift
from jaxvision.explain.estimate import Estimate
from jaxvision.explain.features import layer_names
from jaxvision.explain.gradients import gradient_x_input, saliency, smooth_grad
from jaxvision.explain.paths import expected_gradients, integrated_gradients
from jaxvision.explain.perturbation import occlusion, rise
from jaxvision.explain.receptive_field import (
    EffectiveField,
    FieldGrid,
    ReceptiveField,
    effective_receptive_field,
    field_grid,
    receptive_field,
)
from jaxvision.explain.rules import (
    ExplainError,
    Relevance,
    deconvnet,
    excitation_backprop,
    guided_backprop,
    lrp,
    register_rule,
)
from jaxvision.explain.shapley import shapley_sampling
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
    project_patches,
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
    "Estimate",
    "ExplainError",
    "FieldGrid",
    "Patches",
    "ReceptiveField",
    "Relevance",
    "Score",
    "Synthesis",
    "Target",
    "cam",
    "deconvnet",
    "deep_dream",
    "deeplift",
    "effective_receptive_field",
    "excitation_backprop",
    "expected_gradients",
    "field_grid",
    "filter_images",
    "frequencies",
    "from_spectrum",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient_x_input",
    "gram_matrix",
    "guided_backprop",
    "integrated_gradients",
    "invert_features",
    "layer_names",
    "lrp",
    "maximize",
    "maximize_on_sphere",
    "occlusion",
    "pixels",
    "project_patches",
    "quality",
    "receptive_field",
    "register_rule",
    "rise",
    "rules",
    "saliency",
    "score_cam",
    "shapley_sampling",
    "smooth_grad",
    "strongest_patches",
    "style_loss",
    "synthesize",
    "synthesize_texture",
    "to_spectrum",
    "transfer_style",
]
