"""The training loop: runs programs, and logs, saves, evaluates and stops between them."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision._trees import path_name
from jaxvision.train._accumulator import MetricAccumulator, NonFiniteLossError
from jaxvision.train._diagnosis import diagnose
from jaxvision.train._evaluator import Evaluator
from jaxvision.train._feed import Chunk, feed
from jaxvision.train._interrupts import Interrupts
from jaxvision.train._intervals import Intervals
from jaxvision.train._peekable import Peekable
from jaxvision.train._progress import Progress
from jaxvision.train.parallel import ParallelStep
from jaxvision.train.run.pictures import Picture
from jaxvision.train.run.resume import Run

PyTree = Any
OnEvaluation = Callable[[int, Any], Mapping[str, Picture] | None]
"""`(step, state) -> pictures by name, or None`."""


class Loop:
    """A training run in progress."""

    def __init__(
        self,
        parallel: ParallelStep,
        run: Run,
        intervals: Intervals,
        evaluators: Sequence[Evaluator],
        state: PyTree,
        step: int,
        position: Any,
        accumulator: MetricAccumulator,
        interrupts: Interrupts,
        on_evaluation: OnEvaluation | None,
        progress: Progress,
        patience: int | None,
    ) -> None:
        self.state = state
        self.step = step
        self._parallel = parallel
        self._run = run
        self._intervals = intervals
        self._evaluators = evaluators
        self._on_evaluation = on_evaluation
        self._shown_at: int | None = None
        self._reported_at = step
        self._accumulator = accumulator
        self._interrupts = interrupts
        self._progress = progress
        self._patience = patience
        replicated = jax.NamedSharding(parallel.mesh, jax.P())
        self._are_finite = jax.jit(_finite, out_shardings=replicated)
        self._finite = (
            np.asarray(self._are_finite(state)) if run.folder is not None else np.empty(0)
        )
        self._position = position
        self._clock = step, time.perf_counter()

    def evaluations(self) -> dict[str, dict[str, float]]:
        """Returns the newest metrics of each evaluation, including those before a resumption."""
        last: dict[str, dict[str, float]] = {}
        for line in self._run.history:
            if line["split"] != "train":
                last[line["split"]] = {
                    name: value for name, value in line.items() if name not in ("step", "split")
                }
        return last

    def is_stopped(self) -> bool:
        """Returns whether `patience` evaluations have passed since the best state."""
        return self._patience is not None and self._run.evaluations_since_best() >= self._patience

    def run(
        self, iterator: Peekable | None, *, fuse: int, memory: Callable[[], int | None]
    ) -> None:
        """Runs all steps, at most `fuse` in a program; `memory` is that of `Progress`."""
        self._progress.memory = memory
        with (
            feed(
                self._parallel,
                iterator,
                self._intervals,
                start=self.step,
                fuse=fuse,
                while_waiting=self.while_waiting,
            ) as chunks,
            self._progress,
        ):
            if self.step > 0:  # the run may have been interrupted in an evaluation
                self._evaluate()
            for chunk in chunks:
                self._run_chunk(chunk, fuse)
                self._leave_if_asked()
                if self.is_stopped():
                    self._run.say(
                        f"stopped at step {self.step:,}: {self._patience} evaluations were not "
                        f"better than that of step {self._run.best():,}"
                    )
                    break

    def _run_chunk(self, chunk: Chunk, fuse: int) -> None:
        if fuse > 1:
            self.state, metrics = self._parallel.many(self.state, chunk.batches, chunk.count, fuse)
        else:
            self.state, metrics = self._parallel(self.state, chunk.batches)
        with self._guard():
            constant = self._parallel.constant is not None
            batches = None if constant else chunk.batches
            self._accumulator.add(self.step, chunk.count, metrics, batches)
        self.step += chunk.count
        self._position = chunk.position
        self._progress.advance(chunk.count)
        if self.step % self._intervals.log_every == 0:
            self._log()
        if self.step % self._intervals.checkpoint_every == 0:
            self.save()  # before the evaluation, which may fail
        self._evaluate()

    def while_waiting(self) -> None:
        """Saves and ends the program if a signal came while a batch is waited for."""
        if self._interrupts.heard():
            self._leave()

    def save(self, *, wait: bool = False) -> None:
        """Saves the state; raises NonFiniteLossError if a part of it is no longer finite."""
        if self._run.folder is None:
            return
        with self._guard():
            sums = self._accumulator.sums()
            if (lost := self._finite & ~np.asarray(self._are_finite(self.state))).any():
                names = [path_name(path) or "the state" for path, _ in _inexact(self.state)]
                raise NonFiniteLossError(
                    f"{names[int(lost.argmax())]} is not finite after step {self.step}"
                )
        self._run.save(self.step, self.state, data=self._position, window=sums, wait=wait)

    def finish(self) -> None:
        """Logs, evaluates and saves at the end of the run, unless that is done already."""
        with self._guard():
            if self._accumulator.sums():
                self._log()
        self.save(wait=True)  # before the evaluation, which may fail
        self._evaluate(at_the_end=True)
        self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        if self._interrupts.requested():
            self._leave()

    def _leave(self) -> None:
        """Saves, and ends the program as the signal asks."""
        self.save(wait=True)
        self._run.say(
            f"saved step {self.step:,} to {self._run.folder}: start the run again to continue it"
        )
        self._interrupts.act()

    def _log(self) -> None:
        with self._guard():
            values = self._accumulator.flush()
        before, then = self._clock
        now = time.perf_counter()
        speed = (self.step - before) / max(now - then, 1e-9)
        self._clock = self.step, now
        self._run.log(self.step, "train", {**values, "steps_per_second": round(speed, 3)})
        self._progress.measured("train", values)

    def _evaluate(self, *, at_the_end: bool = False) -> None:
        """Runs the evaluations that are due and not yet done at this step, and draws pictures."""
        due = [each for each in self._evaluators if at_the_end or self.step % each.every == 0]
        shows = at_the_end or self.step % self._intervals.eval_every == 0
        shows = shows and self._on_evaluation is not None and self._shown_at != self.step
        if not due and not shows:
            self._report(evaluated=False, at_the_end=at_the_end)
            return
        done = {line["split"] for line in self._run.history if line["step"] == self.step}
        try:
            left = [evaluator for evaluator in due if evaluator.name not in done]
            for evaluator in left:
                self._evaluate_by(evaluator)
            self._report(evaluated=bool(left), at_the_end=at_the_end)
            self._keep_best()
            if shows:
                self._show()
        except Exception:
            self.save(wait=True)  # so that the trained state is not lost
            raise
        self._clock = self.step, time.perf_counter()

    def _report(self, *, evaluated: bool, at_the_end: bool) -> None:
        """Writes a progress line after an evaluation, or as often without evaluations."""
        is_due = at_the_end or self.step % self._intervals.eval_every == 0
        if evaluated or (not self._evaluators and is_due and self._reported_at != self.step):
            self._reported_at = self.step
            self._progress.report()

    def _show(self) -> None:
        assert self._on_evaluation is not None
        self._shown_at = self.step
        self._run.show(self.step, self._on_evaluation(self.step, self.state) or {})

    def _evaluate_by(self, evaluator: Evaluator) -> None:
        values = evaluator(
            self.state, between=self._leave_if_asked, while_waiting=self.while_waiting
        )
        self._run.log(self.step, evaluator.name, values)
        self._progress.measured(evaluator.name, values)

    def _keep_best(self) -> None:
        best = self._run.best()
        if best == self.step:
            self.save()
        self._run.protect(best)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Adds a diagnosis and the last good checkpoint to the message of a NonFiniteLossError."""
        try:
            yield
        except NonFiniteLossError as error:
            constant = self._parallel.constant
            batch = error.batch if constant is None else constant.batch
            reason = diagnose(self._parallel.step, batch)
            raise NonFiniteLossError(f"{error}; {self._run.last_good()}. {reason}") from None


def _inexact(state: PyTree) -> list[tuple[Any, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return [(path, leaf) for path, leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]


def _finite(state: PyTree) -> jax.Array:
    """Whether each floating-point leaf of a state is free of NaN and infinities."""
    finite = [jnp.isfinite(leaf).all() for _, leaf in _inexact(state)]
    return jnp.array(finite, dtype=bool)
