"""A run on disk: what it goes on from, and what it leaves."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import jax

from jaxvision.train.checkpoint import Checkpointer
from jaxvision.train.run_folder import (
    MetricsLog,
    RunFolderError,
    check_settings,
    read_metrics,
    run_settings,
    save_settings,
)

PyTree = Any
CHECKPOINTS = "checkpoints"


class Run:
    """The folder of a run, or nothing where there is none; `fit` writes through it."""

    def __init__(
        self,
        folder: str | pathlib.Path | None,
        *,
        settings: Any,
        may_differ: Sequence[str],
        step: Any,
        keep: int,
    ) -> None:
        """Names the folder; nothing is written before `resume`.

        Args:
            folder: The run's folder, or None.
            settings: The user's.
            may_differ: Names in the settings that may change when the run goes on.
            step: The step, which may describe itself.
            keep: How many checkpoints to keep.
        """
        self.folder = None if folder is None else pathlib.Path(folder).expanduser()
        self.history: list[dict[str, Any]] = []
        self._settings = run_settings(settings, step)
        self._may_differ = may_differ
        self._log: MetricsLog | None = None
        self._saved: int | None = None
        self._checkpointer = (
            None if self.folder is None else Checkpointer(self.folder / CHECKPOINTS, keep=keep)
        )

    def resume(
        self, state: PyTree, batches: Iterator[Any] | None
    ) -> tuple[int, PyTree, dict[str, Any]]:
        """Puts the state, the data and the files back to the newest checkpoint.

        Args:
            state: Where a new run starts; its shapes and devices are those of the old one too.
            batches: The data, moved to the saved position.

        Returns:
            The step, the state, and the sums of metrics since the last line of the log.

        Raises:
            SettingsError: The run has other settings.
            RunFolderError: The folder cannot be written.
            CheckpointError: The checkpoint holds another state.
            ValueError: The data cannot be moved.
        """
        if self.folder is None or self._checkpointer is None:
            return 0, state, {}
        window: dict[str, Any] = {}
        step = self._checkpointer.latest()
        if step is not None:
            extra = self._checkpointer.extra(step)
            check_settings(extra["settings"], self._settings, self.folder, self._may_differ)
            state = self._checkpointer.load(step, _abstract(state))
            window = extra["window"]
            _move(batches, extra["data"], step)
        self._saved = step
        step = step or 0
        if jax.process_index() == 0:
            with self._writing():
                save_settings(self.folder, self._settings)
                self.history = [line for line in read_metrics(self.folder) if line["step"] <= step]
                self._log = MetricsLog(self.folder, step=step)
        return step, state, window

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
            self._checkpointer.save(step, state, data=data, window=window, settings=self._settings)
            self._saved = step
        if wait:
            self._checkpointer.wait()

    def last_good(self) -> str:
        """The newest sealed checkpoint in words, for an error.

        Returns:
            A clause.
        """
        if self._checkpointer is None:
            return "there is no checkpoint, because the run has no run_dir"
        with contextlib.suppress(Exception):
            self._checkpointer.wait()
        steps = self._checkpointer.steps()
        if not steps:
            return f"{self.folder} has no checkpoint yet"
        return f"the last good checkpoint in {self.folder} is that of step {steps[-1]}"

    def close(self) -> None:
        """Waits for a checkpoint that is being written, and closes the files.

        Raises:
            CheckpointError: The checkpoint could not be written.
        """
        if self._log is not None:
            self._log.close()
        if self._checkpointer is not None:
            self._checkpointer.wait()

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
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


def _move(batches: Iterator[Any] | None, position: Any, step: int) -> None:
    if batches is None:
        return
    if position is None or not hasattr(batches, "set_state"):
        raise ValueError(
            f"the run goes on at step {step}, and these batches cannot be put back to where it "
            "was: use Dataset.batches(...), or an iterator with get_state() and set_state(state)"
        )
    batches.set_state(position)
