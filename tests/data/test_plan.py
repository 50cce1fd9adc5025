import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxvision.data import BatchPlan


@st.composite
def plans(draw, **fixed):
    values = {
        "num_examples": draw(st.integers(1, 60)),
        "batch_size": draw(st.integers(1, 70)),
        "seed": draw(st.integers(0, 2**64 - 1)),
        "shuffle": draw(st.booleans()),
    }
    return BatchPlan(**{**values, **fixed})


def epoch_of(plan, epoch):
    steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
    rows, weights = zip(*map(plan.rows, steps), strict=True)
    return np.concatenate(rows), np.concatenate(weights)


@given(plans(), st.integers(0, 1000))
def test_every_epoch_holds_every_example_once(plan, epoch):
    rows, weight = epoch_of(plan, epoch)
    assert sorted(rows[weight == 1].tolist()) == list(range(plan.num_examples))
    assert weight.sum() == plan.num_examples
    assert set(weight.tolist()) <= {0.0, 1.0}


@given(plans(), st.integers(0, 10))
def test_padding_repeats_the_start_of_the_epoch(plan, epoch):
    rows, weight = epoch_of(plan, epoch)
    np.testing.assert_array_equal(rows, np.resize(rows[weight == 1], len(rows)))


@given(plans(), st.data())
def test_processes_together_make_the_batch_of_one(plan, data):
    counts = [count for count in range(1, 9) if plan.batch_size % count == 0]
    count = data.draw(st.sampled_from(counts))
    step = data.draw(st.integers(0, 200))
    parts = [
        dataclasses.replace(plan, process_index=index, process_count=count).rows(step)
        for index in range(count)
    ]
    rows, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    np.testing.assert_array_equal(rows, plan.rows(step)[0])
    np.testing.assert_array_equal(weight, plan.rows(step)[1])


@given(plans(shuffle=False), st.integers(0, 10))
def test_without_shuffling_every_epoch_has_the_stored_order(plan, epoch):
    rows, weight = epoch_of(plan, epoch)
    assert rows[weight == 1].tolist() == list(range(plan.num_examples))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5))
def test_drop_remainder_gives_whole_batches_only(num_examples, batch_size, epoch):
    batch_size = min(batch_size, num_examples)
    plan = BatchPlan(num_examples, batch_size, drop_remainder=True)
    rows, weight = epoch_of(plan, epoch)
    assert len(rows) == num_examples // batch_size * batch_size
    assert len(set(rows.tolist())) == len(rows)
    assert weight.min() == 1


def test_seeds_and_epochs_have_different_orders():
    orders = {
        tuple(epoch_of(BatchPlan(50, 50, seed=seed), epoch)[0].tolist())
        for seed in (0, 1, 2, 2**32, 2**63, 2**64 - 1)
        for epoch in range(5)
    }
    assert len(orders) == 30


def test_order_never_changes():
    # Runs that were saved with an earlier release have to go on in the same order.
    plan = BatchPlan(num_examples=10, batch_size=10, seed=0)
    assert plan.rows(0)[0].tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]
    assert plan.rows(1)[0].tolist() == [5, 3, 7, 8, 2, 4, 1, 0, 6, 9]
    plan = BatchPlan(num_examples=10, batch_size=4, seed=2**64 - 1)
    assert np.concatenate([plan.rows(step)[0] for step in (3, 4, 5)]).tolist() == [
        3,
        8,
        7,
        2,
        5,
        4,
        9,
        0,
        6,
        1,
        3,
        8,
    ]


@pytest.mark.parametrize(
    ("num_examples", "batch_size", "drop_remainder", "steps"),
    [(10, 5, False, 2), (10, 4, False, 3), (10, 4, True, 2), (3, 8, False, 1), (1, 1, True, 1)],
)
def test_steps_per_epoch(num_examples, batch_size, drop_remainder, steps):
    plan = BatchPlan(num_examples, batch_size, drop_remainder=drop_remainder)
    assert plan.steps_per_epoch == steps
    assert plan.num_steps is None
    assert dataclasses.replace(plan, epochs=3).num_steps == 3 * steps
    assert dataclasses.replace(plan, epochs=0).num_steps == 0


def test_later_callers_cannot_change_the_order():
    plan = BatchPlan(num_examples=5, batch_size=5)
    before = plan.rows(0)[0].tolist()
    rows, weight = plan.rows(0)
    rows[:] = 0
    weight[:] = 7
    assert plan.rows(0)[0].tolist() == before
    assert plan.rows(0)[1].tolist() == [1] * 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_examples": 0}, "no examples"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"seed": -1}, r"seed must be in \[0, 2\*\*64\), got -1"),
        ({"seed": 2**64}, "seed must be in"),
        ({"epochs": -1}, "epochs must be at least 0, or None for ever, got -1"),
        ({"process_index": 2, "process_count": 2}, r"process_index must be in \[0, 2\), got 2"),
        ({"process_index": -1}, "process_index must be in"),
        ({"batch_size": 5, "process_count": 2}, "batch of 5 rows does not divide over 2 processes"),
        ({"batch_size": 9, "drop_remainder": True}, "batch_size is 9 and there are 8 examples"),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        BatchPlan(**{"num_examples": 8, "batch_size": 4, **options})
