"""The README's first example runs as it stands, and learns what it says."""

import pathlib
import re

import jax
import pytest

DOCS = pathlib.Path(__file__).parent.parent / "docs"
README = DOCS.parent / "README.md"


def example(page: pathlib.Path) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    return code


@pytest.mark.slow
def test_example_runs(tmp_path: pathlib.Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, *_ = jax.devices()
    monkeypatch.setattr(jax, "devices", lambda: [first])
    scope: dict = {}
    exec(example(README), scope)
    assert scope["result"].metrics["accuracy"] > 0.96
    assert (scope["predictions"].classes == scope["predictions"].labels).mean() > 0.96


def test_the_site_begins_with_the_same_example() -> None:
    assert example(DOCS / "index.md") == example(README)
