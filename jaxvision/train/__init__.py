"""State, step, loop, checkpoint: what every task composes.

Tasks are folders (`train.classification`, ...), which load on first use, and so does
`train.planning`, which says what a step takes before it runs.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxvision._trees import path_name
from jaxvision.train._accumulator import NonFiniteLossError
from jaxvision.train.batch_picture import draw_batch
from jaxvision.train.best import Best, highest, lowest
from jaxvision.train.checkpoint import Checkpointer, CheckpointError
from jaxvision.train.constant import constant
from jaxvision.train.evaluation import EvaluateOn, Evaluation, Rows, make_eval_fn
from jaxvision.train.export import Exported, export
from jaxvision.train.finetuning import Layers, layerwise_decay, unfreezing
from jaxvision.train.fit import FitResult, fit
from jaxvision.train.gradient_check import GradientReport, gradient_check
from jaxvision.train.inputs import Inputs
from jaxvision.train.mapping import Mapped, map_batches
from jaxvision.train.optimizers import create_optimizer, create_schedule, decay_mask
from jaxvision.train.parallel import ParallelStep, parallelize
from jaxvision.train.protocols import ContextLossFn, LossFn, Metrics, Step
from jaxvision.train.run.errors import RunFolderError, SettingsError
from jaxvision.train.run.log import read_metrics
from jaxvision.train.run.record import RunRecord
from jaxvision.train.run.restore import SavedRun, open_run
from jaxvision.train.runtime import start
from jaxvision.train.selection import combine, partition, select
from jaxvision.train.serving import ArrayInfo, ScoreFunction, Serving
from jaxvision.train.sharding import ShardRule, data_mesh, fsdp, state_shardings
from jaxvision.train.state import TrainState, evaluation_variables, image_input, init_state
from jaxvision.train.step import TrainStep, make_train_step
from jaxvision.train.tasks import Answer, Trained, list_tasks, register_task, restore

if TYPE_CHECKING:
    from jaxvision.train import (
        agents,
        autoencoding,
        classification,
        fixations,
        gan,
        multitask,
        planning,
        segmentation,
        vae,
    )

__all__ = [
    "Answer",
    "ArrayInfo",
    "Best",
    "CheckpointError",
    "Checkpointer",
    "ContextLossFn",
    "EvaluateOn",
    "Evaluation",
    "Exported",
    "FitResult",
    "GradientReport",
    "Inputs",
    "Layers",
    "LossFn",
    "Mapped",
    "Metrics",
    "NonFiniteLossError",
    "ParallelStep",
    "Rows",
    "RunFolderError",
    "RunRecord",
    "SavedRun",
    "ScoreFunction",
    "Serving",
    "SettingsError",
    "ShardRule",
    "Step",
    "TrainState",
    "TrainStep",
    "Trained",
    "agents",
    "autoencoding",
    "classification",
    "combine",
    "constant",
    "create_optimizer",
    "create_schedule",
    "data_mesh",
    "decay_mask",
    "draw_batch",
    "evaluation_variables",
    "export",
    "fit",
    "fixations",
    "fsdp",
    "gan",
    "gradient_check",
    "highest",
    "image_input",
    "init_state",
    "layerwise_decay",
    "list_tasks",
    "lowest",
    "make_eval_fn",
    "make_train_step",
    "map_batches",
    "multitask",
    "open_run",
    "parallelize",
    "partition",
    "path_name",
    "planning",
    "read_metrics",
    "register_task",
    "restore",
    "segmentation",
    "select",
    "start",
    "state_shardings",
    "unfreezing",
    "vae",
]

_FOLDERS = (
    "agents",
    "autoencoding",
    "classification",
    "fixations",
    "gan",
    "multitask",
    "planning",
    "segmentation",
    "vae",
)


def __getattr__(name: str) -> Any:
    if name in _FOLDERS:
        return importlib.import_module(f"jaxvision.train.{name}")
    raise AttributeError(f"module 'jaxvision.train' has no attribute {name!r}")
