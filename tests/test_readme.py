"""The README's example runs as it stands, for one step, on one device and with fewer images."""

import pathlib
import re

import jax
import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"
SMALLER = {
    "num_steps=2_000": "num_steps=1",
    "batches(128,": "batches(8,",
    'split="test"': 'split="test[:8]"',
}


@pytest.mark.slow
def test_example_runs(tmp_path: pathlib.Path, monkeypatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    for text, smaller in SMALLER.items():
        assert text in code
        code = code.replace(text, smaller)
    monkeypatch.chdir(tmp_path)
    first, *_ = jax.devices()
    monkeypatch.setattr(jax, "devices", lambda: [first])
    scope: dict = {}
    exec(code, scope)
    assert scope["result"].step == 1
    restored = scope["trained"].variables["params"]
    averaged = scope["result"].state.ema_params
    assert jax.tree.structure(restored) == jax.tree.structure(averaged)
    assert scope["predictions"].logits.shape == (8, 10)
