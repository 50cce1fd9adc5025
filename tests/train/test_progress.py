"""What a run shows: lines where nobody watches, a bar that fits where somebody does."""

import io
import pathlib
import re
import time
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import data, train
from jaxvision.train import _progress
from jaxvision.train._progress import Progress

HEIGHTS = {"highest": [1.0, 3.0, 2.0, 2.5, 1.0, 0.0], "rising": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}


def add(state, batch):
    """Adds up rows."""
    return state + batch["image"].sum(), {"loss": (batch["image"].sum(), 1.0)}


def fit(run_dir: pathlib.Path | None = None, *, heights: str = "rising", **options):
    """Twelve steps, with an evaluation after each two whose numbers are given."""
    rows = data.from_arrays({"image": np.ones((16, 2, 2, 1), np.float32)})
    given = {"num_steps": 12, "eval_every": 2, "log_every": 2, "fuse_steps": 1, **options}

    def height(state, batch):
        del batch
        index = int(state) // 64 - 1  # a step adds 32
        return {"height": (HEIGHTS[heights][index], 1.0), "loss": (0.25, 1.0)}

    evaluated = {} if "evaluate" in given else {"evaluate": height}
    return train.fit(
        add, jnp.zeros(()), rows.batches(8, seed=0), run_dir=run_dir, **evaluated, **given
    )


class Terminal(io.StringIO):
    """Text that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def seen_on_terminal(run: Callable[[], object]) -> str:
    """What a terminal of 80 columns gets."""
    screen = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setattr("sys.stderr", screen)
        run()
    return screen.getvalue()


def test_without_a_terminal_there_is_a_line_for_each_evaluation(
    capsys: pytest.CaptureFixture,
) -> None:
    fit()
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 6
    assert re.fullmatch(
        r"step 4 of 12; train loss 32; evaluation loss 0\.25, height 2; \S+ steps/s, .*s left",
        lines[1],
    )
    assert "left" not in lines[-1]


def test_without_evaluations_there_are_lines_as_often(capsys: pytest.CaptureFixture) -> None:
    fit(evaluate=None)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        f"step {n} of 12" for n in (*range(2, 13, 2),)
    ]


def test_false_is_silent(capsys: pytest.CaptureFixture) -> None:
    fit(progress=False)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_everything_fits() -> None:
    text = seen_on_terminal(fit)
    assert "compiling" in text
    assert "step 4 of 12; train loss 32; evaluation loss 0.25, height 2\n" in text
    last = re.split(r"[\r\n]+", text.strip())[-1]
    assert last.startswith("100%|")
    assert last.endswith("loss 32, evaluation height 6]")
    assert all(len(line) <= 80 for line in re.split(r"[\r\n]", text))


def test_many_numbers_are_cut_short() -> None:
    many = {f"iou_of_class_{number}": (0.5, 1.0) for number in range(20)}
    text = seen_on_terminal(lambda: fit(evaluate=lambda state, batch: many))
    lines = re.split(r"[\r\n]", text)
    assert any(line.endswith("...") for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_a_long_run_is_told_how_long_it_takes(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(float(seconds) for seconds in range(100))
    monkeypatch.setattr(_progress.time, "perf_counter", lambda: next(times))
    progress = Progress(None, 0, 10_000)
    progress.memory = lambda: 3 * 2**29
    with progress:
        for _ in range(8):
            progress.advance(1)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"a step takes \S+ s and 1\.5 GiB of memory on each device: the remaining 9,99\d steps "
        r"will take about \d+ h( \d+ min)?",
        line,
    )


def test_a_long_compilation_is_said_once(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_progress, "_PATIENCE", 0.01)
    for show, said in ((None, "compiling the step\n"), (False, "")):
        with Progress(show, 0, 10) as progress:
            time.sleep(0.1)
            progress.advance(1)
        assert capsys.readouterr().err == said


def test_the_first_evaluation_does_not_count_in_the_rate(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(_progress.time, "perf_counter", lambda: now[0])
    with Progress(None, 0, 10) as progress:
        progress.advance(1)
        for _ in range(2):
            now[0] += 1.0
            progress.advance(1)
            now[0] += 1.0 if progress._evaluated else 98.0  # while the evaluation is compiled
            progress.measured("test", {"loss": 1.0})
            progress.report()
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "step 3 of 10; test loss 1; 0.5 steps/s, 14 s left"


def test_the_return_of_an_agent_comes_first() -> None:
    values = {"length": 9.0, "return": 7.0, "return_high": 8.0}
    progress = Progress(False, 0, 10)
    progress.measured("evaluation", values)
    assert _progress._fitting(progress._shown, 30) == "evaluation return 7"


def test_the_memory_of_a_step_is_known(tmp_path: pathlib.Path) -> None:
    parallel = train.parallelize(add)
    batch = {"image": np.ones((8, 2, 2, 1), np.float32), "weight": np.ones(8, np.float32)}
    program = train._program.Program(parallel, jnp.zeros(()), batch)
    assert 16 <= program.memory() < 2**20


def test_patience_ends_a_run_that_gets_no_better(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    options = {"heights": "highest", "keep_best": train.highest("height"), "patience": 3}
    result = fit(tmp_path, **options)
    assert (result.step, result.best_step) == (10, 4)
    assert "stopped at step 10: 3 evaluations were not better than that of step 4" in (
        capsys.readouterr().err
    )
    again = fit(tmp_path, **options)
    assert again.step == 10
    assert "nothing was trained" in capsys.readouterr().err
    assert fit(heights="rising", keep_best=train.highest("height"), patience=3).step == 12


def test_patience_needs_to_know_what_is_better() -> None:
    with pytest.raises(ValueError, match="patience needs keep_best"):
        fit(patience=3)
    with pytest.raises(ValueError, match="patience must be"):
        fit(patience=0, keep_best=train.highest("height"))


def test_loggers_get_every_number_once(tmp_path: pathlib.Path) -> None:
    heard: list[tuple[int, dict[str, float]]] = []

    def logger(step, numbers):
        heard.append((step, dict(numbers)))

    fit(tmp_path, num_steps=6, loggers=[logger])
    assert [step for step, _ in heard] == [2, 2, 4, 4, 6, 6]
    assert heard[0][1].keys() == {"train/loss", "train/steps_per_second"}
    assert heard[1] == (2, {"evaluation/height": 1.0, "evaluation/loss": 0.25})
    heard.clear()
    fit(tmp_path, num_steps=12, loggers=[logger])
    assert [step for step, _ in heard] == [8, 8, 10, 10, 12, 12]


def test_a_run_says_where_it_goes_on(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    fit(tmp_path, num_steps=6)
    capsys.readouterr()
    fit(tmp_path)
    assert capsys.readouterr().err.startswith(f"{tmp_path} goes on at step 6\n")


def test_a_state_that_was_used_up_is_refused() -> None:
    state = jnp.zeros(())
    state.delete()
    with pytest.raises(ValueError, match=r"the state was used up.*result\.state"):
        train.fit(add, state, [{"image": np.ones((8, 1))}])
