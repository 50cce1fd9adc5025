import pytest
from jaxtyping import config


@pytest.fixture
def unchecked(monkeypatch):
    """Switches off the type checks of the test run, to meet the errors that users meet."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)
