"""Evaluations of every form: sums of any shape, rows, several at once, the best state, pictures."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxvision import data, metrics, train
from jaxvision.train._evaluator import gather

NUMBERS = np.arange(20, dtype=np.float32)


def numbers(count: int = 20) -> data.Dataset:
    return data.from_arrays({"number": NUMBERS[:count]}, name="numbers", split="test")


def add(state, batch):
    """Counts steps."""
    return state + 1, {"loss": (state, 1.0)}


class Moments:
    """Sums of several shapes, and what they come to."""

    def measure(self, state, batch):
        weighed = batch["number"] * batch["weight"]
        return {
            "count": batch["weight"].sum(),
            "outer": jnp.outer(weighed, weighed).sum() * jnp.ones((2, 3)),
            "classes": (
                jax.nn.one_hot(batch["number"].astype(int) // 10, 2) * batch["weight"][:, None]
            )
            .sum(0)
            .astype(jnp.int32),
        }

    def summarize(self, sums):
        assert sums["outer"].shape == (2, 3)
        assert sums["classes"].dtype == np.int64
        return {"count": sums["count"], "small": sums["classes"][0], "outer": sums["outer"][1, 2]}


class Everything:
    """All numbers, in their order."""

    def measure(self, state, batch):
        return train.Rows((batch["number"], batch["number"][:, None] + state), batch["weight"])

    def summarize(self, rows):
        plain, shifted = rows
        return {
            "in_order": float((plain == NUMBERS).all()),
            "shift": (shifted[:, 0] - plain).mean(),
            "median": np.median(plain),
        }


def fit(run_dir: pathlib.Path | None = None, *, num_steps: int = 6, **options) -> train.FitResult:
    given = {"eval_every": 3, "log_every": 3, "fuse_steps": 1, **options}
    return train.fit(
        add, jnp.zeros(()), numbers().batches(16), num_steps=num_steps, run_dir=run_dir, **given
    )


def steps_of(result: train.FitResult, split: str) -> list[int]:
    return [line["step"] for line in result.history if line["split"] == split]


def test_sums_of_any_shape_are_added_without_padding() -> None:
    result = fit(evaluate=Moments(), eval_data=numbers())
    outer = NUMBERS[:16].sum() ** 2 + NUMBERS[16:].sum() ** 2  # of the two batches
    assert result.metrics == {"count": 20, "small": 10, "outer": outer}


def test_rows_are_gathered_in_order_without_padding() -> None:
    result = fit(evaluate=Everything(), eval_data=numbers())
    assert result.metrics == {"in_order": 1, "shift": 6, "median": 9.5}


def test_gathering_of_nothing_and_of_trees() -> None:
    assert gather([]) is None
    rows = [
        train.Rows({"a": np.zeros((0, 2))}, np.zeros(0)),
        train.Rows({"a": np.ones((2, 2))}, [1, 0]),
    ]
    assert gather(rows)["a"].shape == (1, 2)
    with pytest.raises(ValueError, match=r"one weight per example, got weights of shape \(2, 2\)"):
        gather([train.Rows(np.ones((2, 2)), np.ones((2, 2)))])


def test_several_at_their_own_intervals(tmp_path) -> None:
    evaluations = {
        "moments": train.EvaluateOn(Moments(), numbers(), every=2),
        "alone": train.EvaluateOn(lambda state, batch: {"total": (state, 1)}),
        "few": train.EvaluateOn(Moments(), lambda: numbers(8).batches(8, epochs=1), every=5),
    }
    options = {"evaluate": Everything(), "eval_data": numbers(), "evaluations": evaluations}
    result = fit(tmp_path, **options)
    assert steps_of(result, "test") == [3, 6]
    assert steps_of(result, "moments") == [2, 4, 6]
    assert steps_of(result, "alone") == [3, 6]
    assert steps_of(result, "few") == [5, 6]
    assert set(result.evaluations) == {"test", "moments", "alone", "few"}
    assert result.evaluations["few"]["count"] == 8
    assert result.metrics == result.evaluations["test"]
    # In pieces, the same: also where a piece ends in between.
    for end in (3, 5, 6):
        pieces = fit(tmp_path / "pieces", num_steps=end, **options)
    for split in ("test", "moments", "alone", "few"):
        assert set(steps_of(result, split)) <= set(steps_of(pieces, split))


def test_an_evaluation_that_was_cut_off_is_made_up_for(tmp_path) -> None:
    calls = []

    def fails(state, batch):
        calls.append(float(state))
        if len(calls) == 1:
            raise RuntimeError("the disk is gone")
        return {"total": (state, 1)}

    evaluations = {"second": train.EvaluateOn(fails, every=2)}
    options = {"evaluate": Moments(), "eval_data": numbers(), "evaluations": evaluations}
    with pytest.raises(RuntimeError, match="the disk is gone"):
        fit(tmp_path, **options, eval_every=2)
    result = fit(tmp_path, **options, eval_every=2)
    assert steps_of(result, "test") == steps_of(result, "second") == [2, 4, 6]
    assert calls == [2, 2, 4, 6]


class Hill:
    """A score that is best after four steps."""

    def measure(self, state, batch):
        return -jnp.abs(state - 4) * batch["weight"][:1].sum() / 2

    def summarize(self, height):
        return {"height": height}


@pytest.mark.parametrize("best", [train.highest("height"), train.lowest("height", of="test")])
def test_the_best_state_is_kept(best: train.Best, tmp_path) -> None:
    options = {"evaluate": Hill(), "eval_data": numbers(8), "eval_every": 2, "num_steps": 12}
    options |= {"checkpoint_every": 3, "keep_checkpoints": 2, "keep_best": best}
    result = fit(tmp_path, **options)
    expected = 4 if best.highest else 12
    assert result.best_step == expected
    kept = train.Checkpointer(tmp_path / "checkpoints").steps()
    assert kept == ([4, 9, 12] if best.highest else [10, 12])
    run = train.open_run(tmp_path, step="best")
    assert (run.step, float(run.state)) == (expected, expected)
    longer = fit(tmp_path, **{**options, "num_steps": 20})
    assert longer.best_step == (4 if best.highest else 20)
    assert train.open_run(tmp_path, step="best").step == longer.best_step


def test_a_best_that_is_not_measured(tmp_path) -> None:
    options = {"evaluate": Hill(), "eval_data": numbers(8)}
    with pytest.raises(ValueError, match="names 'hight', which is not measured: test has height"):
        fit(tmp_path, **options, keep_best=train.highest("hight"))
    assert fit(keep_best=train.highest("accuracy")).best_step is None


def test_undefined_values_are_never_best() -> None:
    lines = [{"step": s, "split": "test", "x": v} for s, v in ((1, np.nan), (2, 3), (3, 3), (4, 1))]
    assert train.highest("x").step(lines) == 2
    assert train.lowest("x").step(lines) == 4
    assert train.highest("y").step(lines) is None
    assert train.highest("x", of="other").step(lines) is None


@pytest.mark.parametrize("evaluated", [True, False])
def test_pictures_go_to_files_and_tensorboard(evaluated: bool, tmp_path) -> None:
    def pictures(step, state):
        assert float(state) == step
        return {
            "gray/ramp": np.linspace(0, 1, 6).reshape(2, 3),
            "color": np.full((2, 2, 3), 7 * step, np.uint8),
        }

    options = {"evaluate": Moments(), "eval_data": numbers()} if evaluated else {}
    fit(tmp_path, on_evaluation=pictures, **options)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert files == [
        f"pictures/{name}/{step:09d}.png" for name in ("color", "gray_ramp") for step in (3, 6)
    ]
    with Image.open(tmp_path / "pictures" / "color" / "000000006.png") as image:
        assert np.asarray(image)[0, 0].tolist() == [42, 42, 42]
    events = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert b"gray/ramp" in events
    fit(on_evaluation=lambda step, state: None)  # without a folder, and without pictures


def test_a_figure_is_a_picture(tmp_path) -> None:
    plots = pytest.importorskip("matplotlib.figure")
    fit(tmp_path, num_steps=1, on_evaluation=lambda *_: {"figure": plots.Figure((1, 1), dpi=20)})
    with Image.open(tmp_path / "pictures" / "figure" / "000000001.png") as image:
        assert image.size == (20, 20)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((2, 2, 2)), r"width, 1, 3 or 4\), and has \(2, 2, 2\)"),
        (np.zeros((2, 2), int), "must be uint8, or floating point from 0 to 1, and is int64"),
    ],
)
def test_what_is_no_picture(picture, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(num_steps=1, on_evaluation=lambda *_: {"x": picture})


class Says:
    def __init__(self, **numbers):
        self.numbers = numbers

    def measure(self, state, batch):
        return batch["weight"].sum()

    def summarize(self, gathered):
        return self.numbers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluations": {"train": train.EvaluateOn(Says())}}, "must not be called 'train'"),
        ({"evaluations": {"a": train.EvaluateOn(Says(), every=0)}}, "at least 1 step, got 0"),
        ({"evaluations": {"a": Says()}}, "evaluations must hold train.EvaluateOn"),
        (
            {
                "evaluate": Says(),
                "eval_data": numbers(),
                "evaluations": {"test": train.EvaluateOn(Says())},
            },
            "two evaluations are called 'test'",
        ),
        ({"evaluate": Says(step=1.0), "eval_data": numbers()}, "must not be called 'step'"),
        ({"evaluate": Says(), "eval_data": []}, "nothing to evaluate in evaluation: the data hold"),
    ],
)
def test_evaluations_that_cannot_be(options, message: str, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        fit(num_steps=1, **options)


def test_a_summary_is_of_numbers() -> None:
    message = r"'a' of the evaluation test must be a number, and has the shape \(2,\)"
    with pytest.raises(TypeError, match=message):
        fit(num_steps=1, evaluate=Says(a=np.ones(2)), eval_data=numbers())


def test_what_is_best_is_in_the_record(tmp_path) -> None:
    options = {"evaluate": Hill(), "eval_data": numbers(8)}
    fit(tmp_path, **options, keep_best=train.highest("height"))
    record = json.loads((tmp_path / "settings.json").read_text())
    assert record["best"] == {"metric": "height", "of": None, "highest": True}


def test_the_loss_of_a_task_is_an_evaluation() -> None:
    class Loss:
        def __call__(self, params, model_state, batch, key):
            raise AssertionError("the loss is not evaluated as a function")

        def evaluate(self, state, batch):
            return {"mean": metrics.mean(batch["number"], batch["weight"])}

    assert fit(num_steps=1, evaluate=Loss(), eval_data=numbers()).metrics == {"mean": 9.5}


def test_a_function_stands_for_means() -> None:
    def mean(state, batch):
        return {"mean": metrics.mean(batch["number"], batch["weight"])}

    assert fit(num_steps=1, evaluate=mean, eval_data=numbers()).metrics == {"mean": 9.5}
