"""Files of weights that are damaged on purpose: the same for the same kind and seed."""

import functools
import io
import json
import pathlib
import pickle
import pickletools
import random
import struct
import zipfile

import crafted

FILES = pathlib.Path(__file__).parents[2] / "fixtures" / "torch_files"
KINDS = ("archive", "stream", "safetensors")
SUFFIXES = {"archive": ".pth", "stream": ".pth", "safetensors": ".safetensors"}

NUMBERS = (
    -1,
    0,
    1,
    2,
    3,
    7,
    24,
    255,
    2**15,
    2**31 - 1,
    2**31,
    2**32,
    2**61,
    2**63,
    2**64,
    -(2**63),
)
STRINGS = ("", "storage", "0", "cpu", "state_dict", "neg", "conj", "weight", "é", "x" * 3000)
GLOBALS = (
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_parameter_with_state",
    "torch._utils _rebuild_qtensor",
    "torch._utils _rebuild_sparse_tensor",
    "torch._tensor _rebuild_from_type_v2",
    "torch FloatStorage",
    "torch DoubleStorage",
    "torch HalfStorage",
    "torch BoolStorage",
    "torch ComplexFloatStorage",
    "torch.storage UntypedStorage",
    "torch float8_e4m3fn",
    "torch float32",
    "torch Size",
    "torch Tensor",
    "collections OrderedDict",
    "collections Counter",
    "argparse Namespace",
    "_codecs encode",
    "numpy.core.multiarray scalar",
    "builtins set",
    "builtins eval",
    "os system",
)
# Single instructions, and some that ask for much.
PIECES = (
    *(bytes([code]) for code in b"}])(02Rbsaetu\x81\x85\x86\x87\x88NlQd\x8f\x90\x91\x92\x93\x94"),
    b"]" * 3000,
    b"(" * 3000,
    b")" + b"\x85" * 3000,
    b")" + b"q\xc8h\xc8\x86" * 60,  # a tuple that is twice as long at each step
    b"r\xff\xff\xff\xff",
    b"j\xff\xff\xff\xff",
    b"\x8d" + struct.pack("<Q", 2**40),
    b"\x8e" + struct.pack("<Q", 2**33),
    b"\x96" + struct.pack("<Q", 2**40),
    b"\x95" + struct.pack("<Q", 2**60),
    b"\x8b" + struct.pack("<i", 2**31 - 1),
    b"\x8b" + struct.pack("<i", 2000) + b"\x7f" * 2000,
    b"B" + struct.pack("<I", 2**32 - 1),
    b"X\x03\x00\x00\x00neg\x88s",
    b"(S'x'\nios\nsystem\n",
    b"P0\n",
    b"\x82\x01",
    b"I" + b"9" * 3000 + b"\n",
    b"L" + b"9" * 6000 + b"L\n",
)


_VIEWS = crafted.stream(
    b"\x80\x02}"
    + crafted.value("first")
    + crafted.tensor(crafted.view("1", 0, 2, 4), size=crafted.value((2,)))
    + crafted.SETITEM
    + crafted.value("last")
    + crafted.tensor(crafted.view("2", 1, 3, 4), size=crafted.value((3,)))
    + crafted.SETITEM
    + crafted.STOP
)


def make(kind: str, seed: int) -> bytes:
    """The content of a damaged file."""
    chance = random.Random(f"{kind} {seed}")
    content = {"archive": _archive, "stream": _stream, "safetensors": _safetensors}[kind](chance)
    if chance.random() < 0.2:
        content = _flip(content, chance)
    if chance.random() < 0.1:
        content = content[: chance.randrange(len(content) + 1)]
    return content


