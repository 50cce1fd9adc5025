"""Builders without TensorFlow, on small made archives of the published formats."""

import gzip
import hashlib
import io
import pathlib
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from tensorflow_datasets.core.download import checksums

from jaxvision import data
from jaxvision.data import tfds_source
from jaxvision.data.builders import BUILDERS, own_builder
from jaxvision.data.builders.archives import read_idx

COUNTS = {"train": 5, "test": 3}


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def draw(split: str, *shape: int) -> np.ndarray:
    return np.random.default_rng([COUNTS[split], *shape]).integers(0, 256, shape, np.uint8)


def labels_of(split: str, classes: int = 10) -> np.ndarray:
    return (np.arange(COUNTS[split]) * 7 % classes).astype(np.uint8)


def mnist_parts(prefix: str = "", test: str = "t10k") -> dict[str, bytes]:
    return {
        f"{prefix}{name}-{kind}-idx{array.ndim}-ubyte.gz": gzip.compress(idx(array))
        for split, name in (("train", "train"), ("test", test))
        for kind, array in (
            ("images", draw(split, COUNTS[split], 28, 28)),
            ("labels", labels_of(split)),
        )
    }


def emnist() -> dict[str, bytes]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in mnist_parts("emnist-letters-", test="test").items():
            archive.writestr(f"gzip/{name}", content)
    return {"gzip.zip": file.getvalue()}


def cifar(files: dict[str, bytes], folder: str, name: str) -> dict[str, bytes]:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for part, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{part}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return {name: file.getvalue()}


def records(split: str, *labels: np.ndarray) -> np.ndarray:
    pixels = draw(split, COUNTS[split], 3 * 32 * 32)
    return np.concatenate([*(each[:, None] for each in labels), pixels], axis=1)


def cifar10() -> dict[str, bytes]:
    train = records("train", labels_of("train"))
    files = {f"data_batch_{n + 1}.bin": train[n : n + 1].tobytes() for n in range(5)}
    files["test_batch.bin"] = records("test", labels_of("test")).tobytes()
    files["batches.meta.txt"] = "\n".join([*"abcdefghij", ""]).encode()
    return cifar(files, "cifar-10-batches-bin", "cifar-10-binary.tar.gz")


def cifar100() -> dict[str, bytes]:
    files = {
        f"{split}.bin": records(split, labels_of(split, 20), labels_of(split, 100)).tobytes()
        for split in COUNTS
    }
    files["coarse_label_names.txt"] = "\n".join(f"group {n}" for n in range(20)).encode()
    files["fine_label_names.txt"] = "\n".join(f"class {n}" for n in range(100)).encode()
    return cifar(files, "cifar-100-binary", "cifar-100-binary.tar.gz")


ARCHIVES = {
    "mnist": mnist_parts,
    "fashion_mnist": mnist_parts,
    "kmnist": mnist_parts,
    "emnist/letters": emnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
}


def put(name: str, folder: pathlib.Path, monkeypatch, damage=lambda content: content) -> None:
    """Lays made archives where those lie that somebody has downloaded."""
    base = name.partition("/")[0]
    files = ARCHIVES[name]()
    config = {"config": name.partition("/")[2]} if "/" in name else {}
    urls = own_builder(base)(data_dir=folder, **config).urls
    known = {}
    for url in urls.values():
        file = url.rpartition("/")[2]
        path = folder / "downloads" / "manual" / base / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(damage(files[file]))
        digest = hashlib.sha256(files[file]).hexdigest()
        known[url] = checksums.UrlInfo(len(files[file]), digest, file)
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: known)


@pytest.mark.parametrize("name", ARCHIVES)
def test_records_are_those_of_the_archives(name, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "_online", lambda: False)
    put(name, tmp_path, monkeypatch)
    for split, count in COUNTS.items():
        dataset = data.load(name, split, tmp_path)
        assert len(dataset) == count
        found = dict(
            zip(map(bytes, dataset.examples["image"]), dataset.examples["label"], strict=True)
        )
        if "cifar" in name:
            pixels = draw(split, count, 3 * 32 * 32).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        else:
            pixels = draw(split, count, 28, 28)
        classes = 100 if name == "cifar100" else 10
        expected = dict(zip(map(bytes, pixels), labels_of(split, classes).tolist(), strict=True))
        assert found == expected
    if name == "cifar100":
        assert dataset.class_names[:2] == ("class 0", "class 1")
        assert sorted(dataset.examples["coarse_label"].tolist()) == sorted(labels_of("test", 20))
    if name == "fashion_mnist":
        assert dataset.class_names[9] == "Ankle boot"


def test_nothing_is_needed_to_read_them_again(tmp_path, monkeypatch):
    put("mnist", tmp_path, monkeypatch)
    data.load("mnist", "test", tmp_path)
    for path in (tmp_path / "downloads").rglob("*"):
        if path.is_file():
            path.unlink()
    assert len(data.load("mnist:3.0.1", "train", tmp_path)) == 5


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-20], lambda content: content + b"x"], ids=["cut", "longer"]
)
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_archives_that_are_not_those_published(name, damage, tmp_path, monkeypatch):
    put(name, tmp_path, monkeypatch, damage)
    message = r"Artifact .* downloaded to .*, has wrong checksum: it is damaged, cut short, or anot"
    with pytest.raises(data.DatasetError, match=message):
        data.load(name, "test", tmp_path)


@pytest.mark.parametrize("name", ["mnist", "emnist/letters", "cifar100"])
def test_damage_that_no_checksum_shows(name, tmp_path, monkeypatch):
    """As where the publisher's own file is damaged."""
    put(name, tmp_path, monkeypatch, lambda content: content[: len(content) // 2])
    known = {}
    for path in (tmp_path / "downloads" / "manual").rglob("*.*"):
        content = path.read_bytes()
        known[path.name] = checksums.UrlInfo(
            len(content), hashlib.sha256(content).hexdigest(), path.name
        )
    urls = checksums.get_all_url_infos()
    infos = {url: known[info.filename] for url, info in urls.items()}
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: infos)
    with pytest.raises(data.DatasetError, match=r"is cut short or damaged: "):
        data.load(name, "test", tmp_path)


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "_online", lambda: False)
    message = (
        r"cifar10 is not prepared in .*, and there is no network to download it from: put "
        r"cifar-10-binary\.tar\.gz into .*/downloads/manual/cifar10, and load it again"
    )
    with pytest.raises(data.DatasetError, match=message):
        data.load("cifar10", "train", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_published_checksums_are_known():
    known = checksums.get_all_url_infos()
    for name in BUILDERS.keys() - {"digits", "shapes", "volumes"}:
        config = {"config": "letters"} if name == "emnist" else {}
        for url in own_builder(name)(data_dir="/nowhere", **config).urls.values():
            assert len(known[url].checksum) == 64, url


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"labels is not an IDX file of bytes: it begins with b''"),
        (b"\0\0\x0d\1\0\0\0\1\0\0\0\0", "is not an IDX file of bytes"),
        (idx(np.zeros(3, np.uint8))[:-1], r"holds 2 bytes, and its header .* shape \(3,\)"),
        (idx(np.zeros((2, 3), np.uint8))[:9], "holds 0 bytes"),
    ],
)
def test_files_that_are_no_idx(content, message):
    with pytest.raises(data.DatasetError, match=message):
        read_idx(io.BytesIO(content), "labels")
