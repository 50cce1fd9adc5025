import gc
import itertools
import threading
import time
import weakref

import pytest

from jaxvision import data


def identity(item):
    return item


def prefetching():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def wait_for(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert wait_for(lambda: not prefetching())


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_order_and_end(size, count):
    items = data.Prefetch(range(count), str, size=size)
    assert list(items) == [str(number) for number in range(count)]
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(items)


@pytest.mark.parametrize("size", [1, 3])
def test_holds_no_more_than_it_should(size):
    drawn = []
    with data.Prefetch(itertools.count(), drawn.append, size=size) as items:
        for taken in range(1, 4):
            next(items)
            # What is taken, what is ready, and one that waits to be put down.
            assert wait_for(lambda taken=taken: len(drawn) == taken + size + 1)
            time.sleep(0.02)
            assert len(drawn) == taken + size + 1


def test_works_while_the_consumer_does():
    started = threading.Event()

    def slow(item):
        if item == 1:
            started.set()
        return item

    with data.Prefetch(range(3), slow, size=1) as items:
        next(items)
        assert started.wait(5)


@pytest.mark.parametrize("where", ["items", "apply"])
def test_errors_come_where_the_item_would_have(where):
    def items():
        yield 0
        yield 1
        if where == "items":
            raise KeyError("broken")
        yield 2

    def apply(item):
        if item == 2:
            raise KeyError("broken")
        return item

    prefetched = data.Prefetch(items(), apply)
    assert [next(prefetched), next(prefetched)] == [0, 1]
    with pytest.raises(KeyError, match="broken"):
        next(prefetched)
    with pytest.raises(StopIteration):
        next(prefetched)


def test_closing_ends_an_endless_producer():
    items = data.Prefetch(itertools.count(), identity)
    assert next(items) == 0
    items.close()
    items.close()
    assert not prefetching()
    with pytest.raises(StopIteration):
        next(items)


def test_closing_waits_for_a_producer_that_takes_its_time():
    released = []

    def slow():
        yield 0
        time.sleep(0.3)
        released.append(True)
        yield 1

    items = data.Prefetch(slow(), identity)
    next(items)
    items.close()
    assert released
    assert not prefetching()


def test_an_error_on_the_way_closes_it():
    with (
        pytest.raises(ZeroDivisionError),
        data.Prefetch(itertools.count(), identity) as items,
    ):
        1 // next(items)
    assert not prefetching()


def test_generator_is_closed_in_its_thread():
    closed = []

    def produce():
        try:
            yield from itertools.count()
        finally:
            closed.append(threading.current_thread().name)

    with data.Prefetch(produce(), identity) as items:
        next(items)
    assert closed == ["prefetch"]


def test_garbage_collection_ends_the_thread():
    class Item:
        pass

    kept = []

    def make(number):
        item = Item()
        kept.append(weakref.ref(item))
        return item

    items = data.Prefetch(itertools.count(), make)
    next(items)
    del items
    gc.collect()
    assert wait_for(lambda: not prefetching())
    assert wait_for(lambda: all(ref() is None for ref in kept))


@pytest.mark.parametrize("size", [0, -1])
def test_size_out_of_range(size):
    with pytest.raises(ValueError, match=f"size must be at least 1, got {size}"):
        data.Prefetch(range(3), identity, size=size)
