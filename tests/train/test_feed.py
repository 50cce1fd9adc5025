"""Batches on their way to the devices."""

import itertools
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import data, train
from jaxvision.train._feed import Chunk, feed
from jaxvision.train._intervals import Intervals
from jaxvision.train._peekable import Peekable

ROWS = 2 * len(jax.devices())
PARALLEL = train.parallelize(lambda state, batch: (state, {}))


def batch(number: int, rows: int = ROWS) -> dict[str, np.ndarray]:
    return {"image": np.full((rows, 3), number, np.float32)}


class Counter:
    """Batches that can say and be told where they are."""

    def __init__(self, length: int) -> None:
        self.at = 0
        self.length = length

    def __iter__(self) -> "Counter":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        if self.at >= self.length:
            raise StopIteration
        self.at += 1
        return batch(self.at)

    def get_state(self) -> dict[str, int]:
        return {"at": self.at}

    def set_state(self, state: dict[str, int]) -> None:
        self.at = state["at"]


def drawn(iterator: Any, *, num_steps: int | None = 50, fuse: int = 1, start: int = 0) -> list:
    intervals = Intervals(num_steps, log_every=7, eval_every=20, checkpoint_every=20)
    items = None if iterator is None else Peekable(iterator)
    with feed(PARALLEL, items, intervals, start=start, fuse=fuse) as chunks:
        return list(chunks)


def numbers(chunk: Chunk) -> list[float]:
    """The numbers of the batches in a chunk."""
    images = np.asarray(chunk.batches["image"])
    assert images.shape[-2:] == (ROWS, 3)
    return images[..., 0, 0].reshape(-1).tolist()


def test_one_batch_at_a_time() -> None:
    chunks = drawn(Counter(100), num_steps=5)
    assert [numbers(chunk) for chunk in chunks] == [[1], [2], [3], [4], [5]]
    assert [chunk.count for chunk in chunks] == [1] * 5
    assert [chunk.position for chunk in chunks] == [{"at": n} for n in (1, 2, 3, 4, 5)]
    images = chunks[0].batches["image"]
    assert images.sharding == PARALLEL.batch_sharding()


@pytest.mark.parametrize("start", [0, 4, 19])
def test_chunks_end_where_the_calendar_stops(start: int) -> None:
    """All are as long as the program was compiled for, and say how many count."""
    source = Counter(100)
    source.at = start
    chunks = drawn(source, fuse=4, start=start)
    ends = list(itertools.accumulate([chunk.count for chunk in chunks], initial=start))
    every = {*range(0, 50, 4), *range(0, 50, 7), *range(0, 50, 20), 50}
    assert ends == sorted({start, *(end for end in every if end > start)})
    for chunk, begin, end in zip(chunks, ends, ends[1:], strict=False):
        filled = [*range(begin + 1, end + 1)] + [end] * (4 - chunk.count)
        assert numbers(chunk) == filled
        assert chunk.position == {"at": end}
        assert chunk.batches["image"].sharding == PARALLEL.batch_sharding(stacked=True)


@pytest.mark.parametrize("num_steps", [None, 50])
def test_data_that_end_early(num_steps: int | None) -> None:
    chunks = drawn(Counter(6), num_steps=num_steps, fuse=4)
    assert [chunk.count for chunk in chunks] == [4, 2]
    assert numbers(chunks[-1]) == [5, 6, 6, 6]
    assert drawn(Counter(0), num_steps=num_steps, fuse=4) == []


def test_positions_that_cannot_be_told() -> None:
    chunks = drawn(iter([batch(1), batch(2)]))
    assert [chunk.position for chunk in chunks] == [None, None]


def test_without_data_every_batch_is_none() -> None:
    assert drawn(None, num_steps=5, start=3) == [Chunk(None, 1, None)] * 2
    assert drawn(None, num_steps=5, start=5) == []


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    intervals = Intervals(None, 10, 10, 10)
    endless = (batch(number) for number in itertools.count())
    with feed(PARALLEL, Peekable(endless), intervals, start=0, fuse=2) as chunks:
        assert numbers(next(chunks)) == [0, 1]
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_errors_of_the_data_come_where_the_batch_would_have() -> None:
    def broken():
        yield batch(1)
        raise OSError("the disk is gone")

    intervals = Intervals(10, 10, 10, 10)
    with feed(PARALLEL, Peekable(broken()), intervals, start=0, fuse=1) as chunks:
        assert numbers(next(chunks)) == [1]
        with pytest.raises(OSError, match="the disk is gone"):
            next(chunks)


@pytest.mark.parametrize("last", [batch(2, ROWS // 2), {"image": np.zeros(ROWS), "label": 1}])
def test_batches_that_differ_cannot_be_fused(last: dict) -> None:
    with pytest.raises(
        ValueError, match=r"one structure and shape: fill .* or give fit fuse_steps=1"
    ):
        drawn(iter([batch(1), last]), fuse=4)


def test_peeking_takes_nothing() -> None:
    items = Peekable(Counter(3))
    assert items.peek()["image"][0, 0] == 1
    assert items.peek()["image"][0, 0] == 1
    assert [item["image"][0, 0] for item in items] == [1, 2, 3]
    assert items.peek() is None
    assert next(items, "end") == "end"


def test_peeking_keeps_the_position() -> None:
    items = Peekable(Counter(10))
    items.move({"at": 4})
    items.peek()
    assert next(items)["image"][0, 0] == 5
    assert items.position() == {"at": 5}
    digits = data.load("digits", "test").batches(16)
    items = Peekable(digits)
    items.peek()
    next(items)
    assert items.position() == digits.get_state()


def test_peeking_into_what_has_no_position() -> None:
    items = Peekable(iter([1, 2]))
    assert not items.can_move
    assert items.position() is None
    assert items.peek() == 1
    assert list(items) == [1, 2]


def test_a_fused_program_takes_what_is_fed() -> None:
    """`ParallelStep.many` runs the steps that count, and no copy of the last."""
    parallel = train.parallelize(
        lambda state, batch: (state + batch["image"].mean(), {"loss": (state, jnp.ones(()))})
    )
    intervals = Intervals(6, 4, 4, 4)
    state = jnp.zeros(())
    with feed(parallel, Peekable(Counter(100)), intervals, start=0, fuse=4) as chunks:
        for chunk in chunks:
            state, _ = parallel.many(state, chunk.batches, chunk.count, 4)
    assert float(state) == sum(range(1, 7))
