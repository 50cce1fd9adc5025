"""The training loop; there is no other."""

import contextlib
import dataclasses
import functools
import math
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxvision._trees import path_name
from jaxvision.data import Batches, Dataset, Prefetch
from jaxvision.metrics import compute
from jaxvision.train.accumulator import MetricAccumulator, NonFiniteLossError
from jaxvision.train.feed import Chunk, Peekable, feed
from jaxvision.train.interrupts import Interrupts, listen
from jaxvision.train.intervals import Intervals
from jaxvision.train.parallel import ParallelStep, parallelize
from jaxvision.train.program import Program
from jaxvision.train.run import Run
from jaxvision.train.step import Step, check_metrics

PyTree = Any
Evaluate = Callable[[Any, Any], Any]
EvalData = Dataset | Iterable[Any] | Callable[[], Iterable[Any]]


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
        eval_data: What to evaluate on: a data set, a list of batches, or a function that gives
            batches.
        eval_every: Steps between evaluations, besides the one at the end; None makes ten.
        run_dir: The run's folder: settings, metrics, TensorBoard files, checkpoints. None keeps
            nothing.
        checkpoint_every: Steps between checkpoints, besides the one at the end; None saves when
            it evaluates.
        keep_checkpoints: How many of them to keep.
        log_every: Steps between lines of training metrics; None makes a hundred.
        settings: What the user chose, a dataclass or mapping; kept in the folder, and compared when
            the run is continued.
        settings_may_differ: Names in `settings` that may change in between; `program` stands for
            what the step computes.
        fuse_steps: How many steps to run in one program; None fuses where steps are short.
        progress: Whether to draw a bar; None draws it on a terminal only.

    Returns:
        The last state and metrics.

    Raises:
        NonFiniteLossError: A metric whose name has `loss` in it became NaN or infinite.
        SettingsError: The folder holds a run with other settings, or of another step.
        RunFolderError: The folder cannot be written, or another run is writing to it.
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
    if isinstance(eval_data, Iterator):
        raise ValueError(
            "eval_data must last for every evaluation: give the data set, a list of batches, or a "
            "function that gives batches anew"
        )
    if fuse_steps is not None and fuse_steps < 1:
        raise ValueError(f"fuse_steps must be at least 1, got {fuse_steps}")
    parallel = step if isinstance(step, ParallelStep) else parallelize(step)
    intervals = Intervals.plan(
        num_steps, log_every=log_every, eval_every=eval_every, checkpoint_every=checkpoint_every
    )
    iterator = None if batches is None else Peekable(batches)
    if run_dir is not None and batches is not None and not hasattr(iterator, "set_state"):
        warnings.warn(
            "this run cannot be continued once it is cut off, because its batches cannot be put "
            "back to where they were: use Dataset.batches(...), or an iterator with get_state() "
            "and set_state(state)",
            stacklevel=2,
        )
    run = Run(
        run_dir,
        settings=settings,
        may_differ=settings_may_differ,
        step=parallel.step,
        data=batches,
        keep=keep_checkpoints,
    )
    with run, listen(enabled=run.folder is not None) as interrupts:
        start, state, sums = run.resume(parallel.prepare(state), iterator)
        evaluation = _make_evaluation(parallel, evaluate, eval_data, state, batches)
        loop = _Loop(
            parallel, run, intervals, evaluation, state, start, MetricAccumulator(sums), interrupts
        )
        if num_steps is None or start < num_steps:
            first = None if iterator is None else iterator.peek()
            if iterator is None or first is not None:
                program = Program(parallel, state, first)
                run.check_program(program)
                fuse = fuse_steps or program.steps_to_fuse()
                del state, program  # the first step donates the state
                with (
                    feed(parallel, iterator, intervals, start=start, fuse=fuse) as chunks,
                    _progress_bar(progress, start, num_steps) as bar,
                ):
                    loop.run(chunks, bar, fused=fuse > 1)
        loop.finish()
    return FitResult(loop.state, loop.step, loop.evaluation, run.history)


