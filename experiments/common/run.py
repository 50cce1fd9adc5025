"""One training run of a model of images, and its settings."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any

from common import script
from common.beginning import begin, check_folder, introduce
from common.data import Data
from common.learning import Devices, Inputs, Loss, Model, Optimization
from common.script import FLAT

import flax.linen as nn
import jax
import optax

from jaxvision import checks, data, plots, train


@dataclasses.dataclass(frozen=True)
class Run:
    """The run folder, and how often it is written to."""

    run_dir: str = "runs/classify"
    """Folder to write to. A run that is already there is continued."""
    seed: int = 0
    """Random seed of the initial parameters, the order of the images and every other random
    draw."""
    log_every: int | None = None
    """Steps between lines of training metrics; None writes a hundred lines."""
    eval_every: int | None = None
    """Steps between evaluations; None evaluates ten times."""
    checkpoint_every: int | None = None
    """Steps between checkpoints; None saves at each evaluation."""
    keep_best: str | None = None
    """Name of an evaluation metric, such as accuracy or loss, whose best checkpoint is kept in
    addition to the newest ones: the lowest if the name contains loss, otherwise the highest.
    experiments/evaluate.py --best uses this checkpoint."""
    patience: int | None = None
    """Stop early after this many evaluations in a row without improvement of the metric of
    --keep-best (by default, of the loss); None runs all steps."""
    longer: bool = False
    """Continue an existing run up to a larger --num-steps, with the learning-rate schedule of that
    number of steps."""
    figures: bool = True
    """Draw learning curves and figures of the predictions at the end (needs matplotlib). With
    several processes nothing is drawn; experiments/evaluate.py draws the figures later."""

    def begin(self, devices: Devices) -> None:
        """Starts JAX, and checks that matplotlib is installed if figures are to be drawn."""
        if not 0 <= self.seed < 2**63:
            raise SystemExit(f"seed must be in [0, 2**63), got {self.seed}")
        with script.checking(RuntimeError):
            train.start(distributed=devices.distributed)
            if self.draws:
                plots.require_matplotlib()

    @property
    def best(self) -> train.Best | None:
        """The rule of the best checkpoint; None keeps only the newest ones."""
        name = "loss" if self.keep_best is None and self.patience is not None else self.keep_best
        if name is None:
            return None
        return train.lowest(name) if "loss" in name else train.highest(name)

    @property
    def draws(self) -> bool:
        """Whether figures are drawn at the end."""
        return self.figures and jax.process_count() == 1


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the training of a classifier."""

    run: Annotated[Run, FLAT] = dataclasses.field(default_factory=Run)
    data: Annotated[Data, FLAT] = dataclasses.field(default_factory=Data)
    model: Annotated[Model, FLAT] = dataclasses.field(default_factory=Model)
    inputs: Annotated[Inputs, FLAT] = dataclasses.field(default_factory=Inputs)
    loss: Annotated[Loss, FLAT] = dataclasses.field(default_factory=Loss)
    optimization: Annotated[Optimization, FLAT] = dataclasses.field(default_factory=Optimization)
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)


MAY_DIFFER = (
    "run.run_dir",
    "run.log_every",
    "run.eval_every",
    "run.checkpoint_every",
    "run.keep_best",
    "run.patience",
    "run.longer",
    "run.figures",
    "data.data_dir",
    "data.num_workers",
    "devices.fsdp",
    "devices.distributed",
    "seeds",
    "games",
    "kinds",
    "classifier",
    "samples",
    "truncation",
)
"""Settings that may change when a run is continued."""
MAY_DIFFER_LONGER = (
    "optimization.num_steps",
    "optimization.schedule",
    "optimization.warmup_steps",
    "optimization.learning_rate",
    "program",
)
"""Settings that may also change with `--longer`."""


def train_model(
    settings: Any,
    model: nn.Module,
    loss_fn: Any,
    train_data: data.Dataset,
    eval_data: data.Dataset,
    variables: dict[str, Any] | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> train.FitResult:
    """Trains and evaluates a model, and writes a run folder.

    `settings` has the groups `run`, `data`, `optimization` and `devices` of `Settings`; `optimizer`
    replaces that of the settings.
    """
    run, devices, optimization = settings.run, settings.devices, settings.optimization
    optimizer = optimization.make() if optimizer is None else optimizer
    may_differ = MAY_DIFFER + (MAY_DIFFER_LONGER if run.longer else ())
    batches = begin(settings, loss_fn, train_data)
    step = optimization.make_step(loss_fn, optimizer, devices.axis_name)
    parallel = devices.parallelize(step)
    with _offering_longer(run):
        start = check_folder(run.run_dir, settings, parallel.step, batches, may_differ)
    introduce(run, loss_fn, train_data, eval_data)
    with script.checking():
        state = train.init_state(
            jax.random.key(run.seed),
            model,
            optimizer,
            train_data.sample_batch(),
            variables=variables,
            mesh=parallel.mesh,
            shard=parallel.shard,
        )
        evaluate: Any = train.make_eval_fn(loss_fn)
        if run.keep_best is not None:
            measured = jax.eval_shape(evaluate, state, train_data.sample_batch())
            checks.check_name("metric of --keep-best", run.keep_best, measured)
        state = parallel.prepare(state)
    result = train.fit(
        parallel,
        state,
        batches,
        num_steps=optimization.num_steps,
        evaluate=evaluate,
        eval_data=eval_data,
        eval_every=run.eval_every,
        checkpoint_every=run.checkpoint_every,
        keep_best=run.best,
        patience=run.patience,
        log_every=run.log_every,
        run_dir=run.run_dir,
        settings=settings,
        settings_may_differ=may_differ,
    )
    script.keep_command(run.run_dir)
    if jax.process_index() == 0:
        if start == result.step == optimization.num_steps:
            print(f"to train it longer, add --longer and a --num-steps above {start}")
        measured = [f"{eval_data.split} {name} {x:.4f}" for name, x in result.metrics.items()]
        print(f"{run.run_dir}: {', '.join(measured)}")
    figures: list[pathlib.Path] = []
    if run.draws:
        trained = train.restore(run.run_dir)
        figures = trained.draw(trained.predict(eval_data), eval_data)
    script.ending(figures, "evaluate", run.run_dir)
    return result


@contextlib.contextmanager
def _offering_longer(run: Run) -> Iterator[None]:
    """Adds a hint to the error that a run in the folder has another number of steps."""
    try:
        yield
    except train.SettingsError as error:
        if "optimization.num_steps" in str(error) and not run.longer:
            raise train.SettingsError(f"{error} To train it longer, add --longer.") from None
        raise
