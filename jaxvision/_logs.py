"""Log messages of other libraries."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def absl_level(level: int) -> Iterator[None]:
    """Hides log messages of TFDS and Orbax below a level, inside a `with` block.

    >>> with absl_level(logging.ERROR):
    ...     logging.getLogger("absl").isEnabledFor(logging.WARNING)
    False
    """
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
