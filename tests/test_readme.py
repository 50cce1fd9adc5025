"""The README's example runs as it stands, for fewer steps."""

import pathlib
import re

import jax
import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"


@pytest.mark.slow
def test_example_runs(tmp_path: pathlib.Path, monkeypatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert "num_steps=2_000" in code
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(code.replace("num_steps=2_000", "num_steps=2"), scope)
    assert scope["result"].step == 2
    restored = scope["trained"].variables["params"]
    averaged = scope["result"].state.ema_params
    assert jax.tree.structure(restored) == jax.tree.structure(averaged)
    assert scope["predictions"].logits.shape == (359, 10)
