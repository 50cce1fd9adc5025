"""Reads the files of `torch.save` without torch, and without running code in them.

Both formats are read: the zip archive of torch 1.6 and later, and the older stream of pickles,
which the older weights of torchvision have.
"""

import contextlib
import errno
import io
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from jaxvision.models.weights.errors import WeightsError
from jaxvision.models.weights.pickles import MAX_PICKLE_BYTES, Machine
from jaxvision.models.weights.tensors import NumberType, Storage, find_global

MAX_DIRECTORY_BYTES = 2**22
"""The longest table of contents of an archive that is read; a tensor takes about 100 bytes."""

ROOM_FOR_REPEATED = 2**24
"""A tensor that repeats numbers may be larger than its file by this many bytes."""

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_CUT_SHORT = "it is cut short, as an interrupted download leaves it: fetch it again"
OTHER_FILES = {
    b"PK": _CUT_SHORT,  # an archive without the table of contents at its end
    b"version https://git-lfs": "a pointer of Git LFS in place of the file: run `git lfs pull`",
    b"<": "a page of the web, not weights: fetch the file itself",
}


@contextlib.contextmanager
def open_torch_file(path: pathlib.Path) -> Iterator[Any]:
    """Opens a file of `torch.save` and yields the object, with a `StoredTensor` for every tensor.

    The numbers of the tensors can be read while the file is open. Raises a `WeightsError` if the
    file is damaged, of another kind, or would run code.
    """
    with path.open("rb", buffering=0) as raw, _Limited(raw) as file:
        try:
            if zipfile.is_zipfile(file):
                yield _read_archive(file)
            else:
                yield _read_stream(file)
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from None
        except MemoryError:
            raise
        except Exception as error:  # a damaged file may fail in any way
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # an error of the disk; an invalid offset is the file's own
            raise WeightsError(f"{path}: damaged or cut short ({error!r})") from error


