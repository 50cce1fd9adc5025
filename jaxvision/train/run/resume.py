"""A run on disk: what it goes on from, and what it leaves."""

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
    """The folder of a run, or nothing where there is none; `fit` writes through it."""

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
        """Names the folder; nothing is written before `resume`.

        Args:
            folder: The run's folder, or None.
            settings: The user's.
            may_differ: Names in the settings that may change when the run goes on.
            step: The step, which may describe itself.
            data: The batches, which may describe themselves.
            keep: How many checkpoints to keep.
            best: Which state's checkpoint to keep besides.
            loggers: Called with every measurement.

        Raises:
            RunFolderError: The folder is none of a file system.
        """
        if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:/", str(folder)):  # `Path` makes one slash of two
            raise RunFolderError(
                f"the run folder {folder} must lie in a file system: mount the bucket, or copy the "
                "folder there when the run is over"
            )
        self.folder = None if folder is None else pathlib.Path(folder).expanduser()
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

    def resume(self, state: PyTree, batches: Peekable | None) -> tuple[int, PyTree, dict[str, Any]]:
        """Puts the state, the data and the files back to the newest checkpoint.

        Args:
            state: Where a new run starts; its shapes and devices are those of the old one too.
            batches: The data, moved to the saved position.

        Returns:
            The step, the state, and the sums of metrics since the last line of the log.

        Raises:
            SettingsError: The run has other settings.
            RunFolderError: The folder cannot be written, or another run is writing to it.
            CheckpointError: The checkpoint holds another state.
            ValueError: The data cannot be moved.
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
        # Every process knows what was evaluated: evaluating is work for all of them.
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
        """Keeps what a run whose checkpoints are gone has measured."""
        assert self.folder is not None
        if (aside := set_aside(self.folder)) is not None:
            warnings.warn(
                f"{self.folder} holds measurements of a run and no whole checkpoint of it: the run "
                f"begins at step 0, and they are kept in {aside.name}. If its checkpoints lie "
                f"elsewhere, bring them back to {self.folder / CHECKPOINTS} and start again",
                stacklevel=4,
            )

    def check_program(self, program: Program) -> None:
        """Keeps what identifies the step, and refuses to go on with another one.

        Args:
            program: The step, with a state and a batch.

        Raises:
            SettingsError: The step is another one than that of the checkpoint.
        """
        if self.folder is None:
            return
        self._record = dataclasses.replace(self._record, program=program.fingerprint())
        if self._before is not None and "program" not in self._may_differ:
            check_fingerprint(self._before, self._record, self.folder)
        if jax.process_index() == 0:
            with self._writing():
                save_record(self.folder, self._record)

    def log(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Keeps a measurement.

        Args:
            step: When it was made.
            split: `train`, or what was evaluated.
            values: Numbers by name.
        """
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
        """Saves a checkpoint, unless there is one of this step.

        Args:
            step: Where the run is.
            state: The state.
            data: The position in the data.
            window: The sums of metrics since the last line of the log.
            wait: Whether to return only when it is sealed.

        Raises:
            CheckpointError: It cannot be written, or the one before could not.
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
        """The step of the best state so far.

        Returns:
            The step; None if none is to be kept, or none was measured.

        Raises:
            ValueError: No evaluation measures what makes a state better.
        """
        if self._best is None:
            return None
        self._best.check(self.history)
        return self._best.step(self.history)

    def evaluations_since_best(self) -> int:
        """How many evaluations were made after that of the best state.

        Returns:
            Their number; 0 if no best state is kept.
        """
        return 0 if self._best is None else self._best.evaluations_since(self.history)

    def protect(self, step: int | None) -> None:
        """Keeps the checkpoint of a step, besides the newest ones.

        Args:
            step: The step; None keeps none.
        """
        if self._checkpointer is not None:
            self._checkpointer.protect(step)

    def show(self, step: int, pictures: Mapping[str, Picture]) -> None:
        """Keeps pictures, in files and in TensorBoard.

        Args:
            step: When they were made.
            pictures: By what they show.

        Raises:
            ValueError: One is no picture.
        """
        for name, picture in pictures.items():
            pixels = to_pixels(name, picture)
            if self._log is not None and self.folder is not None:
                with self._writing():
                    save_picture(self.folder, step, name, pixels)
                    self._log.image(step, name, pixels)

    def say(self, what: str) -> None:
        """Tells the user of the run, on a line of its own, once for all processes.

        Args:
            what: The sentence.
        """
        if jax.process_index() == 0:
            tqdm.write(what, file=sys.stderr)

    def last_good(self) -> str:
        """The newest sealed checkpoint in words, for an error.

        Returns:
            A clause.
        """
        if self._checkpointer is None:
            return "there is no checkpoint, because the run has no run_dir"
        with contextlib.suppress(Exception):
            self._checkpointer.wait()
        # Later steps than this run's are damaged ones, which it did not go on from.
        steps = [step for step in self._checkpointer.steps() if step <= (self._saved or 0)]
        if not steps:
            return f"{self.folder} has no checkpoint yet"
        return f"the last good checkpoint in {self.folder} is that of step {steps[-1]}"

    def close(self) -> None:
        """Waits for a checkpoint that is being written, and closes the files.

        Raises:
            CheckpointError: The checkpoint could not be written.
        """
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
        # An error on the way out must not hide the one that led there.
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
        raise  # it says what differs
    except Exception as error:  # an iterator of the user's meets what it does not know
        raise CheckpointError(
            f"{where}: the position in the data cannot be used: {error!r}"
        ) from error
    if batches.counts_steps and position["step"] != before["step"] + step:
        raise CheckpointError(
            f"{where}: its position in the data is that of step {position['step'] - before['step']}"
        )
