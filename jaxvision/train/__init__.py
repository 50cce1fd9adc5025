"""State, step, loop, checkpoint: what every task composes."""

from jaxvision._trees import path_name
from jaxvision.train import classification, multitask
from jaxvision.train.accumulator import NonFiniteLossError
from jaxvision.train.checkpoint import Checkpointer, CheckpointError
from jaxvision.train.finetuning import Layers, layerwise_decay, unfreezing
from jaxvision.train.fit import FitResult, fit
from jaxvision.train.gradient_check import GradientReport, gradient_check
from jaxvision.train.optimizers import create_optimizer, create_schedule, decay_mask
from jaxvision.train.parallel import ParallelStep, parallelize
from jaxvision.train.restore import restore_for_evaluation
from jaxvision.train.run_folder import RunFolderError, SettingsError, read_metrics
from jaxvision.train.runtime import start
from jaxvision.train.selection import combine, partition, select
from jaxvision.train.sharding import ShardRule, data_mesh, fsdp, state_shardings
from jaxvision.train.state import Batch, TrainState, evaluation_variables, init_state
from jaxvision.train.step import LossFn, Metrics, Step, TrainStep, make_train_step

__all__ = [
    "Batch",
    "CheckpointError",
    "Checkpointer",
    "FitResult",
    "GradientReport",
    "Layers",
    "LossFn",
    "Metrics",
    "NonFiniteLossError",
    "ParallelStep",
    "RunFolderError",
    "SettingsError",
    "ShardRule",
    "Step",
    "TrainState",
    "TrainStep",
    "classification",
    "combine",
    "create_optimizer",
    "create_schedule",
    "data_mesh",
    "decay_mask",
    "evaluation_variables",
    "fit",
    "fsdp",
    "gradient_check",
    "init_state",
    "layerwise_decay",
    "make_train_step",
    "multitask",
    "parallelize",
    "partition",
    "path_name",
    "read_metrics",
    "restore_for_evaluation",
    "select",
    "start",
    "state_shardings",
    "unfreezing",
]
