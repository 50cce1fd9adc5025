import json

import jax
import numpy as np
import pytest

from jaxvision import data
from jaxvision.data import dataset as module


def tiny(**options):
    arrays = {"image": np.arange(48.0).reshape(4, 2, 2, 3), "label": np.array([0, 2, 1, 2])}
    return data.from_arrays(arrays, **options)


class Tiny:
    """The same on disk, as it were; with numbers of examples that cannot be read."""

    def __init__(self, *corrupt):
        self.corrupt = corrupt

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index in self.corrupt:
            raise data.CorruptImageError(f"cannot decode {index}")
        return tiny()[index]


def from_source(source=None, **options):
    source = Tiny() if source is None else source
    return data.from_source(source, name="tiny", split="train", **options)


EITHER = pytest.mark.parametrize(
    "dataset", [tiny(), from_source(in_memory=True), from_source(in_memory=False)]
)


@EITHER
@pytest.mark.parametrize("index", [0, 3, -1, -4])
def test_examples_by_index(dataset, index):
    example = dataset[index]
    np.testing.assert_array_equal(example["image"], np.arange(48.0).reshape(4, 2, 2, 3)[index])
    assert example["label"] == [0, 2, 1, 2][index]
    assert len(dataset) == 4


@EITHER
@pytest.mark.parametrize("index", [4, -5, 100])
def test_index_out_of_range(dataset, index):
    with pytest.raises(IndexError, match=rf"has 4 examples and none at index {index}$"):
        dataset[index]


@EITHER
def test_iterating_over_examples_ends(dataset):
    assert [int(example["label"]) for example in dataset] == [0, 2, 1, 2]


@EITHER
def test_sample_batch_is_as_batches_are(dataset):
    sample = dataset.sample_batch()
    batch = next(dataset.batches(1, shuffle=False))
    jax.tree.map(np.testing.assert_array_equal, sample, batch)
    assert {key: value.dtype for key, value in sample.items()} == {
        key: value.dtype for key, value in batch.items()
    }


def test_what_it_says_of_itself():
    dataset = tiny(name="shapes", split="test", class_names=["a", "b", "c", "d"])
    assert dataset.image_shape == (2, 2, 3)
    assert dataset.num_classes == 4
    assert repr(dataset) == (
        "Dataset(shapes/test: 4 examples of 4 classes, image 2x2x3, in memory)"
    )
    assert json.loads(json.dumps(dataset.describe())) == {
        "name": "shapes",
        "split": "test",
        "num_examples": 4,
        "image_shape": [2, 2, 3],
        "fields": {
            "image": {"kind": "image", "names": []},
            "label": {"kind": "label", "names": ["a", "b", "c", "d"]},
        },
        "preprocessing": None,
    }


def test_printing_reads_nothing():
    dataset = from_source(source := Tiny(), in_memory=False, class_names=["a"])
    source.corrupt = (0, 1, 2, 3)
    assert repr(dataset) == "Dataset(tiny/train: 4 examples of 1 classes, on disk)"
    empty = data.from_arrays({"image": np.zeros((0, 2, 2, 1))})
    assert "0 examples, image 2x2x1" in repr(empty)
    assert "4 examples, in memory" in repr(data.from_arrays({"x": np.zeros(4)}))


def test_num_classes_is_that_of_the_labels():
    assert tiny().class_names == ("0", "1", "2")
    for arrays in (
        {"image": np.zeros((3, 1))},
        {"label": np.array([0.5, 2])},
        {"label": np.ones(0)},
    ):
        assert data.from_arrays(arrays).class_names == ()


@pytest.mark.parametrize(
    ("arrays", "options", "error", "message"),
    [
        ({}, {}, ValueError, "one and the same length, got none"),
        ({"a": np.ones(2), "b": np.ones(3)}, {}, ValueError, "got {'a': 2, 'b': 3}"),
        ({"weight": np.ones(2)}, {}, data.DatasetError, "a feature called weight"),
        ({"a": np.ones(2)}, {"class_names": ["b"]}, ValueError, "need a 'label' among .* a$"),
        ({"a": np.ones(2)}, {"fields": {"b": "mask"}}, data.DatasetError, "unknown field 'b'"),
        (
            {"label": np.array([0, 5])},
            {"class_names": ["a", "b"]},
            ValueError,
            "label 5 has no name among 2 class names; an example without a label has -1",
        ),
        (
            {"label": np.array([0, 2**31 - 1])},
            {},
            ValueError,
            "label 2147483647 would make 2147483648 classes, and at most 50000 are named",
        ),
        ({"label": np.array([0, 65535])}, {}, ValueError, "give class_names=..., and an example"),
        (
            {"label": np.array([0, 255])},
            {"class_names": ["a", "b"]},
            ValueError,
            "label 255 has no name among 2 class names",
        ),
        (
            {"label": np.array([0, 1])},
            {"class_names": ["a", "b", "a"]},
            ValueError,
            "class_names must be different names, got 'a' twice",
        ),
    ],
)
def test_arrays_that_make_no_data_set(arrays, options, error, message):
    with pytest.raises(error, match=message):
        data.from_arrays(arrays, **options)


