"""Planning of a step on a mesh of devices before it runs: memory, operations, communication.

The step is compiled for the devices, which need not be present, and the compiled program is
analyzed. `tpu_mesh` makes meshes of TPUs on a machine without any.
"""

from jaxvision.train.planning._costs import Collective
from jaxvision.train.planning.advice import Change, advise
from jaxvision.train.planning.chips import (
    CHIPS,
    Chip,
    check_topology,
    chip_of,
    require_libtpu,
    tpu_mesh,
)
from jaxvision.train.planning.planner import Memory, Plan, Roofline, plan
from jaxvision.train.planning.report import report, row, titles

__all__ = [
    "CHIPS",
    "Change",
    "Chip",
    "Collective",
    "Memory",
    "Plan",
    "Roofline",
    "advise",
    "check_topology",
    "chip_of",
    "plan",
    "report",
    "require_libtpu",
    "row",
    "titles",
    "tpu_mesh",
]
