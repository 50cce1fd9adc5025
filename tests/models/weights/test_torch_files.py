"""Files of torch.save, read without torch; see fixtures/make_torch_files.py."""

import collections
import contextlib
import io
import os
import pathlib
import pickle
import struct
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import WeightsError
from jaxvision.models.weights import read_state_dict
from jaxvision.models.weights.torch_files import read_torch_file

FILES = pathlib.Path(__file__).parents[2] / "fixtures" / "torch_files"
NUMBERS = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize("name", ["archive.pth", "stream.pth", "checkpoint.pth"])
def test_tensors_of_every_kind(name: str) -> None:
    state = read_state_dict(FILES / name)
    expected = {
        "float.weight": NUMBERS,
        "transposed.weight": NUMBERS.T,
        "part.weight": NUMBERS[1:3, ::2],
        "half.weight": NUMBERS.astype(np.float16),
        "bfloat.weight": NUMBERS.astype(jnp.bfloat16),
        "double.weight": NUMBERS.astype(np.float64),
        "norm.num_batches_tracked": np.int64(7),
        "bytes": NUMBERS.astype(np.uint8),
        "flags": NUMBERS > 10,
        "empty": np.zeros((0, 3), np.float32),
    }
    assert state.keys() == expected.keys()
    for key, array in expected.items():
        assert state[key].dtype == array.dtype
        np.testing.assert_array_equal(state[key], array)


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def archive(content: bytes, path: pathlib.Path) -> pathlib.Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", content)
    return path


@pytest.mark.parametrize("kind", ["archive", "stream"])
def test_code_is_not_run(kind: str, tmp_path: pathlib.Path) -> None:
    mark = tmp_path / "it ran"
    attack = {"weight": Malicious(f"touch '{mark}'")}
    path = tmp_path / "weights.pth"
    if kind == "archive":
        archive(pickle.dumps(attack, protocol=2), path)
    else:
        parts = (0x1950A86A20F9469CFC6C, 1001, {}, attack, [])
        path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    with pytest.raises(WeightsError, match=r"refused: it asks for posix.system, and so might run"):
        read_state_dict(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(attack))  # the attack is a real one
    assert mark.exists()


@pytest.mark.parametrize(
    "attack",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n.",
        b"cnumpy\nload\n.",
        b"ctorch\nload\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.",
        b"(S'touch x'\nios\nsystem\n.",  # the INST opcode
        b"ccollections.OrderedDict\n__init__\n.",
    ],
)
def test_other_ways_to_code_are_closed(attack: bytes, tmp_path: pathlib.Path) -> None:
    with pytest.raises(WeightsError, match="refused: it asks for"):
        read_torch_file(archive(attack, tmp_path / "weights.pth"))


def test_a_whole_module_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict\(\)"):
        read_state_dict(FILES / "module.pth")


def test_a_program_is_refused() -> None:
    with pytest.raises(WeightsError, match="TorchScript program"):
        read_state_dict(FILES / "script.pt")


def tensor(offset: int, size: tuple, stride: tuple, *, numbers: int = 4) -> bytes:
    """A pickle of one tensor of a storage of float32."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return value if isinstance(value, tuple) and value[:1] == ("storage",) else None

        def save(self, value, save_persistent_id=True):
            if value == "GLOBAL":
                self.write(b"ctorch\nFloatStorage\n")
            elif isinstance(value, tuple) and value[:1] == ("rebuild",):
                self.write(b"ctorch._utils\n_rebuild_tensor_v2\n")
                super().save(value[1:])
                self.write(pickle.REDUCE)
            else:
                super().save(value, save_persistent_id)

    file = io.BytesIO()
    storage = ("storage", "GLOBAL", "0", "cpu", numbers)
    rebuild = ("rebuild", storage, offset, size, stride, False, collections.OrderedDict())
    Pickler(file, protocol=2).dump({"weight": rebuild})
    return file.getvalue()


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((0, (5,), (1,)), {}),
        ((2, (3,), (1,)), {}),
        ((0, (2, 2), (2, 2)), {}),
        ((-1, (2,), (1,)), {}),
        ((3, (2,), (-1,)), {}),
        ((0, (1 << 60,), (1,)), {"numbers": 1 << 60}),
        ((0, (8,), (1,)), {"numbers": 8}),
    ],
)
def test_tensors_outside_their_storage(arguments, options, tmp_path: pathlib.Path) -> None:
    path = archive(tensor(*arguments, **options), tmp_path / "weights.pth")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/data/0", struct.pack("<4f", 1, 2, 3, 4))
    with pytest.raises(WeightsError, match="damaged"):
        read_torch_file(path)


def test_the_helper_above_makes_readable_tensors(tmp_path: pathlib.Path) -> None:
    path = archive(tensor(1, (3,), (1,)), tmp_path / "weights.pth")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/data/0", struct.pack("<4f", 1, 2, 3, 4))
    assert read_torch_file(path)["weight"].tolist() == [2, 3, 4]


@pytest.mark.parametrize("name", ["archive.pth", "stream.pth"])
def test_every_truncated_file_is_an_error(name: str, tmp_path: pathlib.Path) -> None:
    content = (FILES / name).read_bytes()
    path = tmp_path / name
    for length in range(0, len(content) - 1, 13):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=name):
            read_state_dict(path)


@pytest.mark.parametrize("name", ["archive.pth", "stream.pth"])
def test_damage_anywhere_raises_no_other_error(name: str, tmp_path: pathlib.Path) -> None:
    content = (FILES / name).read_bytes()
    path = tmp_path / name
    random = np.random.default_rng(0)
    for position in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[position] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        with contextlib.suppress(WeightsError):
            read_state_dict(path)


def test_files_of_other_kinds(tmp_path: pathlib.Path) -> None:
    made = {"a.pth": b"hello", "b.pth": pickle.dumps(1), "c.safetensors": b"x"}
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=name):
            read_state_dict(tmp_path / name)
    with pytest.raises(WeightsError, match=r"come in \.safetensors, \.pth and \.pt files"):
        read_state_dict(tmp_path / "weights.h5")
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="holds no tensors by name, but list"):
        read_state_dict(archive(pickle.dumps([1], protocol=2), tmp_path / "list.pth"))
