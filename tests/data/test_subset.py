import numpy as np
import pytest

from jaxvision import data

NAMES = ("ant", "bee", "cat", "dog")


class Files:
    """Examples on a disk; the one at 5 cannot be decoded."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        if index == 5:
            raise data.CorruptImageError("file 5 is truncated")
        return {"image": np.full((2, 2, 1), index, np.uint8), "label": index % 4}


def in_memory():
    arrays = {
        "image": np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1),
        "label": np.arange(12) % 4,
    }
    return data.from_arrays(arrays, name="pets", split="train", class_names=NAMES)


def on_disk(corrupt="skip"):
    return data.from_source(
        Files(), name="pets", split="train", class_names=NAMES, in_memory=False, corrupt=corrupt
    )


def contents(dataset):
    """The number in the images and the label of every example."""
    examples = [dataset[i] for i in range(len(dataset))]
    return [(int(e["image"].flat[0]), int(e["label"])) for e in examples]


def test_classes_are_numbered_in_the_order_asked_for():
    chosen = data.subset(in_memory(), classes=["dog", "ant"])
    assert chosen.class_names == ("dog", "ant")
    assert contents(chosen) == [(0, 1), (3, 0), (4, 1), (7, 0), (8, 1), (11, 0)]
    assert chosen.examples["label"].dtype == in_memory().examples["label"].dtype
    assert (chosen.name, chosen.split) == ("pets", "train")


def test_what_cannot_be_decoded_is_left_out_where_it_is_to_be_skipped():
    chosen = data.subset(on_disk(), classes=["bee", "dog"])
    assert contents(chosen) == [(1, 0), (3, 1), (7, 1), (9, 0), (11, 1)]
    (batch,) = chosen.batches(8, shuffle=False, epochs=1)
    assert batch["label"][:5].tolist() == [0, 1, 1, 0, 1]
    with pytest.raises(data.CorruptImageError, match="file 5"):
        data.subset(on_disk("stop"), classes=["bee"])


@pytest.mark.parametrize("make", [in_memory, on_disk])
def test_few_of_each_class(make):
    chosen = data.subset(make(), per_class=2, seed=3)
    assert chosen.class_names == NAMES
    numbers, labels = zip(*contents(chosen), strict=True)
    assert sorted(labels) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert list(numbers) == sorted(set(numbers))
    assert all(number % 4 == label for number, label in contents(chosen))
    assert contents(data.subset(make(), per_class=2, seed=3)) == contents(chosen)
    others = [contents(data.subset(make(), per_class=2, seed=seed)) for seed in range(4, 9)]
    assert any(other != contents(chosen) for other in others)


def test_what_has_no_label_is_left_out():
    arrays = {"image": np.zeros((4, 1, 1, 1), np.uint8), "label": np.array([0, -1, 1, -1])}
    dataset = data.from_arrays(arrays, class_names=["no", "yes"])
    assert data.subset(dataset).examples["label"].tolist() == [0, 1]


def test_the_part_is_described_as_what_it_is():
    described = data.subset(in_memory(), classes=["cat"], per_class=2).describe()
    assert (described["num_examples"], described["fields"]["label"]["names"]) == (2, ["cat"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["ant", "cow"]}, "unknown class 'cow'"),
        ({"classes": ["catt"]}, "did you mean 'cat'"),
        ({"classes": []}, r"different names of classes, got \[\]"),
        ({"classes": "cat"}, "different names of classes, got 'cat'"),
        ({"classes": ["ant", "ant"]}, "different names of classes"),
        ({"per_class": 0}, "per_class must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_chosen(options, message):
    with pytest.raises(ValueError, match=message):
        data.subset(in_memory(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_class": 2.0}, "per_class must be a whole number, got 2.0"),
        ({"per_class": 1, "seed": None}, "seed must be a whole number, got None"),
        ({"per_class": 1, "seed": -1}, r"seed must be in \[0, 2\*\*64\), got -1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_numbers_that_are_none(options, message):
    with pytest.raises(ValueError, match=message):
        data.subset(in_memory(), **options)


def test_more_than_there_are():
    with pytest.raises(data.DatasetError, match="pets/train has 3 examples of class ant, fewer"):
        data.subset(in_memory(), per_class=4)


def test_no_labels():
    dataset = data.from_arrays({"image": np.zeros((3, 1, 1, 1))})
    with pytest.raises(data.DatasetError, match="arrays/all has no label per example"):
        data.subset(dataset)
