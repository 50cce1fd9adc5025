import itertools
import json
import multiprocessing
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import quick

from jaxvision import data
from jaxvision.data.streaming import THREADS


def numbers(batches):
    return [(b["image"][:, 0, 0, 0].tolist(), b["weight"].tolist()) for b in batches]


class Counted:
    """A source that counts how often it is read, and can be slow or fail."""

    def __init__(self, seconds=0.0, fails_at=None):
        self.reads = 0
        self.seconds = seconds
        self.fails_at = fails_at
        self._lock = threading.Lock()

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        with self._lock:
            self.reads += 1
        time.sleep(self.seconds)
        if index == self.fails_at:
            raise data.CorruptImageError(f"cannot decode image {index}")
        return {"image": np.full((2, 2, 1), index)}

    def batches(self, *args, **options):
        dataset = data.from_source(self, name="counted", split="all", in_memory=False)
        self.reads = 0  # one was read to see what the fields are
        return dataset.batches(*args, **options)


def test_same_batches_as_in_memory(numbered):
    expected = numbers(data.load_folder(numbered).batches(4, seed=2, epochs=2))
    dataset = data.load_folder(numbered, in_memory=False)
    with dataset.batches(4, seed=2, epochs=2) as batches:
        assert numbers(itertools.islice(batches, 1)) == expected[:1]
        state = json.loads(json.dumps(batches.get_state()))
        assert numbers(batches) == expected[1:]
        batches.set_state(state)  # from the end back to the middle
        assert numbers(itertools.islice(batches, 2)) == expected[1:3]


def test_batches_can_be_written_to(numbered):
    dataset = data.load_folder(numbered, in_memory=False)
    for batch in dataset.batches(4, epochs=1):
        batch["image"][:] = 0
        batch["weight"][:] = 0


def test_reads_ahead_a_few_batches_and_no_more():
    source = Counted()
    with source.batches(10) as batches:
        for step in range(1, 4):
            next(batches)
            time.sleep(0.1)
            assert source.reads <= 10 * (step + THREADS)


class Meeting(Counted):
    """A source where each of the first images at an even place waits until the next is read."""

    def __init__(self):
        super().__init__()
        self.reads = None
        self._is_read = [threading.Event() for _ in range(8)]

    def __getitem__(self, index):
        if self.reads is None:  # to see what the fields are
            self.reads = 0
        elif index < len(self._is_read):
            self._is_read[index].set()
            if index % 2 == 0 and not self._is_read[index + 1].wait(timeout=30):
                raise TimeoutError(f"nobody read image {index + 1} in the meantime")
        return super().__getitem__(index)


def test_reads_several_batches_at_once():
    with Meeting().batches(1, shuffle=False) as batches:
        assert numbers(itertools.islice(batches, 8)) == [([i], [1]) for i in range(8)]


@pytest.mark.parametrize("num_workers", [0, 1], ids=["threads", "worker"])
def test_images_are_transformed_until_a_corrupt_one_stops(damaged, num_workers):
    offset = 100  # a closure, as notebooks make them, reaches the workers too

    def transform(example):
        return {**example, "image": example["image"] + np.uint8(offset)}

    dataset = data.load_folder(damaged, in_memory=False, transform=transform)
    with dataset.batches(1, shuffle=False, num_workers=num_workers) as batches:
        expected = [([100], [1]), ([102], [1]), ([104], [1])]
        assert numbers(itertools.islice(batches, 3)) == expected
        with pytest.raises(data.CorruptImageError, match=r"cannot decode .*/even/006\.png"):
            next(batches)
        assert batches.get_state()["step"] == 3
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("num_workers", quick.only([0, 2], 0))
def test_corrupt_images_are_skipped_and_counted(damaged, num_workers):
    # The order is 0 2 4 6 8 10 1 3 5 7 9; 6 and 3 cannot be read.
    dataset = data.load_folder(damaged, in_memory=False, corrupt="skip")
    with dataset.batches(4, shuffle=False, epochs=2, num_workers=num_workers) as batches:
        expected = [
            ([0, 2, 4, 0], [1, 1, 1, 0]),
            ([8, 10, 1, 0], [1, 1, 1, 0]),
            ([5, 7, 9, 0], [1, 1, 1, 0]),
        ]
        assert numbers(itertools.islice(batches, 3)) == expected
        assert batches.num_skipped == 2
        state = json.loads(json.dumps(batches.get_state()))
        assert numbers(batches) == expected
        assert batches.num_skipped == 4
    fresh = dataset.batches(4, shuffle=False, epochs=2)
    fresh.set_state(state)
    assert fresh.num_skipped == 2
    assert numbers(fresh) == expected
    assert fresh.num_skipped == 4