class _Loop:
    """What goes on between two chunks."""

    def __init__(
        self,
        parallel: ParallelStep,
        run: Run,
        intervals: Intervals,
        evaluation: Callable[[PyTree], tuple[str, dict[str, float]]] | None,
        state: PyTree,
        step: int,
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
        self._position: Any = None
        self._clock = step, time.perf_counter()

    @property
    def evaluation(self) -> dict[str, float]:
        """The last evaluation, of this call or of one that it went on from."""
        last: dict[str, Any] = next(reversed(self._evaluations()), {})
        return {name: value for name, value in last.items() if name not in ("step", "split")}

    def run(self, chunks: Iterator[Chunk], bar: Any, *, fused: bool) -> None:
        """Runs all chunks, and does what is due between them."""
        for chunk in chunks:
            if fused:
                self.state, metrics = self._parallel.many(self.state, chunk.batches, chunk.count)
            else:
                self.state, metrics = self._parallel(self.state, chunk.batches)
            with self._guard():
                self._accumulator.add(self.step, chunk.count, metrics)
            self.step += chunk.count
            self._position = chunk.position
            if self.step % self._intervals.log_every == 0:
                self._log()
            if self.step % self._intervals.eval_every == 0:
                self._evaluate()
            if self.step % self._intervals.checkpoint_every == 0:
                self.save()
            bar.update(chunk.count)
            bar.set_postfix(self._shown, refresh=False)
            if self._interrupts.requested():
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
        self.save(wait=True)  # before the evaluation, which may be cut off
        if self.step not in {line["step"] for line in self._evaluations()}:
            self._evaluate()
        if self._interrupts.requested():
            self._leave()

    def _leave(self) -> None:
        """Saves, and ends the program as the signal asks."""
        self.save(wait=True)
        tqdm.write(f"saved step {self.step} to {self._run.folder}", file=sys.stderr)
        self._interrupts.act()

    def _evaluations(self) -> list[dict[str, Any]]:
        return [line for line in self._run.history if line["split"] != "train"]

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
        split, values = self._evaluation(self.state)
        self._run.log(self.step, split, values)
        self._shown |= {f"{split}_{name}": f"{value:.4g}" for name, value in values.items()}
        self._clock = self.step, time.perf_counter()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Says where the last good checkpoint is when a loss is not finite."""
        try:
            yield
        except NonFiniteLossError as error:
            advice = (
                "So early, look for labels outside the classes, a std of 0, or a NaN setting."
                if self.step <= 1
                else "A lower learning rate, warm-up or clip_norm usually helps."
            )
            raise NonFiniteLossError(f"{error}; {self._run.last_good()}. {advice}") from None


def _make_evaluation(
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
        return lambda state: ("evaluation", _means(evaluate(state, None)))
    compiled = parallel.compile_evaluation(evaluate, state)
    name = "evaluation"
    if isinstance(eval_data, Dataset):
        # Lines of `train` are those of the steps.
        name = eval_data.split if eval_data.split != "train" else "train_evaluation"
        devices = parallel.mesh.size
        size = getattr(batches, "batch_size", None) or math.ceil(128 / devices) * devices
        make: Callable[[], Iterable[Any]] = functools.partial(
            eval_data.batches, size, shuffle=False, epochs=1
        )
    else:
        make = eval_data if callable(eval_data) else functools.partial(iter, eval_data)

    def run(state: PyTree) -> tuple[str, dict[str, float]]:
        sums: dict[str, Any] = {}
        with Prefetch(make(), parallel.place_batch) as placed:
            for batch in placed:
                for metric, pair in compiled(state, batch).items():
                    # In float64, so that the order of many batches does not show.
                    sums[metric] = sums.get(metric, 0) + np.asarray(pair, np.float64)
        return name, compute({metric: (pair[0], pair[1]) for metric, pair in sums.items()})

    return run


def _means(pairs: Any) -> dict[str, float]:
    check_metrics(pairs)
    return compute(pairs)


def _inexact(state: PyTree) -> list[tuple[Any, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return [(path, leaf) for path, leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact)]


def _finite(state: PyTree) -> jax.Array:
    """Which floating-point leaves of a state hold no NaN or infinity, in their order."""
    finite = [jnp.isfinite(leaf).all() for _, leaf in _inexact(state)]
    return jnp.array(finite, dtype=bool)


def _progress_bar(progress: bool | None, start: int, num_steps: int | None) -> Any:
    hidden = None if progress is None else not progress
    if jax.process_index() != 0:
        hidden = True
    return tqdm(total=num_steps, initial=start, unit="step", disable=hidden, dynamic_ncols=True)
