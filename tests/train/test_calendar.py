"""When a run logs, evaluates and saves, and how many steps it takes at once."""

import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
import small_net

from jaxvision import models, train
from jaxvision.train.calendar import FUSED_STEPS, Calendar, steps_to_fuse

PERIODS = st.integers(1, 40)
CALENDARS = st.builds(
    Calendar,
    num_steps=st.integers(1, 300),
    log_every=PERIODS,
    eval_every=PERIODS,
    checkpoint_every=PERIODS,
)


def stops(calendar: Calendar, fused: int, start: int = 0) -> list[int]:
    found = [start]
    while found[-1] < calendar.num_steps:
        found.append(calendar.next_stop(found[-1], fused))
    return found


@hypothesis.given(CALENDARS, st.integers(1, 20))
def test_no_stop_is_missed(calendar: Calendar, fused: int) -> None:
    """Steps go up to the last one, past no multiple of a period, at most `fused` at once."""
    found = stops(calendar, fused)
    assert found[-1] == calendar.num_steps
    assert all(0 < after - before <= fused for before, after in itertools.pairwise(found))
    for period in (calendar.log_every, calendar.eval_every, calendar.checkpoint_every):
        assert set(range(0, calendar.num_steps, period)) <= set(found)


@hypothesis.given(CALENDARS, st.integers(1, 20), st.data())
def test_a_run_that_goes_on_stops_where_the_unbroken_one_does(calendar, fused: int, data) -> None:
    whole = stops(calendar, fused)
    start = data.draw(st.sampled_from(whole))
    assert stops(calendar, fused, start) == whole[whole.index(start) :]
    # From any other step, it is back in the same sequence after one stop.
    other = data.draw(st.integers(0, calendar.num_steps - 1))
    assert set(stops(calendar, fused, other)[1:]) <= set(whole)


@hypothesis.given(CALENDARS, st.integers(1, 20), st.integers(0, 1000))
def test_more_steps_change_no_earlier_stop(calendar: Calendar, fused: int, step: int) -> None:
    endless = Calendar(None, calendar.log_every, calendar.eval_every, calendar.checkpoint_every)
    assert calendar.next_stop(step, fused) == min(
        endless.next_stop(step, fused), calendar.num_steps
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
    assert Calendar.plan(num_steps, **options) == Calendar(num_steps, *expected)


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
        Calendar.plan(num_steps, **options)


def fused_for(name: str, *, size: int = 8, strategy: str = "jit", **options) -> int:
    """How many steps are fused for a model on a CPU."""
    axis_name = "data" if strategy == "pmap" else None
    model = models.create_model(name, num_classes=10, **options)
    optimizer = train.create_optimizer("sgd", 0.1)
    batch = {"image": np.zeros((16, size, size, 1), np.float32), "label": np.zeros(16, int)}
    state = jax.eval_shape(
        lambda key: train.init_state(key, model, optimizer, batch), jax.random.key(0)
    )
    loss_fn = train.classification.make_loss_fn(model)
    step = train.make_train_step(loss_fn, optimizer, axis_name=axis_name)
    return steps_to_fuse(train.parallelize(step, strategy=strategy), state, batch)


def test_short_steps_without_convolutions_are_fused() -> None:
    assert fused_for("linear_classifier") == FUSED_STEPS
    assert fused_for("mlp", hidden_sizes=(16,)) == FUSED_STEPS


def test_steps_that_fusing_would_slow_down_are_not() -> None:
    assert fused_for("lenet5", size=32) == 1  # convolutions
    assert fused_for("linear_classifier", size=700) == 1  # large
    assert fused_for("linear_classifier", strategy="pmap") == 1
    state, step = small_net.make()
    assert steps_to_fuse(train.parallelize(step), state, None) == 1  # nothing to stack