def test_padding_is_not_counted_as_skipped(damaged):
    dataset = data.load_folder(damaged, in_memory=False, corrupt="skip")
    with dataset.batches(16, shuffle=False, epochs=1) as batches:
        (batch,) = batches  # the padding repeats 0 2 4 6 8
    assert batch["weight"].sum() == 9
    assert batches.num_skipped == 2


def test_first_image_corrupt(damaged):
    (damaged / "even" / "000.png").write_bytes(b"")
    dataset = data.load_folder(damaged, in_memory=False, corrupt="skip")
    batch = next(dataset.batches(4, shuffle=False, epochs=1))
    assert numbers([batch]) == [([2, 2, 4, 2], [0, 1, 1, 0])]


def test_nothing_but_corrupt_images(damaged):
    for file in damaged.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(data.DatasetError, match="damaged/all has no example that can be decoded"):
        data.load_folder(damaged, in_memory=False, corrupt="skip")


def test_images_of_different_shapes(numbered):
    def grow(example):
        side = 2 + int(example["label"])
        return {"image": np.zeros((side, side, 3), np.uint8)}

    dataset = data.load_folder(numbered, in_memory=False, transform=grow)
    message = r"image has different shapes in .*\(2, 2, 3\) and \(3, 3, 3\); give image_size"
    with dataset.batches(4) as batches, pytest.raises(data.DatasetError, match=message):
        list(batches)


def test_closing_ends_threads():
    before = set(threading.enumerate())
    batches = Counted(seconds=0.01).batches(4)
    next(batches)
    threads = set(threading.enumerate()) - before
    assert threads
    batches.close()
    deadline = time.monotonic() + 5
    while threads & set(threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not threads & set(threading.enumerate())


LEFTOVERS = """
import gc, itertools, multiprocessing, sys
from jaxvision import data

def use(folder, how):
    dataset = data.load_folder(folder, in_memory=False)
    prefetched = data.Prefetch(itertools.count(), str)
    made = [dataset.batches(4), dataset.batches(4, num_workers=1), prefetched]
    for items in made:
        for _ in range(5):
            next(items)
    assert len(multiprocessing.active_children()) == 1
    if how == "close":
        for items in made:
            items.close()
        assert multiprocessing.active_children() == []
    return made if how == "leave" else None

if __name__ == "__main__":
    for how in sys.argv[2:]:
        left = use(sys.argv[1], how)
        gc.collect()
        assert (multiprocessing.active_children() == []) == (left is None)
    print("done")
"""


@pytest.mark.parametrize("ways", quick.only(["leave", "close drop"], "leave"))
def test_an_interpreter_ends_and_leaves_nothing_behind(numbered, run_python, tmp_path, ways):
    """Whether threads, a worker and a `Prefetch` are in use at its end, closed, or garbage."""
    script = tmp_path / "leftovers.py"
    script.write_text(LEFTOVERS)
    # Python itself complains of leaked shared memory on standard error, which has to be empty.
    assert run_python(script, numbered, *ways.split()) == "done\n"


@pytest.mark.slow
def test_script_that_starts_workers_when_it_is_imported(numbered, tmp_path):
    script = tmp_path / "careless.py"
    script.write_text(
        "from jaxvision import data\n"
        f"next(data.load_folder({str(numbered)!r}, in_memory=False).batches(4, num_workers=1))\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 1
    assert 'has to begin its work under `if __name__ == "__main__":`' in done.stderr


def test_after_an_error_it_neither_goes_on_behind_the_gap_nor_ends():
    batches = Counted(fails_at=7).batches(5, shuffle=False)
    next(batches)
    for _ in range(2):
        with pytest.raises(data.CorruptImageError, match="cannot decode image 7"):
            next(batches)
    assert batches.get_state()["step"] == 1


KILLED = """
import multiprocessing, os, signal, sys
from jaxvision import data

if __name__ == "__main__":
    batches = data.load_folder(sys.argv[1], in_memory=False).batches(4, num_workers=1)
    next(batches)
    print(multiprocessing.active_children()[0].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(numbered, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    done = subprocess.run(
        [sys.executable, script, numbered], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == -signal.SIGKILL
    worker = pathlib.Path("/proc") / done.stdout.strip()
    deadline = time.monotonic() + 30
    while worker.exists() and "zombie" not in (worker / "status").read_text():
        assert time.monotonic() < deadline, "the worker lives on"
        time.sleep(0.1)
