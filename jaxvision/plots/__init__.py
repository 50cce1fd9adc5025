"""Figures: each function returns a `matplotlib.figure.Figure`, and `save` writes it as PNG.

Matplotlib (`pip install matplotlib`) is imported when the first figure is drawn. Figures do not use
pyplot: they open no window, need no display, are freed when no longer used, and may be drawn in
threads.
"""

from jaxvision.plots._style import require_matplotlib
from jaxvision.plots.calibration import reliability_diagram
from jaxvision.plots.confusion import confusion_matrix
from jaxvision.plots.curves import fitted_curves, validation_curves
from jaxvision.plots.distributions import class_shares, histograms
from jaxvision.plots.fields import fields
from jaxvision.plots.film import save_gif, save_strip
from jaxvision.plots.fixations import fixation_densities
from jaxvision.plots.gridworld import gridworld
from jaxvision.plots.images import image_grid, mistakes
from jaxvision.plots.masks import labeled_masks, segmentations
from jaxvision.plots.numbers import number_attributions
from jaxvision.plots.receptive import receptive_fields
from jaxvision.plots.relevance import attributions, relevance_overlay
from jaxvision.plots.saving import save
from jaxvision.plots.scatter import embeddings, scatter
from jaxvision.plots.training import learning_curves, learning_curves_by_seed

__all__ = [
    "attributions",
    "class_shares",
    "confusion_matrix",
    "embeddings",
    "fields",
    "fitted_curves",
    "fixation_densities",
    "gridworld",
    "histograms",
    "image_grid",
    "labeled_masks",
    "learning_curves",
    "learning_curves_by_seed",
    "mistakes",
    "number_attributions",
    "receptive_fields",
    "relevance_overlay",
    "reliability_diagram",
    "require_matplotlib",
    "save",
    "save_gif",
    "save_strip",
    "scatter",
    "segmentations",
    "validation_curves",
]
