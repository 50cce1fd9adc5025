"""What the project says of how it is installed, and what importing it loads."""

import pathlib
import re
import subprocess
import sys

import pytest

import jaxvision

ROOT = pathlib.Path(__file__).parent.parent


def test_nothing_asks_for_the_package_of_somebody_else() -> None:
    """The name on the package index is taken: from a clone, the project is `.`."""
    folders = ("jaxvision", "experiments", "docs", "benchmarks")
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    files += [path for name in folders for path in (ROOT / name).rglob("*") if path.suffix in
              (".py", ".md")]  # fmt: skip
    assert len(files) > 100
    asking = [path for path in files if re.search(r"install .*\bjaxvision\b", path.read_text())]
    assert asking == []


def test_scripts_use_what_is_public_alone() -> None:
    folders = ("experiments", "benchmarks", "docs")
    scripts = [path for name in folders for path in (ROOT / name).rglob("*.py")]
    assert len(scripts) > 20
    private = r"^\s*(from|import) .*\b_[a-z]|jaxvision[.\w]*\._[a-z]"
    assert [path for path in scripts if re.search(private, path.read_text(), re.MULTILINE)] == []


def test_parts_are_loaded_at_their_first_use() -> None:
    code = "import sys, jaxvision; print(*(name for name in sys.modules if 'jax' in name))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == ["jaxvision"]


def test_every_part_is_there() -> None:
    for name in jaxvision.__all__:
        assert getattr(jaxvision, name).__name__ == f"jaxvision.{name}"
        assert name in dir(jaxvision)
    with pytest.raises(AttributeError, match="no attribute 'transformers'"):
        jaxvision.transformers
