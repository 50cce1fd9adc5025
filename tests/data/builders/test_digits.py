import hashlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxvision import data
from jaxvision.data.builders.digits import split_indices

SPLITS = {"train": 1258, "validation": 180, "test": 359}


@pytest.fixture(scope="module")
def original():
    return load_digits()


def pixels(original, index):
    return np.round(original.images[index] * 255 / 16).astype(np.uint8)[..., None]


@pytest.mark.parametrize("split", SPLITS)
def test_pixels_and_labels_are_those_of_scikit_learn(original, split):
    dataset = data.load("digits", split)
    index = split_indices(original.target)[split]
    np.testing.assert_array_equal(dataset.examples["image"], pixels(original, index))
    np.testing.assert_array_equal(dataset.examples["label"], original.target[index])
    assert len(dataset) == SPLITS[split]
    assert dataset.class_names == tuple("0123456789")
    assert dataset.examples["image"].dtype == np.uint8
    assert dataset.examples["label"].dtype == np.int64


def test_gray_levels_can_be_got_back():
    # The steps in 255 are wide enough apart for rounding to lose nothing.
    levels = np.arange(17)
    pixels = np.round(levels * 255 / 16).astype(np.uint8)
    np.testing.assert_array_equal(np.round(pixels * (16 / 255)), levels)


def test_splits_share_no_example_and_leave_none_out(original):
    joined = np.concatenate(list(split_indices(original.target).values()))
    assert sorted(joined.tolist()) == list(range(1797))


def test_splits_are_stratified(original):
    for split, index in split_indices(original.target).items():
        share = {"train": 0.7, "validation": 0.1, "test": 0.2}[split]
        wanted = share * np.bincount(original.target)
        assert np.abs(np.bincount(original.target[index]) - wanted).max() <= 1


@pytest.mark.parametrize(
    ("split", "index_sum", "label_sum"),
    [
        ("train", "a2f5fc102315b677", "e7ec4f17b36f3adc"),
        ("validation", "369d9851a1ba7064", "2685b7bc073248ac"),
        ("test", "36e48482a9175573", "3eb53e9e0f89c0c0"),
    ],
)
def test_splits_never_change(original, split, index_sum, label_sum):
    # Results are compared across releases on these splits.
    index = split_indices(original.target)[split]
    for values, expected in ((index, index_sum), (original.target[index], label_sum)):
        assert hashlib.sha256(values.astype("<i8").tobytes()).hexdigest()[:16] == expected


def test_preparing_prints_nothing_and_leaves_array_records_of_png(
    original, tmp_path, capfd, caplog
):
    dataset = data.load("digits", "test[:9]", tmp_path)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelname != "INFO"] == []
    index = split_indices(original.target)["test"][:9]
    np.testing.assert_array_equal(dataset.examples["image"], pixels(original, index))
    folder = tmp_path / "digits" / "1.0.0"
    files = sorted(file.name for file in folder.iterdir())
    assert [name for name in files if "array_record" in name] == [
        f"digits-{split}.array_record-00000-of-00001" for split in ("test", "train", "validation")
    ]
    for file in folder.glob("*array_record*"):
        assert file.read_bytes().count(b"\x89PNG\r\n\x1a\n") > 100
    assert b"array_record" in (folder / "dataset_info.json").read_bytes()
    # From now on they are only read.
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    data.load("digits:1.0.0", "train[:9]", tmp_path)
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before


@pytest.mark.parametrize("where", ["file/data", "file"])
def test_folder_that_cannot_be_written(tmp_path, where):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(data.DatasetError, match=r"digits.*(give data_dir=|cannot open)"):
        data.load("digits", "test", tmp_path / where)


PREPARE = """
import pathlib, sys, time
from jaxvision import data
import sklearn.datasets, tensorflow_datasets

def main(own, other):
    own.touch()
    while not other.exists():  # start together
        time.sleep(0.001)
    print(len(data.load("digits", "test", own.parent / "data")))

main(*map(pathlib.Path, sys.argv[1:]))
"""


@pytest.mark.slow
def test_two_processes_prepare_at_once(tmp_path):
    names = [tmp_path / "one", tmp_path / "two"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for arguments in (names, names[::-1])
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert outputs == [("359\n", "")] * 2
    prepared = list((tmp_path / "data" / "digits").iterdir())
    assert [path.name for path in prepared] == ["1.0.0"]
