"""The training loop."""

import dataclasses
import pathlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxvision._reprs import brief
from jaxvision.checks import check_count
from jaxvision.data import Batches, Dataset
from jaxvision.train._accumulator import MetricAccumulator
from jaxvision.train._arguments import check_step
from jaxvision.train._evaluator import plan_evaluations
from jaxvision.train._interrupts import listen
from jaxvision.train._intervals import Intervals
from jaxvision.train._loop import Loop, OnEvaluation
from jaxvision.train._peekable import Peekable
from jaxvision.train._program import Program, shapes_of
from jaxvision.train._progress import Progress
from jaxvision.train.best import Best
from jaxvision.train.constant import Constant
from jaxvision.train.evaluation import EvalData, EvalFn, EvaluateOn, Evaluation
from jaxvision.train.parallel import ParallelStep, parallelize
from jaxvision.train.protocols import Step
from jaxvision.train.run.resume import Logger, Run

PyTree = Any


@dataclasses.dataclass(frozen=True)
class FitResult:
    """The result of `fit`.

    Attributes:
        state: The state after the last step.
        step: The number of steps since the start of the run.
        metrics: The newest metrics of the first evaluation; empty if there was none.
        history: Every line of `metrics.jsonl`: `step`, `split` and the metrics.
        evaluations: The newest metrics of each evaluation, by its name.
        best_step: The step of the best state, which a checkpoint keeps; None without `keep_best`.
    """

    state: PyTree
    step: int
    metrics: dict[str, float]
    history: list[dict[str, Any]]
    evaluations: dict[str, dict[str, float]]
    best_step: int | None = None

    def __repr__(self) -> str:
        return brief(self)


