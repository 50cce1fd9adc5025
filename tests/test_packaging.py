"""What the project says of how it is installed."""

import pathlib
import re

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
