"""Tensors as torch's pickles describe them: a storage, an offset, a shape and strides."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxvision.models.weights.errors import WeightsError
from jaxvision.models.weights.pickles import Maker, Omitted

_DTYPES: Mapping[str, Any] = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": jnp.bfloat16,
    "float8_e4m3fn": jnp.float8_e4m3fn,
    "float8_e4m3fnuz": jnp.float8_e4m3fnuz,
    "float8_e5m2": jnp.float8_e5m2,
    "float8_e5m2fnuz": jnp.float8_e5m2fnuz,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint64": np.uint64,
    "uint32": np.uint32,
    "uint16": np.uint16,
    "uint8": np.uint8,
    "bool": np.bool_,
}
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


@dataclasses.dataclass(frozen=True, slots=True)
class NumberType:
    """The type of a storage or tensor, as a pickle names it.

    Attributes:
        name: Torch's name.
        dtype: NumPy's type; None for raw bytes, whose type their tensor has, and for types that
            NumPy lacks.
    """

    name: str
    dtype: np.dtype | None

    @property
    def itemsize(self) -> int:
        """Bytes per number."""
        return 1 if self.dtype is None else self.dtype.itemsize


class Storage:
    """A run of bytes of a file that tensors are views of. A pickle can only pass it on.

    Attributes:
        kind: The type of its numbers.
        num_bytes: Its length.
        max_tensor_bytes: The most bytes that a tensor may have; it may repeat numbers.
        read: Reads the bytes.
    """

    __slots__ = ("_content", "_negated", "kind", "max_tensor_bytes", "num_bytes", "read")

    def __init__(
        self,
        kind: NumberType,
        num_bytes: int,
        max_tensor_bytes: int,
        read: Callable[[], bytes | memoryview],
    ) -> None:
        self.kind = kind
        self.num_bytes = num_bytes
        self.max_tensor_bytes = max_tensor_bytes
        self.read = read
        self._content: memoryview | None = None
        self._negated: np.ndarray | None = None

    def content(self) -> memoryview:
        """Reads the `num_bytes` bytes, once; raises a `WeightsError` if the file is too short."""
        if self._content is None:
            content = memoryview(self.read())
            if len(content) < self.num_bytes:
                raise WeightsError("damaged: a tensor is longer than what is stored of it")
            self._content = content[: self.num_bytes]
        return self._content

    def part(self, offset: Any, num_bytes: int) -> "Storage":
        """A part of this storage from `offset`, in numbers; raises a `WeightsError` outside."""
        start = offset * self.kind.itemsize if type(offset) is int else -1
        if not 0 <= start <= start + num_bytes <= self.num_bytes:
            raise WeightsError("damaged: a part of a storage lies outside of it")
        return Storage(
            self.kind,
            num_bytes,
            self.max_tensor_bytes,
            lambda: self.content()[start : start + num_bytes],
        )

    def numbers(self, dtype: np.dtype, *, negative: bool) -> np.ndarray:
        """The bytes as a read-only vector of numbers, with changed signs if `negative`."""
        numbers = np.frombuffer(self.content(), dtype, self.num_bytes // dtype.itemsize)
        if not negative:
            return numbers
        if self._negated is None:  # once, for all tensors that are views of it
            self._negated = np.negative(numbers)
        return self._negated


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class StoredTensor:
    """A tensor whose numbers are still in the file.

    Attributes:
        storage: The storage of its numbers.
        dtype: The type of the numbers.
        offset: Index of the first number in the storage.
        shape: The tensor's shape.
        strides: Steps through the storage along each axis, in numbers.
        negative: Whether to change the sign of the numbers.
    """

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    negative: bool

    def numbers(self) -> np.ndarray:
        """Reads the numbers as a read-only array, which may share memory with other tensors."""
        if math.prod(self.shape) == 0:
            return np.zeros(self.shape, self.dtype)
        numbers = self.storage.numbers(self.dtype, negative=self.negative)[self.offset :]
        strides = [step * self.dtype.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(numbers, self.shape, strides, writeable=False)


def find_global(module: str, name: str) -> Any:
    """The `Maker`, `NumberType` or `Omitted` for what a pickle names; refuses other names."""
    module = "builtins" if module == "__builtin__" else module  # as Python 2 called it
    if module in ("torch", "torch.storage"):
        if name in _STORAGES:
            return _number_type(_STORAGES[name])
        if name in ("UntypedStorage", "_UntypedStorage"):
            return NumberType("bytes", None)
        if name in _DTYPES:
            return _number_type(name)
        if _OTHER_TYPES.fullmatch(name):
            return NumberType(name, None)
    if _TENSOR_CLASSES.fullmatch(f"{module}.{name}"):
        return Omitted("a class of tensors")
    if (module, name) not in _KNOWN:
        raise WeightsError(
            f"refused: it asks for {module[:80]}.{name[:80]}, and so might run somebody else's "
            "code. Where it was made, save the tensors alone: torch.save(model.state_dict(), path)"
        )
    return _KNOWN[module, name]


_OTHER_TYPES = re.compile(r"\w+Storage|(float|complex|u?int|qu?int|bits)\d\w*")
_TENSOR_CLASSES = re.compile(r"torch(\.cuda)?(\.sparse)?\.\w*Tensor")


def _number_type(name: str) -> NumberType:
    return NumberType(name, np.dtype(_DTYPES[name]))


def _tensor(
    storage: Any, offset: Any, size: Any, stride: Any, *rest: Any, dtype: Any = None
) -> StoredTensor | Omitted:
    """`_rebuild_tensor` and `_rebuild_tensor_v2`; a third item of `rest` is metadata."""
    if type(storage) is not Storage:
        raise WeightsError("damaged: a tensor is made of something that is no storage")
    kind = storage.kind if dtype is None else dtype
    if type(kind) is not NumberType:
        raise WeightsError("damaged: the type of a tensor is no type")
    if kind.dtype is None:
        return Omitted(f"a tensor of {kind.name}")
    for numbers in (size, stride):
        if type(numbers) not in (tuple, list) or len(numbers) > 32:
            raise WeightsError("damaged: the shape or strides of a tensor are no short tuple")
    for number in (offset, *size, *stride):
        if type(number) is not int or not 0 <= number < 2**63:
            raise WeightsError("damaged: a size, stride or offset of a tensor is no whole number")
    flags = _flags(rest[2] if len(rest) > 2 else None)
    if flags - {"neg"} or (flags and not (kind is storage.kind and kind.dtype.kind in "fiV")):
        return Omitted(f"a tensor with {', '.join(sorted(flags))}")
    strides = tuple(step if count > 1 else 0 for count, step in zip(size, stride, strict=True))
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, strides, strict=True))
    if count and (last + 1) * kind.dtype.itemsize > storage.num_bytes:
        raise WeightsError("damaged: a tensor lies outside its storage")
    if count * kind.dtype.itemsize > storage.max_tensor_bytes:
        raise WeightsError("a tensor repeats its numbers until it is much larger than the file")
    return StoredTensor(storage, kind.dtype, offset, tuple(size), strides, "neg" in flags)


def _tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *rest: Any
) -> StoredTensor | Omitted:
    return _tensor(storage, offset, size, stride, grad, hooks, *rest, dtype=dtype)


def _flags(metadata: Any) -> set[str]:
    """Reads the metadata of a lazy view: {"neg": True} if the sign is changed."""
    if metadata is None:
        return set()
    if type(metadata) is not dict or not all(
        type(name) is str and type(value) is bool for name, value in metadata.items()
    ):
        raise WeightsError("damaged: the metadata of a tensor are no flags")
    return {name[:20] for name, value in metadata.items() if value}


def _parameter(tensor: Any, *_: Any) -> Any:
    if type(tensor) not in (StoredTensor, Omitted):
        raise WeightsError("damaged: a parameter is made of something that is no tensor")
    return tensor


def _of_device(tensor: Any, kind: Any, *_: Any) -> Any:
    """`_rebuild_device_tensor_from_cpu_tensor`, with which tensors of a TPU are written."""
    same = type(tensor) is StoredTensor and type(kind) is NumberType and kind.dtype == tensor.dtype
    return tensor if same else Omitted("a tensor of another device")


def _of_subclass(make: Any, _kind: Any, arguments: Any, _state: Any) -> Any:
    """`_rebuild_from_type_v2`: a tensor with attributes or a class of its own."""
    if type(make) is not Maker or type(arguments) is not tuple:
        raise WeightsError("damaged: a tensor is made by something that is no function")
    return make.make(*arguments)


def _dict(*arguments: Any) -> dict[Any, Any]:
    """`OrderedDict`, whose items follow; Python 2 gave them as a list of pairs."""
    made: dict[Any, Any] = {}
    for pairs in arguments:
        for pair in pairs if type(pairs) is list else [pairs]:
            if type(pair) not in (list, tuple) or len(pair) != 2 or type(pair[0]) is not str:
                raise WeightsError("damaged: the items of a dict are no pairs")
            made[pair[0]] = pair[1]
    return made


def _sizes(sizes: Any = ()) -> tuple[Any, ...]:
    if type(sizes) not in (tuple, list):
        raise WeightsError("damaged: a shape is no tuple")
    return tuple(sizes)


def _bytes(text: Any, encoding: Any = "latin1") -> bytes:
    """`_codecs.encode`, with which protocol 2 writes bytes."""
    if type(text) is not str or encoding != "latin1":
        raise WeightsError("damaged: it holds bytes that are written in an unknown way")
    return text.encode("latin1")


def _omitted(kind: str) -> Maker:
    return Maker(lambda *_: Omitted(kind))


_OMITTED = (
    ("argparse", "Namespace"),  # a training script's arguments
    ("builtins", "bytearray"),
    ("builtins", "complex"),
    ("builtins", "set"),
    ("collections", "Counter"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "scalar"),
    ("torch", "device"),
    ("torch._utils", "_rebuild_device_tensor_from_numpy"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"),
    ("torch._utils", "_rebuild_nested_tensor"),
    ("torch._utils", "_rebuild_qtensor"),
    ("torch._utils", "_rebuild_sparse_tensor"),
    ("torch._utils", "_rebuild_wrapper_subclass"),
    *(
        ("torch", f"per_{what}")
        for what in (
            "channel_affine",
            "channel_affine_float_qparams",
            "channel_symmetric",
            "tensor_affine",
            "tensor_symmetric",
        )
    ),
    ("torch.nn.parameter", "Parameter"),
    ("torch.serialization", "_get_layout"),
)
_KNOWN: Mapping[tuple[str, str], Any] = {
    ("_codecs", "encode"): Maker(_bytes),
    ("collections", "OrderedDict"): Maker(_dict),
    ("torch", "Size"): Maker(_sizes),
    ("torch._tensor", "_rebuild_from_type_v2"): Maker(_of_subclass),
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): Maker(_of_device),
    ("torch._utils", "_rebuild_parameter"): Maker(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Maker(_parameter),
    ("torch._utils", "_rebuild_tensor"): Maker(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Maker(_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): Maker(_tensor_v3),
    **{(module, name): _omitted(f"{module}.{name}") for module, name in _OMITTED},
}
