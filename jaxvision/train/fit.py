"""The training loop; there is no other."""

import contextlib
import dataclasses
import functools
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision.data import Batches, Dataset, Prefetch
from jaxvision.metrics import compute
from jaxvision.train.calendar import Calendar, steps_to_fuse
from jaxvision.train.feed import Chunk, Peekable, feed
from jaxvision.train.interrupts import listen
from jaxvision.train.parallel import ParallelStep, parallelize
from jaxvision.train.run import Run
from jaxvision.train.step import Step
from jaxvision.train.window import NonFiniteLossError, Window

PyTree = Any
Evaluate = Callable[[Any, Any], Any]
EvalData = Dataset | Callable[[], Iterable[Any]]


@dataclasses.dataclass(frozen=True)
class FitResult:
    """What `fit` leaves.

    Attributes:
        state: The state after the last step.
        step: How many steps it has seen.
        metrics: The last evaluation; empty if there was none.
        history: Every line of `metrics.jsonl`: `step`, `split` and the numbers.
    """

    state: PyTree
    step: int
    metrics: dict[str, float]
    history: list[dict[str, Any]]


def fit(
    step: Step,
    state: PyTree,
    batches: Iterable[Any] | None,
    *,
    num_steps: int | None = None,
    evaluate: Evaluate | None = None,
    eval_data: EvalData | None = None,
    eval_every: int | None = None,
    run_dir: str | pathlib.Path | None = None,
    checkpoint_every: int | None = None,
    keep_checkpoints: int = 3,
    log_every: int | None = None,
    settings: Any = None,
    settings_may_differ: Sequence[str] = (),
    fuse_steps: int | None = None,
    progress: bool | None = None,
) -> FitResult:
    """Runs a step over batches, measures, saves, and goes on where an earlier call was cut off.

    A `run_dir` that holds checkpoints continues their run: the state, the position in the data and
    the files are put back to the newest checkpoint that is whole, and every later number is what
    the unbroken run would have had, bit for bit. SIGTERM saves and leaves with status 0, Ctrl-C
    saves and raises KeyboardInterrupt.

    Args:
        step: Any step; one that is not `parallelize`d yet is compiled for all devices.
        state: Where to start. It is donated: use the one in the result.
        batches: Where the batches come from; None gives every step None. To continue a run they
            need `get_state` and `set_state`, as those of `Dataset.batches` have.
        num_steps: The step to stop at, counted from the start of the run. None goes on until the
            batches end.
        evaluate: Computes metrics of a state: `(state, batch) -> sums`, compiled for the same
            devices and added up over `eval_data`; without data it is called once as it is, as
            `evaluate(state, None)`.
        eval_data: What to evaluate on: a data set, or a function that gives batches.
        eval_every: Steps between evaluations, besides the one at the end; None makes ten.
        run_dir: The run's folder: settings, metrics, TensorBoard files, checkpoints. None keeps
            nothing.
        checkpoint_every: Steps between checkpoints, besides the one at the end; None saves when
            it evaluates.
        keep_checkpoints: How many of them to keep.
        log_every: Steps between lines of training metrics; None makes a hundred.
        settings: What the user chose, a dataclass or mapping; kept in the folder, and compared when
            the run is continued.
        settings_may_differ: Names in `settings` that may change in between.
        fuse_steps: How many steps to run in one program; None fuses where steps are short.
        progress: Whether to draw a bar; None draws it on a terminal only.

    Returns:
        The last state and metrics.

    Raises:
        NonFiniteLossError: A metric whose name has `loss` in it became NaN or infinite.
        SettingsError: The folder holds a run with other settings.
        RunFolderError: The folder cannot be written.
        CheckpointError: A checkpoint cannot be written, or holds another state.
        ValueError: The arguments do not go together.

    >>> def step(state, batch):
    ...     return state + batch.sum(), {"loss": (batch.sum(), jnp.float32(batch.size))}
    >>> result = fit(step, jnp.zeros(()), [np.ones(8)] * 5)
    >>> float(result.state), result.step
    (40.0, 5)
    """
    if isinstance(batches, Dataset):
        raise ValueError("fit takes batches, not a data set: give it dataset.batches(batch_size)")
    endless = batches is None or (isinstance(batches, Batches) and batches.plan.epochs is None)
    if endless and num_steps is None:
        raise ValueError("num_steps has to say when to stop: these batches never end")
    if evaluate is None and eval_data is not None:
        raise ValueError("eval_data needs evaluate: a function (state, batch) -> metrics")
    if fuse_steps is not None and fuse_steps < 1:
        raise ValueError(f"fuse_steps must be at least 1, got {fuse_steps}")
    parallel = step if isinstance(step, ParallelStep) else parallelize(step)
    calendar = Calendar.plan(
        num_steps, log_every=log_every, eval_every=eval_every, checkpoint_every=checkpoint_every
    )
    iterator = None if batches is None else Peekable(batches)
    run = Run(
        run_dir,
        settings=settings,
        may_differ=settings_may_differ,
        step=parallel.step,
        keep=keep_checkpoints,
    )
    with run:
        start, state, sums = run.resume(parallel.prepare(state), iterator)
        measure = _evaluator(parallel, evaluate, eval_data, state, batches)
        loop = _Loop(parallel, run, calendar, measure, state, start, Window(sums))
        if num_steps is None or start < num_steps:
            first = None if iterator is None else iterator.peek()
            fuse = fuse_steps or steps_to_fuse(parallel, state, first)
            del state  # the first step donates it
            with (
                feed(parallel, iterator, calendar, start=start, fuse=fuse) as chunks,
                listen(enabled=run.folder is not None) as interrupts,
                _progress_bar(progress, start, num_steps) as bar,
            ):
                for chunk in chunks:
                    loop.advance(chunk, fused=fuse > 1)
                    bar.update(chunk.count)
                    bar.set_postfix(loop.shown, refresh=False)
                    if interrupts.requested():
                        loop.save(wait=True)
                        bar.write(f"saved step {loop.step} to {run.folder}", file=sys.stderr)
                        interrupts.act()
        loop.finish()
    return FitResult(loop.state, loop.step, loop.evaluation, run.history)


