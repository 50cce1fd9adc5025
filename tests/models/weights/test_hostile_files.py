"""Files made to reach outside of themselves, or to take all time or memory."""

import json
import pathlib
import struct
import subprocess
import sys
import zipfile

import mutants
import numpy as np
import pytest
from crafted import (
    BUILD,
    MARK,
    PERSID,
    REBUILD,
    REDUCE,
    SETITEM,
    STOP,
    archive,
    state_dict,
    storage,
    stream,
    tensor,
    value,
)

from jaxvision.models import WeightsError, read_state_dict
from jaxvision.models.weights import pickles
from jaxvision.models.weights import tensors as tensors_of_torch

HERE = pathlib.Path(__file__).parent


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "weights.pth"


def test_the_instructions_above_make_a_tensor(path: pathlib.Path) -> None:
    made = tensor(offset=value(1), size=value((3,)))
    assert read_state_dict(archive(path, state_dict(made)))["weight"].tolist() == [2, 3, 4]
    path.write_bytes(stream(state_dict(made)))
    assert read_state_dict(path)["weight"].tolist() == [2, 3, 4]


WRONG_TENSORS = {
    "its end": (tensor(size=value((5,))), "lies outside its storage"),
    "its end by an offset": (tensor(offset=value(1)), "lies outside its storage"),
    "its end by strides": (tensor(size=value((2, 2)), stride=value((2, 2))), "lies outside"),
    "a negative offset": (tensor(offset=value(-1)), "is no whole number"),
    "a negative stride": (tensor(offset=value(3), stride=value((-1,))), "is no whole number"),
    "a negative size": (tensor(size=value((-1, -1)), stride=value((1, 1))), "is no whole number"),
    "a size that is true": (tensor(size=value((True,))), "is no whole number"),
    "a size that is a float": (tensor(size=value((4.0,))), "is no whole number"),
    "a size that is a tensor": (tensor(size=tensor() + b"\x85"), "is no whole number"),
    "a shape that is a tensor": (tensor(size=tensor()), "are no short tuple"),
    "a stride that is a tensor": (tensor(stride=tensor() + b"\x85"), "is no whole number"),
    "an offset that is a tensor": (tensor(offset=tensor()), "is no whole number"),
    "a size of 2**63": (tensor(size=value((2**63,)), stride=value((0,))), "is no whole number"),
    "sizes whose product wraps around": (
        tensor(size=value((2**32, 2**32)), stride=value((0, 0))),
        "repeats its numbers until it is much larger",
    ),
    "many axes": (tensor(size=value((1,) * 100), stride=value((1,) * 100)), "no short tuple"),
    "a tensor for a storage": (tensor(tensor()), "made of something that is no storage"),
    "a list for a storage": (tensor(value([1.0] * 4)), "made of something that is no storage"),
    "a storage of 2**60 numbers": (tensor(storage(size=2**60)), "larger than the whole file"),
    "a storage larger than it is": (tensor(storage(size=8)), "longer than what is stored"),
    "a storage of a negative size": (tensor(storage(size=-1)), "the name or size of a storage"),
    "a storage that does not exist": (tensor(storage(key="7")), "it has no part 'data/7'"),
    "a storage elsewhere": (tensor(storage(key="../../etc")), "it has no part"),
    "a storage of two types": (
        tensor(storage("DoubleStorage", size=2), size=value((2,)))
        + b"0"  # POP, which torch does not write
        + tensor(),
        "no instruction POP",
    ),
    "a complex storage": (
        tensor() + SETITEM + value("more") + tensor(storage("ComplexFloatStorage", "1")),
        "its 'more' is a tensor of ComplexFloatStorage, which is not read here",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("made", "message"), WRONG_TENSORS.values(), ids=WRONG_TENSORS)
def test_tensors_that_reach_outside_of_their_storage(
    made: bytes, message: str, path: pathlib.Path
) -> None:
    with pytest.raises(WeightsError, match=message):
        read_state_dict(archive(path, state_dict(made)))


CHANGES = {
    "an item of a storage": (
        storage() + value(0) + value(1.5) + SETITEM,
        "changes a Storage as if it were a dict",
    ),
    "an item of a tensor": (
        tensor() + value(0) + value(1.5) + SETITEM,
        "changes a StoredTensor as if it were a dict",
    ),
    "the end of a storage": (storage() + value(1.5) + b"a", "changes a Storage as if it were a li"),
    "the defaults of a function": (
        REBUILD + b"N}" + value("__defaults__") + value((1,)) + SETITEM + b"\x86" + BUILD,
        "sets attributes of a Maker",
    ),
    "attributes of a tensor": (tensor() + b"}" + BUILD, "sets attributes of a StoredTensor"),
    "a call of a tensor": (tensor() + b")" + REDUCE, "calls something that is no function"),
    "a call without a tuple": (REBUILD + b"}" + REDUCE, "calls something that is no function"),
}


@pytest.mark.parametrize(("made", "message"), CHANGES.values(), ids=CHANGES)
def test_objects_that_a_pickle_may_not_change(
    made: bytes, message: str, path: pathlib.Path
) -> None:
    for content in (archive(path, state_dict(made)).read_bytes(), stream(state_dict(made))):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=message):
            read_state_dict(path)
    assert tensors_of_torch._tensor.__defaults__ is None


