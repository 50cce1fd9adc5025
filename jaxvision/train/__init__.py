"""State, step, loop, checkpoint: what every task composes."""

from jaxvision.train.optimizers import create_optimizer, create_schedule, decay_mask
from jaxvision.train.parallel import ParallelStep, parallelize
from jaxvision.train.selection import combine, partition, path_name, select
from jaxvision.train.sharding import ShardRule, data_mesh, fsdp, state_shardings
from jaxvision.train.state import Batch, TrainState, evaluation_variables, init_state
from jaxvision.train.step import LossFn, Metrics, Step, TrainStep, make_train_step

__all__ = [
    "Batch",
    "LossFn",
    "Metrics",
    "ParallelStep",
    "ShardRule",
    "Step",
    "TrainState",
    "TrainStep",
    "combine",
    "create_optimizer",
    "create_schedule",
    "data_mesh",
    "decay_mask",
    "evaluation_variables",
    "fsdp",
    "init_state",
    "make_train_step",
    "parallelize",
    "partition",
    "path_name",
    "select",
    "state_shardings",
]
