"""Files of torch.save, read without torch; see fixtures/make_torch_files.py."""

import json
import os
import pathlib
import pickle
import struct
import zipfile

import crafted
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.models import WeightsError, read_state_dict

FILES = pathlib.Path(__file__).parents[2] / "fixtures" / "torch_files"
NUMBERS = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize("name", ["archive.pth", "stream.pth", "checkpoint.pth"])
def test_tensors_of_every_kind(name: str) -> None:
    state = read_state_dict(FILES / name)
    prefix = "module." if name == "checkpoint.pth" else ""
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
    assert state.keys() == {prefix + key for key in expected}
    for key, array in expected.items():
        assert state[prefix + key].dtype == array.dtype
        np.testing.assert_array_equal(state[prefix + key], array)


def test_tensors_that_torch_keeps_in_ways_of_their_own() -> None:
    """A view with the sign changed, repeated numbers, attributes, types without a storage."""
    with pytest.warns(UserWarning, match=r"the averaged ones, 'state_dict_ema', were read"):
        state = read_state_dict(FILES / "unusual.pth")
    expected = {
        "attributed": NUMBERS,
        "negative": -(NUMBERS + 1),
        "expanded": np.tile(NUMBERS[:1], (3, 1)),
        "float8": (NUMBERS / 8).astype(jnp.float8_e4m3fn),
        "unsigned": NUMBERS.astype(np.uint16),
    }
    assert state.keys() == expected.keys()
    for key, array in expected.items():
        assert state[key].dtype == array.dtype
        np.testing.assert_array_equal(state[key].astype("f"), array.astype("f"))


def test_raw_weights_are_read_where_they_are_asked_for() -> None:
    state = read_state_dict(FILES / "unusual.pth", prefer_ema=False)
    np.testing.assert_array_equal(state["attributed"], NUMBERS + 1)


def averaged(*names: str) -> bytes:
    """A checkpoint of tensors under some names, all with the same numbers."""
    parts = [
        crafted.value(name)
        + b"}"
        + b"".join(
            crafted.value(key) + crafted.tensor() + crafted.SETITEM
            for key in ("n_averaged", "module.weight")
        )
        + crafted.SETITEM
        for name in names
    ]
    return b"\x80\x02}" + b"".join(parts) + crafted.STOP


@pytest.mark.parametrize(
    ("names", "raw", "read"),
    [
        (("model", "model_ema"), "model", "model_ema"),
        (("state_dict", "state_dict_ema"), "state_dict", "state_dict_ema"),
        (("model_ema",), None, "model_ema"),
        (("model",), None, "model"),
    ],
)
def test_averaged_weights_are_preferred_as_timm_does(names, raw, read, tmp_path) -> None:
    path = crafted.archive(tmp_path / "weights.pth", averaged(*names))
    if raw is None:
        assert read_state_dict(path).keys() == {"module.weight"}  # without torch's counter
        return
    message = f"the averaged ones, '{read}', were read; prefer_ema=False reads '{raw}'"
    with pytest.warns(UserWarning, match=message):
        read_state_dict(path)
    assert read_state_dict(path, prefer_ema=False).keys() == {"module.weight"}


def test_a_storage_that_is_a_part_of_another(tmp_path: pathlib.Path) -> None:
    """As torch wrote them before version 0.4: the offset is in the identifier."""
    part = crafted.tensor(crafted.view("1", 1, 3, 4), size=crafted.value((3,)))
    path = tmp_path / "weights.pth"
    path.write_bytes(crafted.stream(crafted.state_dict(part)))
    assert read_state_dict(path)["weight"].tolist() == [2, 3, 4]
    outside = crafted.tensor(crafted.view("1", 2, 3, 4), size=crafted.value((3,)))
    path.write_bytes(crafted.stream(crafted.state_dict(outside)))
    with pytest.raises(WeightsError, match="a part of a storage lies outside of it"):
        read_state_dict(path)


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
        read_state_dict(archive(attack, tmp_path / "weights.pth"))


def test_a_whole_module_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict\(\)"):
        read_state_dict(FILES / "module.pth")


def test_a_program_is_refused() -> None:
    with pytest.raises(WeightsError, match="TorchScript program"):
        read_state_dict(FILES / "script.pt")


@pytest.mark.parametrize("name", ["archive.pth", "stream.pth"])
def test_every_truncated_file_is_an_error(name: str, tmp_path: pathlib.Path) -> None:
    content = (FILES / name).read_bytes()
    path = tmp_path / name
    for length in range(0, len(content) - 1, 61):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=name):
            read_state_dict(path)


def test_half_a_download_is_called_that(tmp_path: pathlib.Path) -> None:
    for name in ("archive.pth", "stream.pth"):
        content = (FILES / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) - 20])
        with pytest.raises(
            WeightsError, match=f"{name}: it is cut short, as an interrupted downlo"
        ):
            read_state_dict(tmp_path / name)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_what_lies_in_place_of_a_file(name: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\n")
    with pytest.raises(
        WeightsError, match="a pointer of Git LFS in place of the file: run `git lf"
    ):
        read_state_dict(path)
    path.write_bytes(b"<!DOCTYPE html><html>Not found</html>")
    with pytest.raises(WeightsError, match="a page of the web, not weights"):
        read_state_dict(path)


def test_tensors_by_number(tmp_path: pathlib.Path) -> None:
    made = b"\x80\x02}" + crafted.value(0) + crafted.tensor() + crafted.SETITEM + crafted.STOP
    with pytest.raises(WeightsError, match="holds no tensors by name, but 0"):
        read_state_dict(crafted.archive(tmp_path / "a.pth", made))


def safetensors_file(path: pathlib.Path, dtype: str, size: int, content: bytes) -> pathlib.Path:
    tensor = {"dtype": dtype, "shape": [size], "data_offsets": [0, len(content)]}
    header = json.dumps({"weight": tensor}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + content)
    return path


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("F8_E4M3", jnp.float8_e4m3fn), ("F8_E5M2", jnp.float8_e5m2), ("BF16", jnp.bfloat16)],
)
def test_safetensors_of_types_that_numpy_lacks(name, dtype, tmp_path: pathlib.Path) -> None:
    numbers = np.array([0.5, -2.0, 1.5]).astype(dtype)
    path = safetensors_file(tmp_path / "a.safetensors", name, 3, numbers.tobytes())
    array = read_state_dict(path)["weight"]
    assert array.dtype == dtype
    assert array.astype("f").tolist() == [0.5, -2.0, 1.5]


def test_safetensors_of_types_that_are_not_read(tmp_path: pathlib.Path) -> None:
    path = safetensors_file(tmp_path / "a.safetensors", "C64", 1, bytes(8))
    with pytest.raises(
        WeightsError, match=r"'weight' has the type C64, which is not read.*F64, F3"
    ):
        read_state_dict(path)


def test_files_of_other_kinds(tmp_path: pathlib.Path) -> None:
    made = {"a.pth": b"hello", "b.pth": pickle.dumps(1), "c.safetensors": b"x"}
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=name):
            read_state_dict(tmp_path / name)
    with pytest.raises(WeightsError, match=r"come in \.safetensors, \.pth, \.pt and \.ckpt files"):
        read_state_dict(tmp_path / "weights.h5")
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="holds no tensors by name, but a list"):
        read_state_dict(archive(pickle.dumps([1], protocol=2), tmp_path / "list.pth"))
