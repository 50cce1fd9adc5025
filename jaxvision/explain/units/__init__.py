"""What a unit sees: filters, patches, and images that are made so that a unit responds.

Images are in [0, 1]. A function that wants them normalized is composed with the normalization:
`lambda images: model.apply(variables, data.normalize(images, mean, std))`.
"""

from jaxvision.explain.units.canvas import Canvas, frequencies, from_spectrum, pixels, to_spectrum
from jaxvision.explain.units.dream import deep_dream
from jaxvision.explain.units.filters import filter_images
from jaxvision.explain.units.inversion import invert_features
from jaxvision.explain.units.maximization import maximize, maximize_on_sphere
from jaxvision.explain.units.patches import Patches, strongest_patches
from jaxvision.explain.units.projections import project_patches
from jaxvision.explain.units.style import (
    gram_matrix,
    style_loss,
    synthesize_texture,
    transfer_style,
)
from jaxvision.explain.units.synthesis import Synthesis, synthesize

__all__ = [
    "Canvas",
    "Patches",
    "Synthesis",
    "deep_dream",
    "filter_images",
    "frequencies",
    "from_spectrum",
    "gram_matrix",
    "invert_features",
    "maximize",
    "maximize_on_sphere",
    "pixels",
    "project_patches",
    "strongest_patches",
    "style_loss",
    "synthesize",
    "synthesize_texture",
    "to_spectrum",
    "transfer_style",
]
