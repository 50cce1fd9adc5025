"""Files of weights put together from single instructions."""

import pathlib
import pickle
import struct
import zipfile

MARK, STOP, REDUCE, PERSID, BUILD, SETITEM = b"(", b".", b"R", b"Q", b"b", b"s"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def value(number: object) -> bytes:
    """The instructions that put down a number, a string, None, a tuple or a list."""
    return pickle.dumps(number, protocol=2)[2:-1]


def storage(kind: str = "FloatStorage", key: str = "0", size: int = 4, *more: bytes) -> bytes:
    parts = (value("storage"), f"ctorch\n{kind}\n".encode(), value(key), value("cpu"), value(size))
    return MARK + b"".join((*parts, *more)) + b"t" + PERSID


def tensor(
    source: bytes = b"",
    offset: bytes = value(0),
    size: bytes = value((4,)),
    stride: bytes = value((1,)),
    metadata: bytes = b"",
) -> bytes:
    """The instructions that make a tensor; of the whole of a storage, if nothing else is said."""
    arguments = (source or storage(), offset, size, stride, value(False), b"}", metadata)
    return REBUILD + MARK + b"".join(arguments) + b"t" + REDUCE


def view(key: str, offset: int, size: int, whole: int) -> bytes:
    """A storage that is a part of another, as before torch 0.4."""
    return storage("FloatStorage", "0", whole, value((key, offset, size)))


def state_dict(made: bytes) -> bytes:
    return b"\x80\x02}" + value("weight") + made + SETITEM + STOP


def archive(
    path: pathlib.Path, pickled: bytes, numbers: bytes = struct.pack("<4f", 1, 2, 3, 4), **options
) -> pathlib.Path:
    """A file as torch writes it today, with one storage."""
    with zipfile.ZipFile(path, "w", **options) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/data/0", numbers)
    return path


def stream(pickled: bytes, numbers: bytes = struct.pack("<q4f", 4, 1, 2, 3, 4)) -> bytes:
    """A file as torch wrote it before version 1.6, with one storage."""
    parts = [pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {})]
    return b"".join([*parts, pickled, pickle.dumps(["0"], protocol=2), numbers])
