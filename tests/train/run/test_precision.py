"""Runs whose models compute in another type."""

import pathlib

import jax.numpy as jnp
import numpy as np

from jaxvision import models, train
from jaxvision.train.run.precision import computing_in
from jaxvision.train.run.record import make_record


def run(dtype: str | None = None) -> train.SavedRun:
    backbone = models.create_model("mlp", hidden_sizes=(8,), dtype=dtype)
    model = models.MultiHead(backbone=backbone, heads={"kind": 3})
    leaves = {"kernel": np.full((2, 3), 1 / 3, np.float32), "bias": np.ones(3, np.float32)}
    state = {
        "network": {"params": leaves, "ema_params": leaves, "model_state": {"mean": np.eye(2)}},
        "step": np.int32(3),
    }

    class Step:
        def describe(self) -> dict:
            return {"task": "multitask", "models": {"model": model, "other": None}}

    return train.SavedRun(pathlib.Path("run"), 3, make_record(None, Step()), state)


def test_matrices_are_rounded_and_models_told() -> None:
    before = run()
    after = computing_in(before, "bfloat16")
    assert after.model().backbone.dtype == jnp.bfloat16
    assert after.record.models["other"] is None
    network = after.state["network"]
    for name in ("params", "ema_params"):
        assert network[name]["kernel"].dtype == jnp.bfloat16
        assert network[name]["bias"].dtype == np.float32
    assert network["model_state"]["mean"].dtype == np.float64
    assert after.state["step"] == 3
    assert before.state["network"]["params"]["kernel"].dtype == np.float32
    assert before.model().backbone.dtype is None


def test_float32_changes_what_was_made_for_another_type() -> None:
    plain, narrow = run(), run("bfloat16")
    assert computing_in(plain, "float32") is plain
    wide = computing_in(narrow, "float32")
    assert wide.model().backbone.dtype == np.float32
    assert wide.state is narrow.state
