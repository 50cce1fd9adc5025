"""Reads damaged files of every kind, in a process of its own: `python read_mutants.py FIRST COUNT`.

Whatever a file holds, reading it must end in a `WeightsError` or in arrays of the file's own bytes,
in 5 seconds and in memory of four times the file's size and 64 MiB. It prints what goes wrong, and
at the end how many files were read and how many were refused.
"""

import faulthandler
import pathlib
import resource
import sys
import tempfile
import time
import warnings

import mutants
import numpy as np

from jaxvision.models import WeightsError, read_state_dict

SECONDS = 5.0
MEMORY = 64 * 2**20


def main() -> None:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    faulthandler.enable()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for kind in mutants.KINDS:
            outcomes = {"read": 0, "refused": 0}
            path = pathlib.Path(folder) / f"weights{mutants.SUFFIXES[kind]}"
            for seed in range(first, first + count):
                content = mutants.make(kind, seed)
                path.write_bytes(content)
                print(
                    f"{kind} {seed}", file=sys.stderr, flush=True
                )  # the last is the one that failed
                outcomes[read(path, content)] += 1
            print(kind, outcomes["read"], "read", outcomes["refused"], "refused")


def read(path: pathlib.Path, content: bytes) -> str:
    """Reads one file, and tells what came of it."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    begun = time.perf_counter()
    resource.setrlimit(resource.RLIMIT_AS, (used() + 4 * len(content) + MEMORY, before[1]))
    try:
        tensors = read_state_dict(path)
    except WeightsError:
        tensors = None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.perf_counter() - begun < SECONDS, "it took too long"
    if tensors is None:
        return "refused"
    for name, array in tensors.items():
        assert type(name) is str
        check(array, content)
    return "read"


def used() -> int:
    """The memory of this process in bytes."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def check(array: np.ndarray, content: bytes) -> None:
    """Looks for each number in the file; for its opposite too, which a tensor may stand for."""
    numbers = np.unique(np.ravel(array[tuple(slice(64) for _ in array.shape)]).view(np.uint8)
                        .reshape(-1, array.dtype.itemsize), axis=0)  # fmt: skip
    for number in numbers[:64]:
        opposite = np.negative(number.view(array.dtype)) if array.dtype != bool else number
        assert number.tobytes() in content or opposite.tobytes() in content


if __name__ == "__main__":
    main()
