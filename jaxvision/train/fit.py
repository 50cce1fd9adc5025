"""The training loop; there is no other."""

import dataclasses
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
from tqdm import tqdm

from jaxvision.data import Batches, Dataset
from jaxvision.train.accumulator import MetricAccumulator
from jaxvision.train.evaluation import EvalData, Evaluate, make_evaluation
from jaxvision.train.feed import Peekable, feed
from jaxvision.train.interrupts import listen
from jaxvision.train.intervals import Intervals
from jaxvision.train.loop import Loop
from jaxvision.train.parallel import ParallelStep, parallelize
from jaxvision.train.program import Program
from jaxvision.train.run import Run
from jaxvision.train.step import Step

PyTree = Any


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
        ValueError: The arguments do not go together, or there is no batch.

    >>> import numpy as np
    >>> def step(state, batch):
    ...     return state + batch.sum(), {"loss": (batch.sum(), batch.size)}
    >>> result = fit(step, np.zeros(()), [np.ones(8)] * 5)
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
        is_over = num_steps is not None and start >= num_steps
        evaluation = make_evaluation(parallel, evaluate, eval_data, state, batches)
        position = getattr(iterator, "get_state", lambda: None)()
        accumulator = MetricAccumulator(sums)
        loop = Loop(
            parallel, run, intervals, evaluation, state, start, position, accumulator, interrupts
        )
        first = None if iterator is None else iterator.peek()
        if iterator is not None and first is None and start == 0 and num_steps != 0:
            raise ValueError("there is nothing to train on: batches is empty")
        if iterator is None or first is not None:
            program = Program(parallel, state, first)
            run.check_program(program)
            if not is_over:
                fuse = fuse_steps or program.steps_to_fuse()
                del state, program  # the first step donates the state
                with (
                    feed(
                        parallel,
                        iterator,
                        intervals,
                        start=start,
                        fuse=fuse,
                        while_waiting=loop.while_waiting,
                    ) as chunks,
                    _progress_bar(progress, start, num_steps) as bar,
                ):
                    loop.run(chunks, bar, fused=fuse > 1)
        if loop.step == start:
            run.say(f"{run.folder or 'the run'} is finished at step {start}: nothing was trained")
        loop.finish()
    return FitResult(loop.state, loop.step, loop.evaluation, run.history)


def _progress_bar(progress: bool | None, start: int, num_steps: int | None) -> Any:
    hidden = None if progress is None else not progress
    if jax.process_index() != 0:
        hidden = True
    return tqdm(total=num_steps, initial=start, unit="step", disable=hidden, dynamic_ncols=True)
