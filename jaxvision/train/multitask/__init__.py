"""Several tasks on one backbone, with fixed or learned weights of their losses."""

from jaxvision.train.multitask.loss import MultiTaskLoss, Task, make_loss_fn
from jaxvision.train.multitask.trained import Outputs, TrainedMultiTask

__all__ = ["MultiTaskLoss", "Outputs", "Task", "TrainedMultiTask", "make_loss_fn"]