HEAVY = {
    "a key that is nested": (b"}" + b")" + b"\x85" * 20_000 + b"N" + SETITEM, "a key of a dict"),
    "a key of 2**60 parts": (
        b"}" + b")" + b"".join(b"q\0h\0\x86" for _ in range(60)) + b"N" + SETITEM,
        "a key of a dict",
    ),
    "a key with many digits": (b"}" + value(2**5000) + b"N" + SETITEM, "a key of a dict"),
    "an identifier with many parts": (
        b")" + b"".join(b"q\0h\0\x86" for _ in range(60)) + PERSID,
        "refers to something that is no tensor",
    ),
    "a place in the memo": (b"r\xff\xff\xff\xff", "holds no tensors"),
    "a string that is not there": (b"\x8d" + struct.pack("<Q", 2**40), "damaged or cut short"),
    "bytes that are not there": (b"\x8e" + struct.pack("<Q", 2**40), "damaged or cut short"),
}


@pytest.mark.parametrize(("made", "message"), HEAVY.values(), ids=HEAVY)
def test_pickles_that_ask_for_much(made: bytes, message: str, path: pathlib.Path) -> None:
    with pytest.raises(WeightsError, match=message):
        read_state_dict(archive(path, b"\x80\x02}" + made + STOP))


def test_the_instructions_of_a_file_are_counted(path: pathlib.Path, monkeypatch) -> None:
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", 1000)
    with pytest.raises(WeightsError, match="more instructions than weights need"):
        read_state_dict(archive(path, b"\x80\x02" + b"]" * 1000 + STOP))


def test_values_take_no_more_memory_than_a_file_affords() -> None:
    """A list takes 64 bytes and its place in a stack 8, for an instruction of one byte."""
    small = pickles.Machine(lambda *_: None, lambda _: None, file_size=2**20)
    assert 64 * small._left < 3 * 2**20 + 2**25
    large = pickles.Machine(lambda *_: None, lambda _: None, file_size=2**40)
    assert large._left == pickles.MAX_INSTRUCTIONS


def test_compressed_archives_are_refused(path: pathlib.Path) -> None:
    zeros = bytes(2**23)
    made = state_dict(tensor(storage(size=2**21), size=value((2**21,))))
    archive(path, made, zeros, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**14
    with pytest.raises(WeightsError, match=r"compressed, which torch\.save never does"):
        read_state_dict(path)


def test_parts_that_lie_over_one_another_are_read_no_further_than_the_file(
    path: pathlib.Path,
) -> None:
    """Many entries of the table of contents that mean the same bytes."""
    count = 2**12
    pairs = [
        value(f"w{index}") + tensor(storage(key=f"{index}", size=count), size=value((count,)))
        for index in range(4)
    ]
    pickled = b"\x80\x02}" + MARK + b"".join(pairs) + b"u" + STOP
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/data/0", bytes(4 * count))
        for index in range(1, 4):
            copied = zipfile.ZipInfo(f"archive/data/{index}")
            vars_of = file.getinfo("archive/data/0")
            for name in ("header_offset", "CRC", "compress_size", "file_size", "orig_filename"):
                setattr(copied, name, getattr(vars_of, name))
            file.filelist.append(copied)
    with pytest.raises(WeightsError):
        read_state_dict(path)


@pytest.mark.parametrize("name", ["data.pkl", "data/0"])
def test_a_part_that_takes_more_room_than_it_has_bytes(name: str, path: pathlib.Path) -> None:
    """The reader of zip archives would set aside that room, of gigabytes, before it reads."""
    archive(path, state_dict(tensor()))
    with zipfile.ZipFile(path, "a") as file:
        file.getinfo(f"archive/{name}").compress_size = 2**31
        file._didModify = True
    with pytest.raises(WeightsError, match=f"its part '{name}' has two sizes"):
        read_state_dict(path)


def test_a_table_of_contents_that_is_too_long(path: pathlib.Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for index in range(80_000):
            file.filelist.append(zipfile.ZipInfo(f"archive/data/{index}"))
            file.filelist[-1].header_offset = 0
            file.filelist[-1].CRC = file.filelist[-1].compress_size = 0
        file._didModify = True
    with pytest.raises(WeightsError, match="its table of contents is longer than that of any mode"):
        read_state_dict(path)


def test_a_header_of_safetensors_that_is_too_long(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", 2**23) + b"{" + b" " * 2**23)
    with pytest.raises(WeightsError, match="its header is longer than that of any model"):
        read_state_dict(path)


@pytest.mark.parametrize("shape", [[0, 2**63 - 1, 2**63 - 1], [1] * 80])
def test_a_shape_of_safetensors_that_no_array_has(shape: list[int], tmp_path) -> None:
    size = 0 if 0 in shape else 4
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}
    header = json.dumps({"weight": entry}).encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    with pytest.raises(WeightsError, match=r"weights\.safetensors: damaged"):
        read_state_dict(path)


def test_arrays_are_read_only(path: pathlib.Path) -> None:
    array = read_state_dict(archive(path, state_dict(tensor())))["weight"]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_a_tensor_that_repeats_its_numbers_takes_no_memory(path: pathlib.Path) -> None:
    made = tensor(size=value((2, 2**20)), stride=value((1, 0)))
    array = read_state_dict(archive(path, state_dict(made)))["weight"]
    assert array.shape == (2, 2**20)
    assert array.strides == (4, 0)
    np.testing.assert_array_equal(array[:, :: 2**19], [[1, 1], [2, 2]])


@pytest.mark.parametrize(
    "count",
    [
        100,
        pytest.param(600, marks=pytest.mark.slow),
        pytest.param(5000, marks=pytest.mark.release),
    ],
)
def test_damaged_files_are_refused_or_read_right(count: int) -> None:
    """In a process of its own, which no file may end; see read_mutants.py for what it checks."""
    done = subprocess.run(
        [sys.executable, HERE / "read_mutants.py", "0", str(count)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.splitlines()[-20:]
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(mutants.KINDS)
    for line in lines:
        read, refused = (int(word) for word in line.split() if word.isdigit())
        assert read + refused == count
        assert min(read, refused) > count / 30  # both ways are taken
