"""Reads the files of `torch.save` without torch, and without running what they hold.

Both kinds are read: the zip archive of torch 1.6 and later, and the stream of pickles before it, in
which the older weights of torchvision are stored.
"""

import collections
import io
import math
import pathlib
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C

_DTYPES = {
    "Double": np.float64,
    "Float": np.float32,
    "Half": np.float16,
    "BFloat16": jnp.bfloat16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
}


class WeightsError(Exception):
    """A file of weights cannot be read, or does not fit the model; the message says why."""


class Inert:
    """Stands for an object that is no tensor, and is not wanted."""

    def __init__(self, *arguments: object) -> None:
        """Takes what it is given and keeps nothing."""

    def __setstate__(self, state: object) -> None:
        """Keeps nothing."""


def read_torch_file(path: pathlib.Path) -> Any:
    """Reads what `torch.save` wrote.

    Args:
        path: A `.pth` or `.pt` file.

    Returns:
        The object, with NumPy arrays for tensors.

    Raises:
        WeightsError: The file is damaged, of another kind, or would run code.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        try:
            if zipfile.is_zipfile(file):
                return _read_archive(file, path)
            file.seek(0)
            return _read_stream(file, path)
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from None
        except MemoryError:
            raise
        except Exception as error:  # a damaged pickle or archive fails in any way
            raise WeightsError(f"cannot read {path}: {type(error).__name__}: {error}") from error


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows tensors, and nothing that could do harm."""

    def __init__(self, file: io.BufferedIOBase, storages: "_Storages") -> None:
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            return name.removesuffix("Storage")
        known: Mapping[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch", "Size"): tuple,
            ("torch", "device"): Inert,
            ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
            ("argparse", "Namespace"): Inert,  # a training script's arguments
        }
        if (module, name) not in known:
            raise WeightsError(
                f"refused: it asks for {module}.{name}, and so might run code of "
                "somebody else. Where it was made, keep the tensors alone: "
                "torch.save(model.state_dict(), path)"
            )
        return known[module, name]

    def persistent_load(self, pid: Any) -> np.ndarray:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise WeightsError(f"it refers to something that is no tensor: {pid!r}")
        return self._storages.get(*pid[1:5])


class _Storages:
    """The numbers that tensors are views of, by key."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.arrays: dict[str, np.ndarray] = {}

    def get(self, kind: str, key: str, location: str, size: int) -> np.ndarray:
        del location  # the device that the tensor was on
        if key not in self.arrays:
            if kind not in _DTYPES:
                raise WeightsError(f"it holds tensors of an unknown type: {kind}Storage")
            dtype = np.dtype(_DTYPES[kind])
            if not 0 <= size * dtype.itemsize <= self._limit:
                raise WeightsError("damaged: a tensor is larger than the whole file")
            self.arrays[key] = self.read(key, dtype, size)
        return self.arrays[key]

    def read(self, key: str, dtype: np.dtype, size: int) -> np.ndarray:
        """Makes a place for numbers that come later in the file."""
        del key
        return np.zeros(size, dtype)


class _ArchiveStorages(_Storages):
    """Numbers that are files of a zip archive."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(sum(file.file_size for file in archive.infolist()))
        self._archive = archive
        self._folder = folder

    def read(self, key: str, dtype: np.dtype, size: int) -> np.ndarray:
        content = self._archive.read(f"{self._folder}data/{key}")
        if len(content) < size * dtype.itemsize:
            raise WeightsError("damaged: a tensor is longer than what is stored of it")
        return np.frombuffer(content, dtype, size)


def _read_archive(file: io.BufferedIOBase, path: pathlib.Path) -> Any:
    with zipfile.ZipFile(file) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise WeightsError("a zip archive, but none that torch.save wrote")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in archive.namelist():
            raise WeightsError(
                "a TorchScript program, which holds code; save its state_dict() instead"
            )
        names = archive.namelist()
        order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in names else b"little"
        if order != b"little":
            raise WeightsError(f"written in {order.decode()} endian byte order, which is not read")
        content = io.BytesIO(archive.read(pickles[0]))
        return _Unpickler(content, _ArchiveStorages(archive, folder)).load()


def _read_stream(file: io.BufferedIOBase, path: pathlib.Path) -> Any:
    storages = _Storages(path.stat().st_size)
    try:
        magic = _Unpickler(file, storages).load()
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, IndexError) as error:
        raise WeightsError(f"no file that torch.save wrote ({error})") from error
    if magic != _MAGIC_NUMBER:
        raise WeightsError("a pickle, but none that torch.save wrote")
    _Unpickler(file, storages).load()  # the version of the protocol
    _Unpickler(file, storages).load()  # sizes of integers on the machine that wrote it
    content = _Unpickler(file, storages).load()
    for key in _Unpickler(file, storages).load():
        stored = int.from_bytes(file.read(8), "little")
        array = storages.arrays.get(key)
        if array is None or stored != array.size:
            raise WeightsError("damaged: its tensors are not those it names")
        numbers = file.read(array.nbytes)
        if len(numbers) != array.nbytes:
            raise WeightsError("damaged: it ends within a tensor")
        array[:] = np.frombuffer(numbers, array.dtype)
    return content


def _rebuild_tensor(
    storage: np.ndarray, offset: int, size: Sequence[int], stride: Sequence[int], *rest: object
) -> np.ndarray:
    """The view of a storage that a tensor is; what follows in `rest` is of no use here."""
    del rest
    if math.prod(size) == 0:
        return np.zeros(size, storage.dtype)
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if offset < 0 or min(stride, default=0) < 0 or last >= storage.size:
        raise WeightsError("damaged: a tensor lies outside its storage")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides)


def _rebuild_parameter(tensor: np.ndarray, *rest: object) -> np.ndarray:
    del rest
    return tensor