def fit(
    step: Step,
    state: PyTree,
    batches: Iterable[Any] | Constant | None,
    *,
    num_steps: int | None = None,
    evaluate: Evaluation | EvalFn | None = None,
    eval_data: EvalData | None = None,
    eval_every: int | None = None,
    evaluations: Mapping[str, EvaluateOn] | None = None,
    on_evaluation: OnEvaluation | None = None,
    run_dir: str | pathlib.Path | None = None,
    checkpoint_every: int | None = None,
    keep_checkpoints: int = 3,
    keep_best: Best | None = None,
    patience: int | None = None,
    loggers: Sequence[Logger] = (),
    log_every: int | None = None,
    settings: Any = None,
    settings_may_differ: Sequence[str] = (),
    fuse_steps: int | None = None,
    progress: bool | None = None,
) -> FitResult:
    """Runs a step over batches, evaluates, saves checkpoints, and resumes interrupted runs.

    If `run_dir` holds checkpoints, their run is continued: the state, the position in the data and
    the files are restored from the newest intact checkpoint, and all later numbers equal those of
    an uninterrupted run, bit for bit.

    With a `run_dir`, SIGTERM saves a checkpoint and exits with status 0, and Ctrl-C saves one and
    raises KeyboardInterrupt.

    Args:
        step: Any step; if `parallelize` did not make it, it is compiled for all devices.
        state: The initial state. It is donated: use the one in the result. If `run_dir` holds a
            checkpoint, a state that is used up will do.
        batches: The batches. `constant(batch)` gives every step the same batch, None gives every
            step None. A run can be resumed with a list, or with an iterator that has `get_state`
            and `set_state`, such as that of `Dataset.batches`.
        num_steps: The step to stop at, counted from the start of the run. None runs until the
            batches end.
        evaluate: The loss of a task, an `Evaluation`, or a function `(state, batch) -> metrics`. It
            is compiled for the same devices; without `eval_data` it is called once, uncompiled,
            with None for the batch.
        eval_data: A data set, a list of batches, or a function that returns batches. Log lines name
            the evaluation after the data set's split (`train_evaluation` for `train`), else
            `evaluation`.
        eval_every: Steps between evaluations, in addition to the one at the end; None takes a tenth
            of `num_steps`, or 500 without it.
        evaluations: Further evaluations by name, each with its own data and interval.
        on_evaluation: `on_evaluation(step, state)` is called after each evaluation of `evaluate`,
            or as often without one, and returns pictures by name, or None. They are written to
            `pictures/NAME/STEP.png` in the run's folder, and to TensorBoard.
        run_dir: The run's folder: settings, metrics, TensorBoard files, checkpoints. None writes
            nothing.
        checkpoint_every: Steps between checkpoints, in addition to the one at the end; None takes
            the interval of evaluations.
        keep_checkpoints: How many of the newest checkpoints to keep.
        keep_best: Which checkpoint to keep in addition: `highest("accuracy")`, or `lowest("loss")`.
            A state better than all before it is saved when it is evaluated.
        patience: Ends the run early after this many evaluations in a row without a new best state,
            as `keep_best` defines it; None runs all steps.
        loggers: Functions, called as `logger(step, numbers)` with every measurement, by names such
            as `train/loss` and `test/accuracy`; only in the first of several processes.
        log_every: Steps between lines of training metrics; None takes a hundredth of `num_steps`,
            or 50 without it.
        settings: The user's options, a dataclass or mapping; they are stored in the folder, and
            compared when the run is continued.
        settings_may_differ: Names in `settings` that may change when the run is continued;
            `program` allows a step that computes something else.
        fuse_steps: How many steps to run in one program; None fuses short steps.
        progress: The output on stderr. None draws a bar on a terminal and in a notebook, and writes
            a line for each evaluation; True draws the bar elsewhere too; False shows neither.

    Raises:
        NonFiniteLossError: A metric whose name contains `loss`, or the state, became NaN or
            infinite.
        SettingsError: The folder holds a run with other settings, or of another step.
        RunFolderError: The folder cannot be written, or another run is writing to it.
        CheckpointError: A checkpoint cannot be written, or holds another state.
        TypeError: The step or its state is none.
        ValueError: The arguments are inconsistent, there is no batch, or an earlier call has
            donated the state.

    >>> import numpy as np
    >>> def step(state, batch):
    ...     return state + batch.sum(), {"loss": (batch.sum(), batch.size)}
    >>> result = fit(step, np.zeros(()), [np.ones(8)] * 5)
    >>> float(result.state), result.step
    (40.0, 5)
    """
    check_step(step)
    _check(batches, num_steps, fuse_steps, patience, keep_best)
    parallel = step if isinstance(step, ParallelStep) else parallelize(step)
    if isinstance(batches, Constant):
        parallel = parallel.with_constant(batches)
    iterator = _iterator(batches, run_dir)
    intervals = Intervals.plan(
        num_steps, log_every=log_every, eval_every=eval_every, checkpoint_every=checkpoint_every
    )
    named = _by_name(evaluate, eval_data, evaluations)
    evaluators = plan_evaluations(named, parallel, state, batches, intervals.eval_every)
    intervals = dataclasses.replace(intervals, others=tuple(each.every for each in evaluators))
    run = Run(
        run_dir,
        settings=settings,
        may_differ=settings_may_differ,
        step=parallel.step,
        data=batches,
        keep=keep_checkpoints,
        best=keep_best,
        loggers=loggers,
    )
    state = _usable(state, run)
    with run, listen(enabled=run.folder is not None) as interrupts:
        start, state, sums = run.resume(parallel.prepare(state), iterator)
        position = None if iterator is None else iterator.position()
        first = _first_batch(parallel, iterator)
        is_over = first is None and iterator is not None
        if is_over and start == 0 and num_steps != 0:
            raise ValueError("there is nothing to train on: batches is empty")
        loop = Loop(
            parallel,
            run,
            intervals,
            evaluators,
            state,
            start,
            position,
            MetricAccumulator(sums),
            interrupts,
            on_evaluation,
            Progress(progress, start, num_steps),
            patience,
        )
        if not is_over:
            program = Program(parallel, shapes_of(state), shapes_of(first))
            run.check_program(program)
            if (num_steps is None or start < num_steps) and not loop.is_stopped():
                if start > 0:
                    run.say(f"{run.folder} goes on at step {start:,}")
                fuse = fuse_steps or program.steps_to_fuse()
                del state, first  # the first step donates the state
                loop.run(iterator, fuse=fuse, memory=program.memory if fuse == 1 else lambda: None)
        if loop.step == start:
            run.say(f"{run.folder or 'the run'} is finished at step {start}: nothing was trained")
        loop.finish()
    return FitResult(
        state=loop.state,
        step=loop.step,
        metrics=loop.evaluations().get(next(iter(named), ""), {}),
        history=run.history,
        evaluations=loop.evaluations(),
        best_step=run.best(),
    )


