"""What labels of pixels mean to all who handle them: data, losses, metrics and figures."""

IGNORED = 255
"""The label of pixels that have none, and that count nowhere."""
