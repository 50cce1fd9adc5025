"""What can be wrong with weights."""


class WeightsError(Exception):
    """A file of weights cannot be read, or does not fit the model; the message says why."""
