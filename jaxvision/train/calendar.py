"""When a run logs, evaluates and saves, and how many steps it takes at once."""

import dataclasses
from typing import Any

import jax
import numpy as np

from jaxvision.train.parallel import ParallelStep

PyTree = Any

FUSED_STEPS = 16
"""Steps in one program, where steps are short."""


@dataclasses.dataclass(frozen=True)
class Calendar:
    """Periods in steps. A run stops for them at the same steps however often it is cut off.

    Attributes:
        num_steps: The last step, or None.
        log_every: Steps between lines of training metrics.
        eval_every: Steps between evaluations.
        checkpoint_every: Steps between checkpoints.
    """

    num_steps: int | None
    log_every: int
    eval_every: int
    checkpoint_every: int

    @classmethod
    def plan(
        cls,
        num_steps: int | None,
        *,
        log_every: int | None,
        eval_every: int | None,
        checkpoint_every: int | None,
    ) -> "Calendar":
        """Fills in what the user left open: a hundred lines, ten evaluations.

        Args:
            num_steps: The last step, or None.
            log_every: Steps, or None.
            eval_every: Steps, or None.
            checkpoint_every: Steps, or None for those of evaluations.

        Returns:
            The calendar.

        Raises:
            ValueError: A period is not positive.

        >>> Calendar.plan(2000, log_every=None, eval_every=None, checkpoint_every=None)
        Calendar(num_steps=2000, log_every=20, eval_every=200, checkpoint_every=200)
        """
        if num_steps is not None and num_steps < 0:
            raise ValueError(f"num_steps must not be negative, got {num_steps}")
        given = {
            "log_every": log_every,
            "eval_every": eval_every,
            "checkpoint_every": checkpoint_every,
        }
        for name, value in given.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 step, got {value}")
        total = num_steps or 5_000
        eval_every = eval_every or max(1, total // 10)
        return cls(
            num_steps=num_steps,
            log_every=log_every or max(1, total // 100),
            eval_every=eval_every,
            checkpoint_every=checkpoint_every or eval_every,
        )

    def next_stop(self, step: int, fused: int) -> int:
        """The step up to which a program may run from here.

        Args:
            step: Where the run is.
            fused: The most steps of one program.

        Returns:
            A later step; the last one if the run is over there.

        >>> calendar = Calendar(num_steps=50, log_every=10, eval_every=25, checkpoint_every=25)
        >>> [calendar.next_stop(step, 16) for step in (0, 10, 20, 25, 48)]
        [10, 16, 25, 30, 50]
        """
        periods = (fused, self.log_every, self.eval_every, self.checkpoint_every)
        stop = min((step // period + 1) * period for period in periods)
        return stop if self.num_steps is None else min(stop, self.num_steps)


def steps_to_fuse(parallel: ParallelStep, state: PyTree, batch: PyTree) -> int:
    """How many steps to run in one program.

    Short steps lose time between programs. But XLA's CPU backend runs a convolution inside a loop
    on one thread, about five times slower than outside, so that there only models without
    convolutions are fused.

    Args:
        parallel: The step.
        state: The state.
        batch: A batch.

    Returns:
        `FUSED_STEPS` or 1.
    """
    if batch is None:
        return 1
    numbers = sum(int(np.prod(np.shape(leaf))) for leaf in jax.tree.leaves((state, batch)))
    if numbers > 2**22:
        return 1
    if parallel.mesh.devices.flat[0].platform != "cpu":
        return FUSED_STEPS
    if parallel.strategy == "pmap":
        return 1
    lowered = jax.jit(parallel.step).lower(state, batch).as_text()
    return 1 if "stablehlo.convolution" in lowered else FUSED_STEPS
