"""The folder of a run, through which `fit` resumes, logs and saves."""

import contextlib
import dataclasses
import pathlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
from tqdm import tqdm

from jaxvision.train._peekable import Peekable
from jaxvision.train._program import Program
from jaxvision.train.best import Best
from jaxvision.train.checkpoint import Checkpointer, CheckpointError
from jaxvision.train.run._claim import Claim
from jaxvision.train.run._fields import is_mapping, is_number, list_of, read_field
from jaxvision.train.run.errors import RunFolderError
from jaxvision.train.run.log import MetricsLog, read_metrics, set_aside
from jaxvision.train.run.pictures import Picture, save_picture, to_pixels
from jaxvision.train.run.record import (
    RunRecord,
    check_fingerprint,
    check_settings,
    make_record,
    read_record,
    save_record,
)

PyTree = Any
CHECKPOINTS = "checkpoints"
Logger = Callable[[int, Mapping[str, float]], object]
"""`(step, numbers)`, called with names such as `train/loss` and `test/accuracy`."""


class Run:
    """The folder of a run, through which `fit` writes; without a folder, nothing is written."""

    def __init__(
        self,
        folder: str | pathlib.Path | None,
        *,
        settings: Any,
        may_differ: Sequence[str],
        step: Any,
        data: Any,
        keep: int,
        best: Best | None,
        loggers: Sequence[Logger] = (),
    ) -> None:
        """Takes the options of `fit`; nothing is written before `resume`."""
        if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", str(folder)):  # `Path` merges two slashes
            raise RunFolderError(
                f"the run folder {folder} must lie in a file system: mount the bucket, or copy the "
                "folder there when the run is over"
            )
        self.folder = None if folder is None else pathlib.Path(folder).expanduser()
        if self.folder is not None and self.folder.is_file():
            raise RunFolderError(f"the run folder {folder} is a file: name a folder, or a new one")
        self.history: list[dict[str, Any]] = []
        self._record = make_record(settings, step, data, best=best)
        self._best = best
        self._loggers = loggers
        self._may_differ = may_differ
        self._before: RunRecord | None = None
        self._claim: Claim | None = None
        self._log: MetricsLog | None = None
        self._saved: int | None = None
        self._checkpointer = (
            None if self.folder is None else Checkpointer(self.folder / CHECKPOINTS, keep=keep)
        )

    def newest(self) -> int | None:
        """Returns the step of the newest intact checkpoint; None without one."""
        return None if self._checkpointer is None else self._checkpointer.latest()

    def resume(self, state: PyTree, batches: Peekable | None) -> tuple[int, PyTree, dict[str, Any]]:
        """Locks the folder, and resumes from the newest checkpoint, if there is one.

        `state` is the initial one; a restored state has its shapes and devices. `batches` are moved
        to the saved position. Returns the step, the state, and the sums of metrics since the last
        log line.
        """
        if self.folder is None or self._checkpointer is None:
            return 0, state, {}
        self._claim = Claim(self.folder)
        window: dict[str, Any] = {}
        step = self._checkpointer.latest()
        if step is not None:
            where = f"the record of step {step} in {self.folder}"
            extra = self._checkpointer.extra(step)
            self._before = read_record(extra.get("record"), where)
            self._record = dataclasses.replace(self._record, program=self._before.program)
            check_settings(self._before, self._record, self.folder, self._may_differ)
            window = read_field(extra, "window", _is_window, "pairs of sums by name", where)
            state = self._checkpointer.load(step, _abstract(state))
            _move(batches, extra.get("data"), step, where)
        self._saved = step
        step = step or 0
        # Every process needs the history, because all take part in evaluations.
        if self._saved is not None:
            self.history = [line for line in read_metrics(self.folder) if line["step"] <= step]
            self.protect(self.best())
        if jax.process_index() == 0:
            with self._writing():
                if self._saved is None:
                    self._begin_anew()
                save_record(self.folder, self._record)
                self._log = MetricsLog(self.folder, step=step, kept=self.history)
        return step, state, window

    def _begin_anew(self) -> None:
        """Keeps the measurements of a run whose checkpoints are gone, in another file."""
        assert self.folder is not None
        if (aside := set_aside(self.folder)) is not None:
            warnings.warn(
                f"{self.folder} holds measurements of a run and no whole checkpoint of it: the run "
                f"begins at step 0, and they are kept in {aside.name}. If its checkpoints lie "
                f"elsewhere, bring them back to {self.folder / CHECKPOINTS} and start again",
                stacklevel=4,
            )

    def check_program(self, program: Program) -> None:
        """Records the fingerprint of the step; raises SettingsError if the step has changed."""
        if self.folder is None:
            return
        self._record = dataclasses.replace(self._record, program=program.fingerprint())
        if self._before is not None and "program" not in self._may_differ:
            check_fingerprint(self._before, self._record, self.folder)
        if jax.process_index() == 0:
            with self._writing():
                save_record(self.folder, self._record)

    def log(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Records the metrics of training (`split` is `train`) or of an evaluation."""
        self.history.append({"step": step, "split": split, **values})
        if self._log is not None:
            with self._writing():
                self._log.write(step, split, values)
        if jax.process_index() == 0:
            for logger in self._loggers:
                logger(step, {f"{split}/{name}": value for name, value in values.items()})

    def save(
        self, step: int, state: PyTree, *, data: Any, window: dict[str, Any], wait: bool = False
    ) -> None:
        """Saves a checkpoint, unless this step has one; `wait` returns only when it is sealed.

        `data` is the position in the data, `window` the sums of metrics since the last log line.
        """
        if self._checkpointer is None:
            return
        if step != self._saved:
            self._checkpointer.save(
                step, state, data=data, window=window, record=self._record.to_json()
            )
            self._saved = step
        if wait:
            self._checkpointer.wait()

    def best(self) -> int | None:
        """Returns the step of the best state so far; None without one, or without `keep_best`."""
        if self._best is None:
            return None
        self._best.check(self.history)
        return self._best.step(self.history)

    def evaluations_since_best(self) -> int:
        """Counts the evaluations after the best state; 0 without `keep_best`."""
        return 0 if self._best is None else self._best.evaluations_since(self.history)

    def protect(self, step: int | None) -> None:
        """Keeps the checkpoint of a step in addition to the newest ones; None keeps none."""
        if self._checkpointer is not None:
            self._checkpointer.protect(step)

    def show(self, step: int, pictures: Mapping[str, Picture]) -> None:
        """Writes pictures, by name, to files and to TensorBoard."""
        for name, picture in pictures.items():
            pixels = to_pixels(name, picture)
            if self._log is not None and self.folder is not None:
                with self._writing():
                    save_picture(self.folder, step, name, pixels)
                    self._log.image(step, name, pixels)

    def say(self, what: str) -> None:
        """Writes a line to stderr, in the first process only."""
        if jax.process_index() == 0:
            tqdm.write(what, file=sys.stderr)

    def last_good(self) -> str:
        """Returns a clause about the newest sealed checkpoint, for an error message."""
        if self._checkpointer is None:
            return "there is no checkpoint, because the run has no run_dir"
        with contextlib.suppress(Exception):
            self._checkpointer.wait()
        # Checkpoints of later steps are damaged: the run did not resume from them.
        steps = [step for step in self._checkpointer.steps() if step <= (self._saved or 0)]
        if not steps:
            return f"{self.folder} has no checkpoint yet"
        return f"the last good checkpoint in {self.folder} is that of step {steps[-1]}"

    def close(self) -> None:
        """Waits for a checkpoint that is being written, and closes the files."""
        try:
            if self._log is not None:
                self._log.close()
            if self._checkpointer is not None:
                self._checkpointer.wait()
        finally:
            if self._claim is not None:
                self._claim.release()

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        # An error of `close` must not hide the one that ended the run.
        with contextlib.suppress(Exception) if error is not None else contextlib.nullcontext():
            self.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunFolderError(
                f"cannot write to the run folder {self.folder}: {error}; free some space or choose "
                "another folder. Checkpoints that were saved are still there."
            ) from error


def _abstract(state: PyTree) -> PyTree:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state
    )


def _is_window(value: Any) -> bool:
    pair = list_of(is_number, least=2)
    return is_mapping(value) and all(pair(sums) and len(sums) == 2 for sums in value.values())


def _move(batches: Peekable | None, position: Any, step: int, where: str) -> None:
    if batches is None:
        return
    if position is None or not batches.can_move:
        raise ValueError(
            f"the run goes on at step {step}, and these batches cannot be put back to where it "
            "was: use Dataset.batches(...), or an iterator with get_state() and set_state(state)"
        )
    before = batches.position()
    try:
        batches.move(position)
    except ValueError:
        raise  # its message says what differs
    except Exception as error:  # a user's iterator may raise anything
        raise CheckpointError(
            f"{where}: the position in the data cannot be used: {error!r}"
        ) from error
    if batches.counts_steps and position["step"] != before["step"] + step:
        raise CheckpointError(
            f"{where}: its position in the data is that of step {position['step'] - before['step']}"
        )
