"""Metrics of the steps since the last line of the log."""

import json
import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.train._accumulator import MetricAccumulator, NonFiniteLossError

NUMBERS = st.floats(-1e6, 1e6, width=32)
CAPACITY = 4


def fill(window: MetricAccumulator, values: np.ndarray, cuts: list[int], start: int = 0) -> None:
    """Gives steps to a window in programs of these lengths, zeros up to what they were made for."""
    for count in cuts:
        part = values[start : start + count]
        padded = np.concatenate([part, np.zeros((CAPACITY - count, 2))]).astype(np.float32)
        metrics = {"loss": (jnp.asarray(padded[:, 0]), jnp.asarray(padded[:, 1]))}
        window.add(start, count, metrics)
        start += count


@st.composite
def cut_runs(draw):
    """Values of some steps, two ways to cut them into programs, and a step to be killed at."""
    cuts = [draw(st.lists(st.integers(1, CAPACITY), min_size=1, max_size=6)) for _ in range(2)]
    steps = min(map(sum, cuts))
    values = draw(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=steps, max_size=steps))
    trimmed = []
    for way in cuts:
        ends = np.minimum(np.cumsum(way), steps)
        trimmed.append([int(n) for n in np.diff(ends, prepend=0) if n])
    return np.array(values, np.float32).reshape(-1, 2), trimmed


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(cut_runs(), st.integers(0, 6))
def test_sums_do_not_depend_on_how_steps_are_cut(run, killed: int) -> None:
    """Bit for bit, also when the sums go through a checkpoint in between."""
    values, (one, other) = run
    whole = MetricAccumulator()
    fill(whole, values, one)
    before, killed = MetricAccumulator(), min(killed, len(other))
    fill(before, values, other[:killed])
    after = MetricAccumulator(json.loads(json.dumps(before.sums())))
    fill(after, values, other[killed:], start=sum(other[:killed]))
    assert whole.sums() == after.sums()


def test_flush_gives_means_and_starts_again() -> None:
    window = MetricAccumulator({"loss": [6.0, 2.0]})
    window.add(0, 1, {"loss": (jnp.float32(3), jnp.float32(1)), "none": (0.0, 0.0)})
    means = window.flush()
    assert means["loss"] == 3
    assert "none" not in means
    assert window.sums() == {}
    assert window.flush() == {}


def test_sums_are_copies_in_double_precision() -> None:
    window = MetricAccumulator()
    for step in range(3):
        window.add(step, 1, {"loss": (jnp.float32(0.1), jnp.bfloat16(1))})
    sums = window.sums()
    assert sums == {"loss": [3 * float(np.float32(0.1)), 3.0]}
    sums["loss"][0] = 7.0
    assert window.sums()["loss"][0] != 7.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_step_of_a_loss_that_is_not_finite_is_named(value: float, at: int) -> None:
    """Within a program of several steps too; what lies beyond those that count does not."""
    totals = np.ones(CAPACITY, np.float32)
    totals[at] = value
    window = MetricAccumulator()
    window.add(10, 3, {"loss": (totals, np.ones(CAPACITY))})
    with pytest.raises(NonFiniteLossError, match=f"^loss is {value} at step {10 + at + 1}$"):
        window.sums()


def test_what_was_not_run_does_not_count() -> None:
    totals = np.array([1, 2, np.nan, np.nan])
    window = MetricAccumulator()
    window.add(0, 2, {"loss": (totals, np.ones(4))})
    assert window.sums() == {"loss": [3.0, 2.0]}


def test_the_first_loss_to_go_is_the_one_named() -> None:
    first = np.array([1, np.nan, np.nan, np.nan])
    then = np.array([1, 1, np.nan, np.nan])
    window = MetricAccumulator()
    window.add(0, 4, {"a_loss": (then, np.ones(4)), "b_loss": (first, np.ones(4))})
    with pytest.raises(NonFiniteLossError, match=r"^b_loss is nan at step 2$"):
        window.sums()


@pytest.mark.parametrize("name", ["loss", "discriminator_loss", "loss/kl"])
def test_every_loss_is_watched(name: str) -> None:
    window = MetricAccumulator()
    window.add(4, 1, {name: (jnp.float32(jnp.nan), jnp.float32(1))})
    with pytest.raises(NonFiniteLossError, match=f"{name} is nan at step 5"):
        window.flush()


def test_other_metrics_may_be_anything() -> None:
    window = MetricAccumulator()
    window.add(0, 1, {"psnr": (jnp.float32(jnp.inf), 1.0), "auc": (jnp.float32(jnp.nan), 1.0)})
    means = window.flush()
    assert means["psnr"] == math.inf
    assert math.isnan(means["auc"])


def test_an_error_comes_two_programs_late_at_most() -> None:
    """Two programs are left alone, so that the devices always have one to go on with."""
    window = MetricAccumulator()
    good = {"loss": (jnp.float32(1), jnp.float32(1))}
    window.add(0, 1, {"loss": (jnp.float32(jnp.nan), jnp.float32(1))})
    window.add(1, 1, good)
    with pytest.raises(NonFiniteLossError, match="at step 1"):
        window.add(2, 1, good)


def test_adding_does_not_wait() -> None:
    class Running:
        """Metrics of a program that may not be looked at yet."""

        def items(self):
            raise AssertionError("looked at")

    window = MetricAccumulator()
    window.add(0, 1, Running())
    window.add(1, 1, Running())


def test_metrics_that_are_no_pairs() -> None:
    window = MetricAccumulator()
    window.add(0, 1, {"loss": jax.numpy.float32(1)})
    with pytest.raises(TypeError, match="metric 'loss' must be a pair of sums"):
        window.sums()
