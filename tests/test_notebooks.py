"""The notebooks run from the first cell to the last, and show what a run tells there."""

import pathlib

import jax
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from jaxvision import models

NOTEBOOKS = pathlib.Path(__file__).parent.parent / "docs" / "notebooks"


def executed(name: str, folder: pathlib.Path) -> str:
    """All outputs of a notebook that is executed in a folder."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    return "\n".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for output in outputs
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter, whose kernel is another process
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("classify_a_folder", ["of 359 test images", "step 400 of 400", "compiling"]),
        ("fine_tune", ["('stage4_block1',)", "phase 3: test accuracy"]),
        ("train_an_agent", ["step 30 of 30", "return "]),
    ],
)
def test_a_notebook_runs(name, shown, tmp_path, monkeypatch) -> None:
    if name == "fine_tune":
        model = models.create_model("resnet18", num_classes=1000)
        shape = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
        shapes = jax.eval_shape(model.init, jax.random.key(0), shape)
        drawn = np.random.default_rng(0)
        variables = jax.tree.map(lambda leaf: 0.02 * drawn.standard_normal(leaf.shape), shapes)
        variables = jax.tree.map(lambda leaf: np.abs(leaf).astype(np.float32), variables)
        models.save_weights(model, variables, tmp_path / "resnet18.safetensors")
        monkeypatch.setenv("WEIGHTS", str(tmp_path / "resnet18.safetensors"))
        monkeypatch.setenv("STEPS", "2")
    said = executed(name, tmp_path)
    for text in shown:
        assert text in said
