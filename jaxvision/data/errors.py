"""Exceptions of data sets."""


class DatasetError(Exception):
    """A data set cannot be obtained or read; the message says what to do about it."""


class CorruptImageError(DatasetError):
    """An image cannot be decoded; the message names its file or record."""


class SplitError(DatasetError):
    """A data set lacks the requested split or part of one; the message says what it has."""
