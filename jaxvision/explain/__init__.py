"""Explanations: what in an image made a function decide as it did.

Every explainer is a pure function of any `f(images) -> logits`, for example a model closed over its
variables: `explain.NAME(f, images, target=None, ...) -> Attribution`. Compile with `jax.jit` what
you call more than once.
"""

from jaxvision.explain import quality
from jaxvision.explain.attribution import Attribution, AttributionWarning
from jaxvision.explain.cam import cam, grad_cam, grad_cam_plus_plus, score_cam
from jaxvision.explain.deeplift import deeplift
from jaxvision.explain.estimate import Estimate
from jaxvision.explain.features import layer_names
from jaxvision.explain.gradients import gradient_x_input, saliency, smooth_grad
from jaxvision.explain.paths import expected_gradients, integrated_gradients
from jaxvision.explain.perturbation import occlusion, rise
from jaxvision.explain.shapley import shapley_sampling
from jaxvision.explain.target import Score, Target

__all__ = [
    "Attribution",
    "AttributionWarning",
    "Estimate",
    "Score",
    "Target",
    "cam",
    "deeplift",
    "expected_gradients",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient_x_input",
    "integrated_gradients",
    "layer_names",
    "occlusion",
    "quality",
    "rise",
    "saliency",
    "score_cam",
    "shapley_sampling",
    "smooth_grad",
]
