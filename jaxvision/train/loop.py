"""What a run does between its programs: it logs, saves, evaluates, and stops when asked to."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision._trees import path_name
from jaxvision.train.accumulator import MetricAccumulator, NonFiniteLossError
from jaxvision.train.diagnosis import diagnose
from jaxvision.train.evaluation import Evaluation
from jaxvision.train.feed import Chunk
from jaxvision.train.interrupts import Interrupts
from jaxvision.train.intervals import Intervals
from jaxvision.train.parallel import ParallelStep
from jaxvision.train.run import Run

PyTree = Any


class Loop:
    """What goes on between two chunks."""

    def __init__(
        self,
        parallel: ParallelStep,
        run: Run,
        intervals: Intervals,
        evaluation: Evaluation | None,
        state: PyTree,
        step: int,
        position: Any,
        accumulator: MetricAccumulator,
        interrupts: Interrupts,
    ) -> None:
        self.state = state
        self.step = step
        self._parallel = parallel
        self._run = run
        self._intervals = intervals
        self._evaluation = evaluation
        self._accumulator = accumulator
        self._interrupts = interrupts
        self._shown: dict[str, str] = {}
        replicated = jax.NamedSharding(parallel.mesh, jax.P())
        self._are_finite = jax.jit(_finite, out_shardings=replicated)
        self._finite = (
            np.asarray(self._are_finite(state)) if run.folder is not None else np.empty(0)
        )
        self._position = position
        self._clock = step, time.perf_counter()

    @property
    def evaluation(self) -> dict[str, float]:
        """The last evaluation, of this call or of one that it went on from."""
        last: dict[str, Any] = next(reversed(self._evaluations()), {})
        return {name: value for name, value in last.items() if name not in ("step", "split")}

    def run(self, chunks: Iterator[Chunk], bar: Any, *, fused: bool) -> None:
        """Runs all chunks, and does what is due between them."""
        if self._is_evaluation_missing():  # the run was cut off in it
            self._evaluate()
        for chunk in chunks:
            if fused:
                self.state, metrics = self._parallel.many(self.state, chunk.batches, chunk.count)
            else:
                self.state, metrics = self._parallel(self.state, chunk.batches)
            with self._guard():
                self._accumulator.add(self.step, chunk.count, metrics, chunk.batches)
            self.step += chunk.count
            self._position = chunk.position
            if self.step % self._intervals.log_every == 0:
                self._log()
            if self.step % self._intervals.checkpoint_every == 0:
                self.save()  # before the evaluation, which may fail
            if self.step % self._intervals.eval_every == 0:
                self._evaluate()
            bar.update(chunk.count)
            bar.set_postfix(self._shown, refresh=False)
            self._leave_if_asked()

    def while_waiting(self) -> None:
        """Leaves if a signal came while the next batch is waited for."""
        if self._interrupts.heard():
            self._leave()

    def save(self, *, wait: bool = False) -> None:
        """Saves a state that is worth coming back to."""
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
        """Logs, evaluates and saves the end of the run, as far as that is not done."""
        with self._guard():
            if self._accumulator.sums():
                self._log()
        self.save(wait=True)  # before the evaluation, which may fail
        if self.step not in {line["step"] for line in self._evaluations()}:
            self._evaluate()
        self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        if self._interrupts.requested():
            self._leave()

    def _leave(self) -> None:
        """Saves, and ends the program as the signal asks."""
        self.save(wait=True)
        self._run.say(f"saved step {self.step} to {self._run.folder}")
        self._interrupts.act()

    def _evaluations(self) -> list[dict[str, Any]]:
        return [line for line in self._run.history if line["split"] != "train"]

    def _is_evaluation_missing(self) -> bool:
        due = self.step > 0 and self.step % self._intervals.eval_every == 0
        return due and self.step not in {line["step"] for line in self._evaluations()}

    def _log(self) -> None:
        with self._guard():
            values = self._accumulator.flush()
        before, then = self._clock
        now = time.perf_counter()
        speed = (self.step - before) / max(now - then, 1e-9)
        self._clock = self.step, now
        self._run.log(self.step, "train", {**values, "steps_per_second": round(speed, 3)})
        self._shown |= {name: f"{value:.4g}" for name, value in values.items()}

    def _evaluate(self) -> None:
        if self._evaluation is None:
            return
        try:
            values = self._evaluation(
                self.state, between=self._leave_if_asked, while_waiting=self.while_waiting
            )
        except Exception:
            self.save(wait=True)  # what was trained is not to be lost with it
            raise
        split = self._evaluation.name
        self._run.log(self.step, split, values)
        self._shown |= {f"{split}_{name}": f"{value:.4g}" for name, value in values.items()}
        self._clock = self.step, time.perf_counter()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Says where the last good checkpoint is when a loss is not finite."""
        try:
            yield
        except NonFiniteLossError as error:
            reason = diagnose(self._parallel.step, error.batch)
            raise NonFiniteLossError(f"{error}; {self._run.last_good()}. {reason}") from None


def _inexact(state: PyTree) -> list[tuple[Any, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return [(path, leaf) for path, leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]


def _finite(state: PyTree) -> jax.Array:
    """Which floating-point leaves of a state hold no NaN or infinity, in their order."""
    finite = [jnp.isfinite(leaf).all() for _, leaf in _inexact(state)]
    return jnp.array(finite, dtype=bool)
