"""Advice for a step that needs more memory than a chip has."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from jaxvision._trees import by_path
from jaxvision.train.parallel import ParallelStep
from jaxvision.train.planning.planner import Plan, device_bytes
from jaxvision.train.sharding import BATCH_AXIS, fsdp, state_shardings

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Change:
    """A change that lowers the memory of a step.

    Attributes:
        what: The change, in words.
        needed: Bytes on each device after the change, estimated without compiling; None if unknown.
        cost: Its cost in time or otherwise.
    """

    what: str
    needed: float | None
    cost: str


def advise(parallel: ParallelStep, state: PyTree, batch: PyTree, plan: Plan) -> list[Change]:
    """Lists changes that lower the memory of a step, with an estimate for each.

    Estimates assume that temporaries grow with the rows of a batch, except the gradient, which is
    as large as the parameters. They are approximate: only a plan of the changed step is exact.

    Args:
        parallel: The step.
        state: The state, or its shapes.
        batch: The batch, its shapes, or None.
        plan: The plan of this step with this state and batch.

    Returns:
        Changes, the cheapest first.

    >>> import jax
    >>> from jaxvision import train
    >>> from jaxvision.train.planning import plan
    >>> step = train.parallelize(lambda state, batch: (state * 2, {}),
    ...                          train.data_mesh(jax.devices()[:1]))
    >>> shape = jax.ShapeDtypeStruct((8, 8), "float32")
    >>> [change.what for change in advise(step, shape, shape, plan(step, shape, shape))]
    ['rematerialize: wrap the blocks of the model in flax.linen.remat']
    """
    changes = []
    gradient = min(plan.parts.get("params", 0.0), plan.temporaries)
    growing = plan.temporaries - gradient
    room = None if plan.chip is None else plan.chip.memory_bytes

    def with_share(share: float) -> float:
        return plan.needed - growing * (1 - share)

    rows = _rows(batch, parallel)
    if hasattr(parallel.step, "accumulate_steps") and rows is not None:
        now = parallel.step.accumulate_steps
        for parts in _larger_divisors(rows // parallel.mesh.shape[BATCH_AXIS], now):
            needed = with_share(now / parts)
            if room is None or needed <= room:
                changes.append(
                    Change(
                        f"accumulate the gradient over {parts} parts of a batch "
                        f"(accumulate_steps={parts}, --accumulate-steps {parts})",
                        needed,
                        "little time; BatchNorm sees the rows of a part alone",
                    )
                )
                break
    if parallel.strategy == "jit" and parallel.shard is None:
        saved = _saved_by_fsdp(parallel, state)
        if saved > 0.01 * plan.needed:
            changes.append(
                Change(
                    "cut parameters and optimizer state over the chips (shard=fsdp(), --fsdp)",
                    plan.needed - saved,
                    "parameters are gathered where they are used",
                )
            )
    if rows is not None and room is not None and plan.needed > room and growing:
        step = parallel.mesh.shape[BATCH_AXIS]
        share = 1 - (plan.needed - room) / growing
        fewer = math.floor(max(0.0, share) * rows / step) * step
        if fewer:
            changes.append(
                Change(
                    f"a smaller batch, of {fewer:,} rows", with_share(fewer / rows), "more steps"
                )
            )
            chips = math.ceil(parallel.mesh.size * rows / fewer)
            changes.append(
                Change(f"more chips: {chips} or more for this batch", room, "more chips")
            )
    changes.append(
        Change(
            "rematerialize: wrap the blocks of the model in flax.linen.remat",
            None,
            "up to a third more operations; feature maps are computed again",
        )
    )
    return changes


def _rows(batch: PyTree, parallel: ParallelStep) -> int | None:
    if parallel.constant is not None:
        return None
    return next((int(leaf.shape[0]) for leaf in by_path(batch).values()), None)


def _larger_divisors(number: int, least: int) -> Iterator[int]:
    return (parts for parts in range(least + 1, number + 1) if number % parts == 0)


def _saved_by_fsdp(parallel: ParallelStep, state: PyTree) -> float:
    leaves = by_path(state)
    whole = by_path(parallel.shardings(state))
    cut = by_path(state_shardings(state, parallel.mesh, fsdp()))
    return math.fsum(
        device_bytes(leaf, whole[path]) - device_bytes(leaf, cut[path])
        for path, leaf in leaves.items()
    )
