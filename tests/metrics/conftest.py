import json
import pathlib

import pytest
from jaxtyping import config


@pytest.fixture
def unchecked(monkeypatch):
    """Switches off the type checks of the test run, to meet the errors that users meet."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def fixture():
    """What scikit-learn, statsmodels, SciPy and TorchMetrics compute."""
    path = pathlib.Path(__file__).parent.parent / "fixtures" / "metrics.json"
    return json.loads(path.read_text())
