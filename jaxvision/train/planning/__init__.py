"""What a step takes on a mesh of devices, before it runs there: memory, operations, exchanges.

A step is compiled for a mesh, whose devices need not be there, and the compiled program is read.
`tpu_mesh` gives meshes of TPUs on a machine without any.
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
