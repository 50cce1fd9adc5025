"""Tensors by name, from and to files."""

import pathlib
from collections.abc import Mapping

import numpy as np

from jaxvision._files import writing
from jaxvision.models.weights.torch_files import WeightsError, read_torch_file

StateDict = dict[str, np.ndarray]

# Where checkpoints of training scripts keep the model, first the usual name.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "state_dict_ema", "net")


def read_state_dict(path: str | pathlib.Path) -> StateDict:
    """Reads the tensors of a file.

    Args:
        path: A `.safetensors`, `.pth` or `.pt` file: a state dict, alone or in what a training
            script saved around it. A prefix `module.`, which data parallelism leaves, is cut off.

    Returns:
        Arrays by their names in the file.

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
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            tensors: Mapping[str, np.ndarray] = load_file(path)
        except SafetensorError as error:
            raise WeightsError(f"cannot read {path}: {error}") from error
    elif path.suffix in (".pth", ".pt", ".bin", ".tar"):
        tensors = _find_state_dict(read_torch_file(path), path)
    else:
        raise WeightsError(
            f"weights come in .safetensors, .pth and .pt files, and {path.name} is none of them"
        )
    if tensors and all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return dict(tensors)


def write_state_dict(path: str | pathlib.Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes tensors to a `.safetensors` file, whole or not at all.

    Args:
        path: Where to.
        tensors: Arrays by name.

    Raises:
        ValueError: The name ends otherwise.
    """
    from safetensors.numpy import save

    path = pathlib.Path(path).expanduser()
    if path.suffix != ".safetensors":
        raise ValueError(f"weights are written as .safetensors, got the name {path.name}")
    with writing(path) as file:
        # `np.ascontiguousarray` would make a vector of a scalar.
        file.write(save({name: np.asarray(array, order="C") for name, array in tensors.items()}))


def _find_state_dict(content: object, path: pathlib.Path) -> Mapping[str, np.ndarray]:
    candidates = [content]
    if isinstance(content, Mapping):
        candidates += [content[name] for name in _WRAPPERS if name in content]
    for candidate in candidates:
        tensors = candidate if isinstance(candidate, Mapping) else {}
        if tensors and all(isinstance(tensor, np.ndarray) for tensor in tensors.values()):
            return tensors
    found = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
    raise WeightsError(f"{path} holds no tensors by name, but {found or 'nothing'}")