def _check(
    batches: Any,
    num_steps: int | None,
    fuse_steps: int | None,
    patience: int | None,
    keep_best: Best | None,
) -> None:
    """Raises ValueError for inconsistent arguments."""
    if isinstance(batches, Dataset):
        raise ValueError("fit takes batches, not a data set: give it dataset.batches(batch_size)")
    endless = isinstance(batches, Constant | None) or (
        isinstance(batches, Batches) and batches.plan.epochs is None
    )
    if endless and num_steps is None:
        raise ValueError("num_steps has to say when to stop: these batches never end")
    if fuse_steps is not None and fuse_steps < 1:
        raise ValueError(f"fuse_steps must be at least 1, got {fuse_steps}")
    if patience is not None:
        check_count("patience", patience, of="evaluations")
        if keep_best is None:
            raise ValueError(
                "patience needs keep_best, which says what is better: "
                'keep_best=highest("accuracy"), or lowest("loss")'
            )


def _usable(state: PyTree, run: Run) -> PyTree:
    """The state, with zeros for arrays that an earlier run has donated, if a checkpoint has them.

    Raises ValueError if there is none.
    """

    def is_gone(leaf: Any) -> bool:
        return bool(getattr(leaf, "is_deleted", bool)())

    if not any(map(is_gone, jax.tree.leaves(state))):
        return state
    if run.newest() is None:
        raise ValueError(
            "the state was used up: an earlier fit, or a compiled step, has donated its arrays. "
            "Continue with the state that it returned (result.state), or make a new one with "
            "init_state"
        )

    def zeros(leaf: Any) -> Any:
        if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return np.zeros(leaf.shape, leaf.dtype)
        shape = jax.eval_shape(jax.random.key_data, shapes_of(leaf))
        numbers = jax.device_put(np.zeros(shape.shape, shape.dtype))
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))

    return jax.tree.map(lambda leaf: zeros(leaf) if is_gone(leaf) else leaf, state)


def _iterator(batches: Any, run_dir: Any) -> Peekable | None:
    """An iterator over the batches; None for a constant batch or for none."""
    if batches is None or isinstance(batches, Constant):
        return None
    iterator = Peekable(batches)
    if run_dir is not None and not iterator.can_move:
        warnings.warn(
            "this run cannot be continued once it is cut off, because its batches cannot be put "
            "back to where they were: use Dataset.batches(...), or an iterator with get_state() "
            "and set_state(state)",
            stacklevel=3,
        )
    return iterator


def _first_batch(parallel: ParallelStep, iterator: Peekable | None) -> PyTree:
    """The batch of the next step; None if there is none."""
    if iterator is not None:
        return iterator.peek()
    return None if parallel.constant is None else parallel.constant.batch


def _by_name(
    evaluate: Evaluation | EvalFn | None,
    eval_data: EvalData | None,
    evaluations: Mapping[str, EvaluateOn] | None,
) -> dict[str, EvaluateOn]:
    """All evaluations by name, that of `evaluate` first."""
    named: dict[str, EvaluateOn] = {}
    if evaluate is not None:
        name = "evaluation"
        if isinstance(eval_data, Dataset):
            # Log lines called `train` hold the metrics of the steps.
            name = eval_data.split if eval_data.split != "train" else "train_evaluation"
        named[name] = EvaluateOn(evaluate, eval_data)
    elif eval_data is not None:
        raise ValueError("eval_data needs evaluate: an Evaluation, or (state, batch) -> metrics")
    for name, each in (evaluations or {}).items():
        if name in named:
            raise ValueError(f"two evaluations are called {name!r}: rename that of `evaluations`")
        if not isinstance(each, EvaluateOn):
            raise ValueError(
                f"evaluations must hold train.EvaluateOn(evaluation, data, every=...), and "
                f"{name!r} is {each!r}"
            )
        named[name] = each
    return named