class _Loop:
    """What goes on between two chunks."""

    def __init__(
        self,
        parallel: ParallelStep,
        run: Run,
        calendar: Calendar,
        measure: Callable[[PyTree], tuple[str, dict[str, float]]] | None,
        state: PyTree,
        step: int,
        window: Window,
    ) -> None:
        self.state = state
        self.step = step
        self.shown: dict[str, str] = {}
        self._parallel = parallel
        self._run = run
        self._calendar = calendar
        self._measure = measure
        self._window = window
        self._position: Any = None
        self._clock = step, time.perf_counter()

    @property
    def evaluation(self) -> dict[str, float]:
        """The last evaluation, of this call or of one that it went on from."""
        lines = [line for line in self._run.history if line["split"] != "train"]
        last = lines[-1] if lines else {}
        return {name: value for name, value in last.items() if name not in ("step", "split")}

    def advance(self, chunk: Chunk, *, fused: bool) -> None:
        """Runs a chunk, and does what is due after it."""
        if fused:
            self.state, metrics = self._parallel.many(self.state, chunk.batches, chunk.count)
        else:
            self.state, metrics = self._parallel(self.state, chunk.batches)
        with self._guard():
            self._window.add(self.step, chunk.count, metrics)
        self.step += chunk.count
        self._position = chunk.position
        if self.step % self._calendar.log_every == 0:
            self._log()
        if self.step % self._calendar.eval_every == 0:
            self._evaluate()
        if self.step % self._calendar.checkpoint_every == 0:
            self.save()

    def save(self, *, wait: bool = False) -> None:
        """Saves a state that is worth coming back to."""
        if self._run.folder is None:
            return
        with self._guard():
            sums = self._window.sums()
            if not bool(_all_finite(self.state)):
                raise NonFiniteLossError(f"the parameters are not finite after step {self.step}")
        self._run.save(self.step, self.state, data=self._position, window=sums, wait=wait)

    def finish(self) -> None:
        """Logs, evaluates and saves the end of the run, as far as that is not done."""
        with self._guard():
            if self._window.sums():
                self._log()
        if self.step not in {
            line["step"] for line in self._run.history if line["split"] != "train"
        }:
            self._evaluate()
        self.save(wait=True)

    def _log(self) -> None:
        with self._guard():
            values = self._window.flush()
        before, then = self._clock
        now = time.perf_counter()
        speed = (self.step - before) / max(now - then, 1e-9)
        self._clock = self.step, now
        self._run.log(self.step, "train", {**values, "steps_per_second": round(speed, 3)})
        self.shown |= {name: f"{value:.4g}" for name, value in values.items()}

    def _evaluate(self) -> None:
        if self._measure is None:
            return
        split, values = self._measure(self.state)
        self._run.log(self.step, split, values)
        self.shown |= {f"{split}_{name}": f"{value:.4g}" for name, value in values.items()}
        self._clock = self.step, time.perf_counter()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Says where the last good checkpoint is when a loss is not finite."""
        try:
            yield
        except NonFiniteLossError as error:
            advice = (
                "So early, look for labels outside the classes, or a std of 0."
                if self.step <= 1
                else "A lower learning rate, warm-up or clip_norm usually helps."
            )
            raise NonFiniteLossError(f"{error}; {self._run.last_good()}. {advice}") from None


def _evaluator(
    parallel: ParallelStep,
    evaluate: Evaluate | None,
    eval_data: EvalData | None,
    state: PyTree,
    batches: Any,
) -> Callable[[PyTree], tuple[str, dict[str, float]]] | None:
    """A function from a state to the name of what it was evaluated on, and the metrics."""
    if evaluate is None:
        return None
    if eval_data is None:
        return lambda state: ("evaluation", compute(evaluate(state, None)))
    compiled = parallel.compile_evaluation(evaluate, state)
    name = "evaluation"
    if isinstance(eval_data, Dataset):
        name = eval_data.split
        size = getattr(batches, "batch_size", None) or 128
        make: Callable[[], Iterable[Any]] = functools.partial(
            eval_data.batches, size, shuffle=False, epochs=1
        )
    else:
        make = eval_data

    def measure(state: PyTree) -> tuple[str, dict[str, float]]:
        sums: dict[str, np.ndarray] = {}
        with Prefetch(make(), parallel.place_batch) as placed:
            for batch in placed:
                for metric, pair in compiled(state, batch).items():
                    sums[metric] = sums.get(metric, 0) + np.asarray(pair, np.float64)
        return name, compute({metric: (pair[0], pair[1]) for metric, pair in sums.items()})

    return measure


@jax.jit
def _all_finite(state: PyTree) -> jax.Array:
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.array([jnp.isfinite(leaf).all() for leaf in leaves]).all()


def _progress_bar(progress: bool | None, start: int, num_steps: int | None) -> Any:
    from tqdm import tqdm

    hidden = None if progress is None else not progress
    if jax.process_index() != 0:
        hidden = True
    return tqdm(total=num_steps, initial=start, unit="step", disable=hidden, dynamic_ncols=True)
