"""The figures of this package. Imported when the first is made, since it needs Matplotlib."""

import io

import matplotlib.figure


class NotebookFigure(matplotlib.figure.Figure):
    """A figure that a notebook shows as a picture, without pyplot and its list of open figures."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()