def _archive(chance: random.Random) -> bytes:
    parts = dict(_parts(chance.choice(["archive.pth", "checkpoint.pth", "unusual.pth"])))
    pickled = next(name for name in parts if name.endswith("data.pkl"))
    parts[pickled] = _damaged_pickle(parts[pickled], chance)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in parts.items():
            how = zipfile.ZIP_DEFLATED if chance.random() < 0.005 else zipfile.ZIP_STORED
            match chance.randrange(200):
                case 0:
                    continue
                case 1:
                    content = content[: len(content) // 2]
                case 2:
                    content = bytes(2**22)
                case 3:
                    name = chance.choice([*parts])
            archive.writestr(name, content, how)
    return made.getvalue()


def _stream(chance: random.Random) -> bytes:
    content = chance.choice([(FILES / "stream.pth").read_bytes(), _VIEWS])
    file = io.BytesIO(content)
    pickles = []
    for _ in range(5):
        start = file.tell()
        for _ in pickletools.genops(file):
            pass
        pickles.append(content[start : file.tell()])
    which = chance.choice([3, 3, 3, 3, 4, 0, 1, 2])
    pickles[which] = _damaged_pickle(pickles[which], chance)
    return b"".join(pickles) + content[file.tell() :]


def _safetensors(chance: random.Random) -> bytes:
    types = ("F64", "F32", "F16", "BF16", "I8", "BOOL", "F8_E4M3", "F8_E5M2", "F4", "C64", "X")
    header: dict = {}
    place = 0
    for index in range(chance.randrange(1, 5)):
        shape = [chance.randrange(4) for _ in range(chance.randrange(3))]
        size = 4
        for side in shape:
            size *= side
        header[f"layer{index}.weight"] = {
            "dtype": "F32", "shape": shape, "data_offsets": [place, place + size],
        }  # fmt: skip
        place += size
    for tensor in header.values():
        match chance.randrange(8):
            case 0:
                tensor["dtype"] = chance.choice(types)
            case 1:
                tensor["shape"] = [chance.choice(NUMBERS) for _ in range(chance.randrange(40))]
            case 2:
                tensor["data_offsets"][chance.randrange(2)] = chance.choice(NUMBERS)
            case 3:
                tensor[chance.choice([*tensor, "more"])] = chance.choice([None, {}, "x", 1.5, [[]]])
    if chance.random() < 0.1:
        header["__metadata__"] = chance.choice([{"format": "np"}, {"a": 1}, [], None, "x" * 3000])
    text = json.dumps(header).encode()
    match chance.randrange(20):
        case 0:
            text = b"[" * 100_000
        case 1:
            text = text.replace(b"layer", b"\xff")
        case 2:
            text = text[:-1]
    size = chance.choice(NUMBERS) % 2**64 if chance.random() < 0.05 else len(text)
    return struct.pack("<Q", size) + text + random.Random(0).randbytes(place)


@functools.cache
def _parts(name: str) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(FILES / name) as archive:
        return [(part.filename, archive.read(part)) for part in archive.infolist()]


def _flip(content: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(chance.randrange(1, 9)):
        if damaged:
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    return bytes(damaged)


def _damaged_pickle(content: bytes, chance: random.Random) -> bytes:
    """Changes some instructions, or none."""
    instructions = [*pickletools.genops(content)]
    ends = [place for *_, place in instructions[1:]] + [len(content)]
    raw = [content[place:end] for (*_, place), end in zip(instructions, ends, strict=True)]
    values = [argument for _, argument, _ in instructions]
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        index = chance.randrange(len(raw) - 1)
        numbers = [i for i, value in enumerate(values) if type(value) is int and i]
        strings = [i for i, value in enumerate(values) if type(value) is str and i]
        match chance.randrange(8):
            case 0:
                raw[index] = b""
            case 1:
                raw[index] += raw[index]
            case 2:
                raw[index], raw[index + 1] = raw[index + 1], raw[index]
            case 3:
                raw[index] += chance.choice(PIECES)
            case 4 if strings:
                text = chance.choice([*STRINGS, *(str(values[i]) for i in strings)])
                raw[chance.choice(strings)] = pickle.dumps(text, protocol=2)[2:-1]
            case 5 if strings:
                module, name = chance.choice(GLOBALS).split()
                named = [i for i in strings if raw[i][:1] == b"c"] or [index]
                raw[chance.choice(named)] = f"c{module}\n{name}\n".encode()
            case _ if numbers:
                number = chance.choice(NUMBERS)
                raw[chance.choice(numbers)] = pickle.dumps(number, protocol=2)[2:-1]
    return b"".join(raw)
