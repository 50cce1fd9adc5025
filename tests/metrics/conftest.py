import json
import pathlib

import pytest


@pytest.fixture(scope="session")
def fixture():
    """What scikit-learn, statsmodels, SciPy and TorchMetrics compute."""
    path = pathlib.Path(__file__).parent.parent / "fixtures" / "metrics.json"
    return json.loads(path.read_text())
