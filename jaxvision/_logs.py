"""Other libraries' log messages, where ours says it better."""

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def absl_level(level: int) -> Iterator[None]:
    """Hides what TFDS and Orbax log below a level.

    Args:
        level: A level of `logging`.

    Yields:
        Nothing; the level before comes back at the end.

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
