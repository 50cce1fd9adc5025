"""Plans which examples each batch holds, as a pure function of the seed and the step."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float32, Int

from jaxvision.data.checks import seed_of, whole


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """The rows of every batch of a run, computed from the step alone.

    Attributes:
        num_examples: Number of examples in the split.
        batch_size: Rows of a batch over all processes.
        seed: Seed of the order of the examples.
        shuffle: Whether every epoch draws a new order; False keeps the stored one.
        epochs: Number of passes over the examples; None never ends.
        drop_remainder: Whether the last, incomplete batch of an epoch is dropped.
        process_index: Process whose rows these are.
        process_count: Number of processes that share a batch.

    Raises:
        ValueError: A number is out of range or not whole.
    """

    num_examples: int
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    epochs: int | None = None
    drop_remainder: bool = False
    process_index: int = 0
    process_count: int = 1

    def __post_init__(self) -> None:
        for name in ("num_examples", "batch_size", "process_index", "process_count"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        object.__setattr__(self, "seed", seed_of(self.seed))
        if self.epochs is not None:
            object.__setattr__(self, "epochs", whole("epochs", self.epochs))
        if self.num_examples < 1:
            raise ValueError("there are no examples to make batches of")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.epochs is not None and self.epochs < 0:
            raise ValueError(f"epochs must be at least 0, or None for ever, got {self.epochs}")
        if not 0 <= self.process_index < self.process_count:
            raise ValueError(
                f"process_index must be in [0, {self.process_count}), got {self.process_index}"
            )
        if self.batch_size % self.process_count:
            raise ValueError(
                f"a batch of {self.batch_size} rows does not divide over {self.process_count} "
                "processes; choose a multiple"
            )
        if self.drop_remainder and self.batch_size > self.num_examples:
            raise ValueError(
                f"drop_remainder leaves no batch at all: batch_size is {self.batch_size} and there "
                f"are {self.num_examples} examples"
            )

    @property
    def rows_per_process(self) -> int:
        """Number of rows of a batch that this process holds."""
        return self.batch_size // self.process_count

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in one pass over the examples."""
        whole, rest = divmod(self.num_examples, self.batch_size)
        return whole + (1 if rest and not self.drop_remainder else 0)

    @property
    def num_steps(self) -> int | None:
        """Total number of batches; None if they never end."""
        return None if self.epochs is None else self.epochs * self.steps_per_epoch

    def rows(self, step: int) -> tuple[Int[np.ndarray, " rows"], Float32[np.ndarray, " rows"]]:
        """Returns the examples in this process's part of a batch.

        Args:
            step: Index of the batch, from 0.

        Returns:
            Indices of the examples, and their weights: 0 for rows that only fill the batch, else 1.

        >>> plan = BatchPlan(num_examples=5, batch_size=3, shuffle=False, epochs=1)
        >>> [(index.tolist(), weight.tolist()) for index, weight in map(plan.rows, range(2))]
        [([0, 1, 2], [1.0, 1.0, 1.0]), ([3, 4, 0], [1.0, 1.0, 0.0])]
        """
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        start = step_in_epoch * self.batch_size + self.process_index * self.rows_per_process
        positions = np.arange(start, start + self.rows_per_process)
        weight = (positions < self.num_examples).astype(np.float32)
        positions %= self.num_examples
        if self.shuffle:
            return _order(self.num_examples, self.seed, epoch)[positions], weight
        return positions, weight


@functools.lru_cache(maxsize=4)
def _order(num_examples: int, seed: int, epoch: int) -> Int[np.ndarray, " examples"]:
    """Returns the order of the examples in an epoch.

    It sorts raw random bits: NumPy keeps those the same in later versions, unlike `permutation`.
    """
    bits = np.random.Philox(key=(epoch << 64) | seed).random_raw(num_examples)
    order = np.argsort(bits, kind="stable")
    order.setflags(write=False)
    return order
