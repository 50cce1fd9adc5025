"""The steps at which a run logs, evaluates and saves."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Intervals in steps; `others` are those of evaluations with an interval of their own.

    A run stops at their multiples, thus at the same steps however often it is interrupted.
    """

    num_steps: int | None
    log_every: int
    eval_every: int
    checkpoint_every: int
    others: tuple[int, ...] = ()

    @classmethod
    def plan(
        cls,
        num_steps: int | None,
        *,
        log_every: int | None,
        eval_every: int | None,
        checkpoint_every: int | None,
    ) -> "Intervals":
        """Sets intervals that are None: for 100 log lines, 10 evaluations and 10 checkpoints.

        >>> Intervals.plan(2000, log_every=None, eval_every=None, checkpoint_every=None)
        Intervals(num_steps=2000, log_every=20, eval_every=200, checkpoint_every=200, others=())
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
        """Returns the step up to which a program of at most `fused` steps may run.

        >>> intervals = Intervals(num_steps=50, log_every=10, eval_every=25, checkpoint_every=25)
        >>> [intervals.next_stop(step, 16) for step in (0, 10, 20, 25, 48)]
        [10, 16, 25, 30, 50]
        """
        periods = (fused, self.log_every, self.eval_every, self.checkpoint_every, *self.others)
        stop = min((step // period + 1) * period for period in periods)
        return stop if self.num_steps is None else min(stop, self.num_steps)