def test_many_classes_and_labels_that_are_none():
    assert data.from_arrays({"label": np.array([49_999, -1])}).num_classes == 50_000
    named = data.from_arrays({"label": np.array([1, -1])}, class_names=["a", "b"])
    assert named.class_names == ("a", "b")


def test_a_kind_that_does_not_exist(unchecked):
    with pytest.raises(ValueError, match="unknown kind of field 'mosk'; did you mean 'mask'"):
        data.from_arrays({"a": np.ones(2)}, fields={"a": "mosk"})


def test_a_class_name_is_not_there_twice_in_any_data_set():
    with pytest.raises(ValueError, match="got 'a' twice"):
        data.Field("label", names=("a", "a"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 8.0}, "batch_size must be a whole number, got 8.0"),
        ({"batch_size": "8"}, "batch_size must be a whole number, got '8'"),
        ({"epochs": 1.5}, "epochs must be a whole number, got 1.5"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"seed": 0.5}, "seed must be a whole number, got 0.5"),
        ({"num_workers": 1.0}, "num_workers must be a whole number, got 1.0"),
        ({"num_workers": None}, "num_workers must be a whole number, got None"),
        ({"process_index": 0.0}, "process_index must be a whole number, got 0.0"),
        ({"process_count": "1"}, "process_count must be a whole number, got '1'"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_batches_by_numbers_that_are_not_whole(options, message):
    with pytest.raises(ValueError, match=message):
        tiny().batches(**{"batch_size": 2, **options})


def test_numbers_of_numpy_are_whole_and_can_be_saved(unchecked):
    batches = tiny().batches(np.int64(2), seed=np.uint32(7), epochs=np.int8(1))
    assert json.loads(json.dumps(batches.get_state()))["seed"] == 7


def test_no_examples():
    empty = data.from_arrays({"image": np.zeros((0, 2, 2, 1))})
    with pytest.raises(ValueError, match="there are no examples to make batches of"):
        empty.batches(2)
    with pytest.raises(IndexError, match="arrays/all has 0 examples and none at index 0"):
        empty.sample_batch()
    with pytest.raises(ValueError, match="tiny/train has no examples"):
        from_source([])


def test_small_data_are_kept_in_memory(monkeypatch):
    size = 4 * (2 * 2 * 3 * 8 + 8)
    monkeypatch.setattr(module, "MEMORY_LIMIT", size)
    assert from_source().in_memory
    assert not from_source(in_memory=False).in_memory
    monkeypatch.setattr(module, "MEMORY_LIMIT", size - 1)
    assert not from_source().in_memory
    assert from_source(in_memory=True).in_memory
    # What counts is the size after resizing and the user's own change.
    assert from_source(transform=lambda example: {"label": example["label"]}).in_memory


def test_image_size_and_transform():
    def brighten(example):
        assert example["image"].shape == (1, 3, 3)
        return {**example, "image": example["image"] + 1000}

    for in_memory in (True, False):
        dataset = from_source(image_size=(1, 3), transform=brighten, in_memory=in_memory)
        assert dataset.image_shape == (1, 3, 3)
        assert dataset[0]["image"].min() >= 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corrupt": "ignore"}, "corrupt must be 'stop' or 'skip', got 'ignore'"),
        ({"image_size": 0}, r"must be \(height, width\), both whole numbers above 0, got \(0, 0\)"),
        ({"image_size": (5, -1)}, r"got \(5, -1\)"),
        ({"image_size": (3, 5, 5)}, r"got \(3, 5, 5\)"),
        ({"class_names": ["a", "a"]}, "class_names must be different names, got 'a' twice"),
        ({"class_names": "cat"}, "must be a sequence of names, got the text 'cat'"),
    ],
)
def test_options_out_of_range(options, message):
    # beartype would object to some of them first, as a type checker does.
    with pytest.raises(ValueError, match=message):
        getattr(data.from_source, "__wrapped__", data.from_source)(
            Tiny(), name="tiny", split="train", **options
        )


def test_corrupt_images():
    with pytest.raises(data.CorruptImageError, match="cannot decode 0"):
        from_source(Tiny(0))
    with pytest.raises(data.CorruptImageError, match="cannot decode 3"):
        from_source(Tiny(3))
    with pytest.warns(UserWarning, match="skipped 2 of 4 images of tiny"):
        dataset = from_source(Tiny(0, 3), corrupt="skip")
    assert (len(dataset), dataset.num_skipped) == (2, 2)
    assert dataset.examples["label"].tolist() == [2, 1]
    streamed = from_source(Tiny(0, 3), corrupt="skip", in_memory=False)
    assert (len(streamed), streamed.num_skipped) == (4, 0)
    assert streamed.sample_batch()["label"].tolist() == [2]


def test_processes_are_those_of_jax(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    batches = tiny().batches(4, shuffle=False)
    assert next(batches)["label"].tolist() == [1, 2]
    assert (batches.batch_size, batches.plan.rows_per_process) == (4, 2)
    assert len(next(tiny().batches(4, process_index=0, process_count=1))["label"]) == 4
