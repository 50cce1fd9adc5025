"""What can be wrong with a data set."""


class DatasetError(Exception):
    """A data set cannot be had or read; the message says what to do about it."""


class CorruptImageError(DatasetError):
    """An image cannot be decoded; the message names its file or record."""
