"""What can be wrong with a data set."""


class DatasetError(Exception):
    """A data set cannot be had or read; the message says what to do about it."""


class CorruptImageError(DatasetError):
    """An image cannot be decoded; the message names its file or record."""


class SplitError(DatasetError):
    """A data set has no such split, or not so many examples in it; the message says what it has."""
