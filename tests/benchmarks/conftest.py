"""Modules of benchmarks/, which import each other by their bare names."""

import importlib
import pathlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of benchmarks/; what others imported under such names is put aside."""
    names = {path.stem for path in BENCHMARKS.iterdir()}

    def imported() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in names]

    aside = {name: sys.modules.pop(name) for name in imported()}
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module
    for name in imported():
        del sys.modules[name]
    sys.modules.update(aside)
