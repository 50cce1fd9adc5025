"""Labels of pixels, shared by data, losses, metrics and figures."""

IGNORED = 255
"""Label of pixels without a class; no loss, metric or figure counts them."""
