"""The error of weights that cannot be loaded."""


class WeightsError(Exception):
    """A file of weights cannot be read, or does not fit the model; the message says why."""
