"""When a run logs, evaluates and saves."""

import dataclasses
import itertools

import hypothesis
import hypothesis.strategies as st
import pytest

from jaxvision.train._intervals import Intervals

PERIODS = st.integers(1, 40)
CALENDARS = st.tuples(st.integers(1, 300), PERIODS, PERIODS, PERIODS)


def stops(intervals: Intervals, fused: int, start: int = 0) -> list[int]:
    found = [start]
    while found[-1] < intervals.num_steps:
        found.append(intervals.next_stop(found[-1], fused))
    return found


@hypothesis.given(CALENDARS, st.integers(1, 20), st.lists(PERIODS, max_size=2))
def test_no_stop_is_missed(calendar, fused: int, others: list[int]) -> None:
    """Steps go up to the last one, past no multiple of a period, at most `fused` at once."""
    intervals = Intervals(*calendar, others=tuple(others))
    found = stops(intervals, fused)
    assert found[-1] == intervals.num_steps
    assert all(0 < after - before <= fused for before, after in itertools.pairwise(found))
    every = (intervals.log_every, intervals.eval_every, intervals.checkpoint_every)
    for period in (*every, *intervals.others):
        assert set(range(0, intervals.num_steps, period)) <= set(found)


@hypothesis.given(CALENDARS, st.integers(1, 20), st.data())
def test_a_run_that_goes_on_stops_where_the_unbroken_one_does(calendar, fused: int, data) -> None:
    intervals = Intervals(*calendar)
    whole = stops(intervals, fused)
    start = data.draw(st.sampled_from(whole))
    assert stops(intervals, fused, start) == whole[whole.index(start) :]
    # From any other step, it is back in the same sequence after one stop.
    other = data.draw(st.integers(0, intervals.num_steps - 1))
    assert set(stops(intervals, fused, other)[1:]) <= set(whole)


@hypothesis.given(CALENDARS, st.integers(1, 20), st.integers(0, 1000))
def test_more_steps_change_no_earlier_stop(calendar, fused: int, step: int) -> None:
    intervals = Intervals(*calendar)
    endless = dataclasses.replace(intervals, num_steps=None)
    assert intervals.next_stop(step, fused) == min(
        endless.next_stop(step, fused), intervals.num_steps
    )


@pytest.mark.parametrize(
    ("num_steps", "given", "expected"),
    [
        (2000, {}, (20, 200, 200)),
        (7, {}, (1, 1, 1)),
        (None, {}, (50, 500, 500)),
        (0, {}, (50, 500, 500)),
        (2000, {"eval_every": 30}, (20, 30, 30)),
        (2000, {"checkpoint_every": 30}, (20, 200, 30)),
        (2000, {"log_every": 1, "eval_every": 2, "checkpoint_every": 3}, (1, 2, 3)),
    ],
)
def test_plan_fills_in_what_is_open(num_steps, given: dict, expected: tuple) -> None:
    options = {"log_every": None, "eval_every": None, "checkpoint_every": None, **given}
    assert Intervals.plan(num_steps, **options) == Intervals(num_steps, *expected)


@pytest.mark.parametrize(
    ("num_steps", "given", "message"),
    [
        (-1, {}, "num_steps must not be negative, got -1"),
        (10, {"log_every": 0}, "log_every must be at least 1 step, got 0"),
        (10, {"eval_every": -5}, "eval_every must be at least 1 step, got -5"),
        (10, {"checkpoint_every": 0}, "checkpoint_every must be at least 1 step, got 0"),
    ],
)
def test_periods_out_of_range(num_steps: int, given: dict, message: str) -> None:
    options = {"log_every": None, "eval_every": None, "checkpoint_every": None, **given}
    with pytest.raises(ValueError, match=message):
        Intervals.plan(num_steps, **options)
