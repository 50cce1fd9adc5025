"""Saving of figures."""

import pathlib
from typing import TYPE_CHECKING

from jaxvision.files import writing

if TYPE_CHECKING:
    import matplotlib.figure

DOTS_PER_INCH = 150


def save(figure: "matplotlib.figure.Figure", path: str | pathlib.Path) -> None:
    """Writes a figure as PNG, at 150 dots per inch, and replaces an existing file.

    The file is written completely or not at all, even if the process is killed or two threads write
    the same file.

    Args:
        figure: Any Matplotlib figure.
        path: File name ending in `.png`; missing folders are created.

    Raises:
        ValueError: The file name has another ending.

    >>> import tempfile
    >>> from jaxvision import plots
    >>> figure = plots.confusion_matrix([[8, 1], [0, 9]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plots.save(figure, f"{folder}/figures/errors.png")
    ...     [file.name for file in pathlib.Path(folder).rglob("*.png")]
    ['errors.png']
    """
    path = pathlib.Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(
            f"the name of a figure must end in .png, got {path.name!r}; "
            "figure.savefig writes other formats"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as file:
        figure.savefig(file, format="png", dpi=DOTS_PER_INCH, facecolor="auto")
