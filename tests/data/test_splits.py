import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jaxvision import data
from jaxvision.data import splits

LABELS = np.repeat([0, 1, 2, 3], [10, 5, 2, 1])
NAMES = ("ant", "bee", "cat", "dog")


class Files:
    """Examples on a disk, whose image is their number."""

    def __init__(self, labels, corrupt=()):
        self.labels, self.corrupt = labels, corrupt

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        if index in self.corrupt:
            raise data.CorruptImageError(f"file {index} is truncated")
        return {"image": np.full((2, 2, 1), index, np.uint8), "label": self.labels[index]}


def load(in_memory, labels=LABELS, **options):
    options = {"name": "pets", "split": "train", "class_names": NAMES, **options}
    return data.from_source(Files(labels), in_memory=in_memory, **options)


def contents(dataset):
    """The number in the images and the label of every example."""
    return [(int(each["image"].flat[0]), int(each["label"])) for each in dataset]


@pytest.mark.parametrize("in_memory", [True, False])
def test_parts_are_disjoint_and_complete_and_have_every_class(in_memory):
    rest, held_out = data.split(load(in_memory), 0.2, seed=4)
    assert sorted(contents(rest) + contents(held_out)) == list(enumerate(LABELS.tolist()))
    for part, counts in ((rest, [8, 4, 1, 1]), (held_out, [2, 1, 1, 0])):
        assert contents(part) == sorted(contents(part))
        assert np.bincount([label for _, label in contents(part)], minlength=4).tolist() == counts
        assert (part.name, part.class_names, part.in_memory) == ("pets", NAMES, in_memory)
    assert (rest.split, held_out.split) == ("train-rest", "train-held-out")


def test_parts_depend_on_the_seed_alone():
    parts = [contents(data.split(load(True), 0.3, seed=seed)[1]) for seed in range(6)]
    assert contents(data.split(load(False), 0.3, seed=3)[1]) == parts[3]
    assert len({tuple(part) for part in parts}) > 3


def test_parts_never_change():
    # A run that held out a part has to be evaluated on the same one with a later release.
    _, held_out = data.split(load(True), 0.3)
    assert [number for number, _ in contents(held_out)] == [0, 2, 9, 12, 13, 16]


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.floats(0.001, 0.999),
    st.integers(0, 2**64 - 1),
)
def test_every_class_keeps_its_share(counts, share, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    dataset = data.from_arrays({"number": np.arange(len(labels)), "label": labels})
    assume(max(counts) > 1)
    parts = [part.examples for part in data.split(dataset, share, seed=seed)]
    numbers = np.concatenate([part["number"] for part in parts])
    assert sorted(numbers.tolist()) == list(range(len(labels)))
    held_out = np.bincount(parts[1]["label"], minlength=len(counts))
    for count, of_class in zip(held_out.tolist(), counts, strict=True):
        assert abs(count - share * of_class) <= 1
        assert 0 < count < of_class or of_class == 1


def test_labels_of_a_folder_are_known_without_reading_it(numbered, monkeypatch):
    dataset = data.load_folder(numbered, in_memory=False)
    monkeypatch.setattr("jaxvision.data.folder.decode_image", None)
    rest, held_out = data.split(dataset, 0.5)
    few, _ = data.split(data.subset(held_out, per_class=2), 0.5)
    assert (len(rest), len(held_out), len(few)) == (6, 5, 2)


def test_labels_that_a_transform_makes_are_read(numbered):
    dataset = data.load_folder(
        numbered, in_memory=False, transform=lambda each: {**each, "label": np.int64(0)}
    )
    assert {int(each["label"]) for part in data.split(dataset, 0.5) for each in part} == {0}


def test_what_has_no_label_is_in_neither_part():
    arrays = {"image": np.arange(6).reshape(6, 1), "label": np.array([0, -1, 0, 1, -1, 1])}
    parts = data.split(data.from_arrays(arrays), 0.5)
    assert sorted(np.concatenate([part.examples["image"][:, 0] for part in parts])) == [0, 2, 3, 5]


@pytest.mark.parametrize("share", [0, 1, 0.0, 1.0, -0.5, 20, float("nan"), "0.2", True, None])
@pytest.mark.usefixtures("unchecked")
def test_shares_that_are_none(share):
    with pytest.raises(ValueError, match=f"share must be above 0 and below 1, got {share!r}"):
        data.split(load(True), share)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [1], [-1, -1]])
def test_too_few_examples(labels):
    with pytest.raises(data.DatasetError, match="nothing can be held out of pets/train: it has no"):
        data.split(load(True, np.array(labels)), 0.5)


@pytest.mark.parametrize("in_memory", [False, True])
def test_data_without_labels_are_drawn_as_one_class(in_memory):
    images = np.arange(10, dtype=np.float32).reshape(10, 1, 1, 1)
    examples = [{"image": image} for image in images]
    whole = data.from_source(examples, name="photos", split="all", in_memory=in_memory)
    rest, held_out = data.split(whole, 0.3, seed=1)
    parts = [[part[index] for index in range(len(part))] for part in (rest, held_out)]
    assert [len(part) for part in parts] == [7, 3]
    assert all(list(example) == ["image"] for part in parts for example in part)
    found = [float(example["image"].item()) for part in parts for example in part]
    assert sorted(found) == list(range(10))


def test_labels_of_another_shape():
    with pytest.raises(data.DatasetError, match="arrays/all has no label per example"):
        data.split(data.from_arrays({"image": np.zeros((3, 1)), "label": np.zeros((3, 2))}), 0.5)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("all", 100),
        ("all[:]", 100),
        ("all[:80%]", 80),
        ("all[80%:]", 20),
        ("all[10%:-15%]", 75),
        ("all[:30]", 30),
        ("all[-30:]", 30),
        ("all[99:100]", 1),
        ("all[:1%]", 1),
    ],
)
def test_sizes_of_slices(text, count):
    chosen = splits.read_slice(text).of(np.arange(100) // 10)
    assert len(set(chosen.tolist())) == len(chosen) == count
    assert chosen.tolist() == sorted(chosen.tolist())


@given(st.lists(st.integers(1, 40), min_size=1, max_size=10), st.integers(1, 99))
def test_slices_are_disjoint_and_complete_and_have_their_share_of_every_class(counts, percent):
    labels = np.repeat(np.arange(len(counts)), counts)
    assume(0 < round(len(labels) * percent / 100) < len(labels))
    parts = [splits.read_slice(text).of(labels) for text in (f"a[:{percent}%]", f"a[{percent}%:]")]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    shares = np.bincount(labels[parts[0]], minlength=len(counts)) - np.multiply(
        counts, percent / 100
    )
    assert np.abs(shares).max() < 2


def test_slices_are_no_runs_of_files_and_never_change():
    assert splits.read_slice("all[:5]").of(np.repeat([0, 1], 10)).tolist() == [0, 2, 9, 13, 15]


@pytest.mark.parametrize("text", ["all[:0]", "all[5:5]", "all[90%:10%]", "all[:11]", "all[-11:]"])
def test_slices_without_examples_or_beyond_them(text):
    with pytest.raises(data.SplitError, match=r"all\[.*\] means the examples from .* of 10; a pa"):
        splits.read_slice(text).of(np.zeros(10, int))


@pytest.mark.parametrize("text", ["", "[:5]", "a[", "a[:5", "a[5]", "a[:5%%]", "a[:0.5]", "a[:5]b"])
def test_splits_that_cannot_be_read(text):
    with pytest.raises(data.SplitError, match=r"cannot read the split .*; write its name, or a pa"):
        splits.read_slice(text)
