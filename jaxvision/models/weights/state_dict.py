"""Reads and writes files of tensors by name."""

import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxvision.files import writing
from jaxvision.models.weights.errors import WeightsError
from jaxvision.models.weights.pickles import Omitted
from jaxvision.models.weights.tensors import StoredTensor
from jaxvision.models.weights.torch_files import OTHER_FILES, open_torch_file

StateDict = dict[str, np.ndarray]

MAX_HEADER_BYTES = 2**22
"""The longest header of a safetensors file that is read; a tensor takes about 100 bytes."""

# Keys of the model's tensors in the checkpoints of training scripts, the most usual first.
_RAW = ("state_dict", "model", "model_state_dict", "net")
_AVERAGED = ("state_dict_ema", "model_ema")

_SAFETENSORS_DTYPES: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "F8_E4M3": jnp.float8_e4m3fn,
    "F8_E4M3FNUZ": jnp.float8_e4m3fnuz,
    "F8_E5M2": jnp.float8_e5m2,
    "F8_E5M2FNUZ": jnp.float8_e5m2fnuz,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read_state_dict(path: str | pathlib.Path, *, prefer_ema: bool = True) -> StateDict:
    """Reads the tensors of a file, without running code that it may hold.

    Args:
        path: A `.safetensors`, `.pth`, `.pt`, `.ckpt` or `.bin` file that holds a state dict, by
            itself or inside the checkpoint of a training script.
        prefer_ema: Whether to read the averaged weights where a file holds averaged and raw ones,
            as timm does; a warning says so.

    Returns:
        Read-only arrays by their names in the file.

    Raises:
        WeightsError: The file is damaged, would run code, or holds no tensors by name.
        OSError: The file cannot be read.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/weights.safetensors"
    >>> write_state_dict(path, {"fc.bias": np.zeros(3, np.float32)})
    >>> read_state_dict(path)["fc.bias"].shape
    (3,)
    >>> folder.cleanup()
    """
    path = pathlib.Path(path).expanduser()
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix not in (".pth", ".pt", ".ckpt", ".bin", ".tar"):
        raise WeightsError(
            f"weights come in .safetensors, .pth, .pt and .ckpt files, and {path.name} is none of "
            "them"
        )
    with open_torch_file(path) as content:
        tensors = _find_state_dict(content, path, prefer_ema=prefer_ema)
        for name, tensor in tensors.items():
            if type(tensor) is Omitted:
                raise WeightsError(f"its {name[:80]!r} is {tensor.kind}, which is not read here")
        return {name: tensor.numbers() for name, tensor in tensors.items()}


def as_state_dict(
    source: str | pathlib.Path | Mapping[str, Any], *, prefer_ema: bool = True
) -> tuple[StateDict, str]:
    """Arrays by name from a file or a mapping of tensors, and the source's name for messages."""
    if not isinstance(source, Mapping):
        return read_state_dict(source, prefer_ema=prefer_ema), str(source)
    for name, value in source.items():
        if not isinstance(name, str) or not hasattr(value, "shape"):
            raise WeightsError(
                "weights in memory are arrays or tensors by name, such as model.state_dict() in "
                f"torch; this mapping has {name!r}, a {type(value).__name__}"
            )
    return {name: _as_array(value) for name, value in source.items()}, "the state dict"


def write_state_dict(path: str | pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes tensors to a `.safetensors` file, completely or not at all."""
    from safetensors.numpy import save

    path = pathlib.Path(path).expanduser()
    if path.suffix != ".safetensors":
        raise ValueError(f"weights are written as .safetensors, got the name {path.name}")
    with writing(path) as file:
        # `np.ascontiguousarray` would make a vector of a scalar.
        file.write(save({name: np.asarray(array, order="C") for name, array in tensors.items()}))


def _read_safetensors(path: pathlib.Path) -> StateDict:
    import safetensors

    with path.open("rb") as file:
        start = file.read(32)
        for beginning, what in OTHER_FILES.items():
            if start.startswith(beginning):
                raise WeightsError(f"{path}: {what}")
        # The library would accept a header of 100 MB, whose entries take many times its size.
        if int.from_bytes(start[:8], "little") > MAX_HEADER_BYTES:
            raise WeightsError(f"{path}: damaged: its header is longer than that of any model")
        content = start + file.read()
    try:
        tensors = safetensors.deserialize(content)
    except (safetensors.SafetensorError, ValueError, OverflowError) as error:
        raise WeightsError(f"{path}: damaged or cut short ({error})") from error
    del content
    return {name: _from_safetensors(path, name, tensor) for name, tensor in tensors}


def _from_safetensors(path: pathlib.Path, name: str, tensor: Mapping[str, Any]) -> np.ndarray:
    if tensor["dtype"] not in _SAFETENSORS_DTYPES:
        raise WeightsError(
            f"{path}: {name[:80]!r} has the type {tensor['dtype']}, which is not read here; those "
            f"that are: {', '.join(_SAFETENSORS_DTYPES)}"
        )
    dtype = np.dtype(_SAFETENSORS_DTYPES[tensor["dtype"]])
    array = np.frombuffer(memoryview(tensor["data"]).toreadonly(), dtype)
    try:
        return array.reshape(tensor["shape"])
    except ValueError as error:  # more axes than NumPy has, or lengths 2**63 and 0
        raise WeightsError(
            f"{path}: damaged: {name[:80]!r} has an impossible shape ({error})"
        ) from error


def _find_state_dict(content: Any, path: pathlib.Path, *, prefer_ema: bool) -> dict[str, Any]:
    """Finds the tensors of a model in the checkpoint of a training script."""
    if _is_state_dict(content):
        return content
    if type(content) is not dict:
        raise WeightsError(f"it holds no tensors by name, but a {type(content).__name__}")
    averaged, raw = (
        [name for name in names if _is_state_dict(content.get(name))] for names in (_AVERAGED, _RAW)
    )
    preferred, other = (averaged, raw) if prefer_ema else (raw, averaged)
    if not preferred + other:
        found = ", ".join(str(name)[:40] for name in list(content)[:20])
        raise WeightsError(f"it holds no tensors by name, but {found or 'nothing'}")
    chosen = (preferred + other)[0]
    if prefer_ema and averaged and raw:
        warnings.warn(
            f"{path} holds averaged and raw weights: the averaged ones, {chosen!r}, were read; "
            f"prefer_ema=False reads {raw[0]!r}",
            stacklevel=4,
        )
    tensors = content[chosen]
    if "n_averaged" in tensors:  # torch's AveragedModel counts its updates
        return {name: tensor for name, tensor in tensors.items() if name != "n_averaged"}
    return tensors


def _is_state_dict(content: Any) -> bool:
    return (
        type(content) is dict
        and bool(content)
        and all(type(name) is str for name in content)
        and any(type(tensor) is StoredTensor for tensor in content.values())
        and all(type(tensor) in (StoredTensor, Omitted) for tensor in content.values())
    )


def _as_array(value: Any) -> np.ndarray:
    """Converts an array or a torch tensor; NumPy does not accept every torch tensor by itself."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().resolve_conj().resolve_neg()
        if value.is_floating_point() and value.dtype.itemsize < 4:  # NumPy lacks bfloat16
            value = value.float()
        value = value.numpy()
    return np.asarray(value)
