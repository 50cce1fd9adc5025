import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision import data

IN_MEMORY = pytest.mark.parametrize("in_memory", [True, False], ids=["memory", "disk"])


def numbers(batches):
    """What tells batches apart: the value of every image, and the weights."""
    return [(b["image"][:, 0, 0, 0].tolist(), b["weight"].tolist()) for b in batches]


@pytest.fixture
def load(numbered):
    def load(in_memory):
        return data.load_folder(numbered, in_memory=in_memory)

    return load


@IN_MEMORY
def test_batch_holds_the_examples_of_the_plan(load, in_memory):
    with load(in_memory).batches(4, seed=3, epochs=2) as batches:
        for step, batch in enumerate(batches):
            rows, weight = batches.plan.rows(step)
            examples = [load(True)[row] for row in rows.tolist()]
            np.testing.assert_array_equal(batch["image"], [each["image"] for each in examples])
            np.testing.assert_array_equal(batch["label"], [each["label"] for each in examples])
            np.testing.assert_array_equal(batch["weight"], weight)
            assert {key: value.dtype for key, value in batch.items()} == {
                "image": np.uint8,
                "label": np.int64,
                "weight": np.float32,
            }
    assert step == 5


@IN_MEMORY
def test_shapes_never_change(load, in_memory):
    with load(in_memory).batches(4, epochs=2) as batches:
        shapes = {batch["image"].shape for batch in batches}
    assert shapes == {(4, 4, 3, 3)}


@IN_MEMORY
def test_more_rows_than_examples(load, in_memory):
    with load(in_memory).batches(30, shuffle=False, epochs=1) as batches:
        (batch,) = batches
    values = load(True).examples["image"][:, 0, 0, 0]
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], np.resize(values, 30))
    assert batch["weight"].tolist() == [1] * 11 + [0] * 19


@IN_MEMORY
@pytest.mark.parametrize("epochs", [0, 1])
def test_the_end_is_the_end(load, in_memory, epochs):
    batches = load(in_memory).batches(4, epochs=epochs)
    assert len(list(batches)) == 3 * epochs
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(batches)
    assert list(batches) == []


@IN_MEMORY
def test_drop_remainder(load, in_memory):
    with load(in_memory).batches(4, epochs=2, drop_remainder=True) as batches:
        weights = [batch["weight"].tolist() for batch in batches]
    assert weights == [[1] * 4] * 4


@IN_MEMORY
def test_rows_of_a_process(load, in_memory):
    whole = numbers(load(in_memory).batches(6, epochs=1))
    parts = [
        numbers(load(in_memory).batches(6, epochs=1, process_index=i, process_count=3))
        for i in range(3)
    ]
    joined = [
        tuple(list(itertools.chain(*lists)) for lists in zip(*pieces, strict=True))
        for pieces in zip(*parts, strict=True)
    ]
    assert joined == whole


@settings(max_examples=30)
@given(st.integers(0, 40), st.integers(1, 15), st.booleans())
def test_goes_on_where_it_was(step, batch_size, shuffle):
    dataset = data.from_arrays({"image": np.arange(11).reshape(11, 1, 1, 1)})
    batches = dataset.batches(batch_size, seed=5, shuffle=shuffle)
    numbers(itertools.islice(batches, step))
    state = json.loads(json.dumps(batches.get_state()))
    expected = numbers(itertools.islice(batches, 7))
    fresh = dataset.batches(batch_size, seed=5, shuffle=shuffle)
    fresh.set_state(state)
    assert numbers(itertools.islice(fresh, 7)) == expected
    batches.set_state(state)
    assert numbers(itertools.islice(batches, 7)) == expected


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_goes_on_from_memory_and_from_disk(load, before, after):
    first, second = load(before), load(after)
    expected = numbers(load(True).batches(4, seed=1, epochs=3))
    for step in (0, 1, 2, 3, 4, 7, 9):
        with first.batches(4, seed=1, epochs=3) as batches:
            assert numbers(itertools.islice(batches, step)) == expected[:step]
            state = json.loads(json.dumps(batches.get_state()))
        fresh = second.batches(4, seed=1, epochs=3)
        fresh.set_state(state)
        assert numbers(fresh) == expected[step:]


def test_more_epochs_can_follow(load):
    batches = load(True).batches(4, epochs=1)
    list(batches)
    longer = load(True).batches(4, epochs=2)
    longer.set_state(batches.get_state())
    assert numbers(longer) == numbers(load(True).batches(4, epochs=2))[3:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 5}, "position does not fit .*/all: batch_size was 4, now 5$"),
        ({"seed": 1}, "seed was 0, now 1$"),
        ({"shuffle": False}, "shuffle was True, now False$"),
        ({"drop_remainder": True}, "drop_remainder was False, now True$"),
        ({"batch_size": 2, "seed": 9}, "batch_size was 4, now 2, seed was 0, now 9$"),
    ],
)
def test_position_in_another_order(load, options, message):
    state = load(True).batches(4).get_state()
    batches = load(True).batches(**{"batch_size": 4, **options})
    with pytest.raises(ValueError, match=message):
        batches.set_state(state)
    assert batches.get_state()["step"] == 0


@pytest.mark.parametrize(
    ("count", "name", "message"),
    [
        (12, "a", "does not fit a/all: num_examples was 11, now 12"),
        (11, "b", "does not fit b/all: data was a/all, now b/all"),
    ],
)
def test_position_in_other_data(count, name, message):
    state = data.from_arrays({"image": np.zeros((11, 2))}, name="a").batches(4).get_state()
    other = data.from_arrays({"image": np.zeros((count, 2))}, name=name).batches(4)
    with pytest.raises(ValueError, match=message):
        other.set_state(state)


def test_position_that_is_none(load):
    with pytest.raises(ValueError, match=r"has whole numbers step and num_skipped, not \{\}"):
        load(True).batches(4).set_state({})
    with pytest.raises(ValueError, match="num_examples was None, now 11"):
        load(True).batches(4).set_state({"step": 0, "num_skipped": 0})


def test_negative_workers(load):
    with pytest.raises(ValueError, match="num_workers must not be negative, got -1"):
        load(False).batches(4, num_workers=-1)


@IN_MEMORY
def test_closing_is_no_end(load, in_memory):
    batches = load(in_memory).batches(4, epochs=2)
    first = numbers(itertools.islice(batches, 2))
    batches.close()
    batches.close()
    assert first + numbers(batches) == numbers(load(True).batches(4, epochs=2))


def test_batches_are_the_callers_own(load):
    batches = load(True).batches(4, epochs=2, shuffle=False)
    next(batches)["image"][:] = 255
    assert numbers(batches)[2][0] == [0, 2, 4, 6]


def test_what_it_says_of_itself(load):
    batches = load(True).batches(4)
    assert (batches.batch_size, batches.steps_per_epoch, batches.num_skipped) == (4, 3, 0)
