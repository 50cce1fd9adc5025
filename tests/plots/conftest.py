import io

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def render():
    """Draws a figure, and gives its pixels from 0 to 255."""

    def pixels(figure):
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=60, facecolor="auto")
        return np.asarray(Image.open(file).convert("RGB")).astype(int)

    return pixels