class _Limited(io.BufferedReader):
    """A file that refuses to read more than `limit` bytes at once."""

    limit: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads at most `limit` bytes."""
        if self.limit is not None and size is not None and size > self.limit:
            raise WeightsError("its table of contents is longer than that of any model")
        return super().read(size)


class _Storages:
    """The storages that the pickles of one file refer to, by key."""

    def __init__(self, file_size: int, read: Callable[[str, int], bytes]) -> None:
        self._file_size = file_size
        self._read = read
        self._views: dict[str, Storage] = {}
        self.whole: dict[str, Storage] = {}

    def find(self, identifier: Any) -> Storage:
        """The storage of an identifier ("storage", type, key, device, size, optional part)."""
        if type(identifier) is not tuple or len(identifier) not in (5, 6):
            raise WeightsError("it refers to something that is no tensor")
        word, kind, key, _, size, *view = identifier
        if word != "storage" or type(kind) is not NumberType or type(key) is not str:
            raise WeightsError("it refers to something that is no tensor")

        def new_whole(num_bytes: int) -> Storage:
            if num_bytes > self._file_size:
                raise WeightsError("damaged: a tensor is larger than the whole file")
            limit = self._file_size + ROOM_FOR_REPEATED
            return Storage(kind, num_bytes, limit, lambda: self._read(key, num_bytes))

        whole = _once(self.whole, key, kind, size, new_whole)
        if not view or view[0] is None:
            return whole
        if type(view[0]) is not tuple or len(view[0]) != 3:
            raise WeightsError("damaged: it does not say which part of a storage it means")
        view_key, offset, view_size = view[0]
        return _once(
            self._views, view_key, kind, view_size,
            lambda num_bytes: whole.part(offset, num_bytes),
        )  # fmt: skip


def _once(
    known: dict[str, Storage],
    key: Any,
    kind: NumberType,
    size: Any,
    new: Callable[[int], Storage],
) -> Storage:
    """The storage of a key, made at the first request."""
    if type(key) is not str or type(size) is not int or size < 0:
        raise WeightsError("damaged: the name or size of a storage is invalid")
    num_bytes = size * kind.itemsize
    if key not in known:
        known[key] = new(num_bytes)
    if (known[key].kind, known[key].num_bytes) != (kind, num_bytes):
        raise WeightsError("damaged: it gives a storage two types or sizes")
    return known[key]


def _read_archive(file: _Limited) -> Any:
    file_size = os.fstat(file.fileno()).st_size
    file.limit = MAX_DIRECTORY_BYTES
    archive = zipfile.ZipFile(file)
    file.limit = None
    parts = {part.filename: part for part in archive.infolist()}
    pickles = [name for name in parts if name.endswith("data.pkl")]
    if len(pickles) != 1:
        raise WeightsError("a zip archive, but none that torch.save wrote")
    folder = pickles[0].removesuffix("data.pkl")
    left = file_size  # parts may overlap, so their sum is limited too

    def read(name: str, limit: int) -> bytes:
        nonlocal left
        part = parts.get(folder + name)
        if part is None:
            raise WeightsError(f"damaged: it has no part {name[:80]!r}")
        if part.compress_type != zipfile.ZIP_STORED:
            raise WeightsError("its parts are compressed, which torch.save never does")
        if part.compress_size != part.file_size:  # uncompressed parts have one size
            raise WeightsError(f"damaged: its part {name[:80]!r} has two sizes")
        if part.file_size > min(limit, left):
            raise WeightsError(f"damaged: its part {name[:80]!r} is too large")
        left -= part.file_size
        return archive.read(part)

    if f"{folder}constants.pkl" in parts:
        raise WeightsError("a TorchScript program, which holds code; save its state_dict() instead")
    if f"{folder}byteorder" in parts and read("byteorder", 16) != b"little":
        raise WeightsError("written in big-endian byte order, which is not read")
    storages = _Storages(file_size, lambda key, num_bytes: read(f"data/{key}", file_size))
    machine = Machine(find_global, storages.find, file_size=file_size)
    return machine.load(io.BytesIO(read("data.pkl", MAX_PICKLE_BYTES)))


def _read_stream(file: _Limited) -> Any:
    file_size = os.fstat(file.fileno()).st_size
    file.seek(0)
    pickles = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    places: dict[str, int] = {}

    def read(key: str, num_bytes: int) -> bytes:
        if key not in places:
            raise WeightsError("damaged: it does not hold the numbers of one of its tensors")
        file.seek(places[key])
        return file.read(num_bytes)

    storages = _Storages(file_size, read)
    machine = Machine(find_global, storages.find, file_size=file_size)
    _check_magic(pickles, machine)
    machine.load(pickles)  # the version of the protocol
    machine.load(pickles)  # sizes of integers on the machine that wrote it
    content = machine.load(pickles)
    keys = machine.load(pickles)
    place = pickles.tell()
    for key in keys if type(keys) is list else ():
        storage = storages.whole.get(key) if type(key) is str else None
        file.seek(place)
        size = file.read(8)
        if storage is not None and (len(size) < 8 or place + 8 + storage.num_bytes > file_size):
            raise WeightsError(_CUT_SHORT)
        if (
            storage is None
            or int.from_bytes(size, "little") * storage.kind.itemsize != storage.num_bytes
        ):
            raise WeightsError("damaged: its tensors are not those that it lists")
        places[key] = place + 8
        place += 8 + storage.num_bytes
    return content


def _check_magic(pickles: io.BytesIO, machine: Machine) -> None:
    """Checks the number that a stream begins with."""
    start = pickles.getvalue()[:32]
    for beginning, what in OTHER_FILES.items():
        if start.startswith(beginning):
            raise WeightsError(what)
    try:
        magic = machine.load(pickles)
    except (ValueError, WeightsError) as error:
        raise WeightsError(f"no file that torch.save wrote ({error})") from error
    if type(magic) is not int or magic != _MAGIC_NUMBER:
        raise WeightsError("a pickle, but none that torch.save wrote")
