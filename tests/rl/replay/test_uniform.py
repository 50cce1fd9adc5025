import collections

import jax
import numpy as np
import pytest
from recorded import all_places, as_rows, clocks, read_all, record, sample

from jaxvision import rl
from jaxvision.rl.replay.uniform import Places


def test_every_transition_is_drawn_as_often():
    replay = rl.UniformReplay(40)
    stream, memory, _ = record(clocks(), replay, 30)
    there = as_rows(read_all(stream, memory))
    rows, places = sample(replay, stream, memory, 20_000)
    drawn = collections.Counter(as_rows(rows))
    assert set(drawn) == set(there)
    counts = np.array(list(drawn.values()))
    expected = counts.sum() / len(counts)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < len(counts) + 4 * np.sqrt(2 * len(counts))
    assert (rows.weights > 0).mean() > 0.9
    gaps = jax.device_get(memory.gaps)
    assert not gaps[places.envs, places.slots][rows.weights > 0].any()


def test_updates_change_nothing():
    replay = rl.UniformReplay(40)
    stream, memory, _ = record(clocks(), replay, 3)
    places = Places(*all_places(stream))
    after = replay.update(stream, memory, places, jax.device_put(np.ones(48, np.float32)))
    assert jax.tree.leaves(after)[0] is jax.tree.leaves(memory)[0]


@pytest.mark.parametrize("replay", [rl.UniformReplay, rl.PrioritizedReplay])
def test_a_memory_for_nothing(replay):
    with pytest.raises(
        ValueError, match="capacity must be a whole number of transitions, at least 1, got 0"
    ):
        replay(0)


@pytest.mark.parametrize("replay", [rl.UniformReplay(1), rl.PrioritizedReplay(1)])
def test_the_smallest_memory(replay):
    stream, memory, log = record(clocks(num_envs=1), replay, 25)
    rows, _ = sample(replay, stream, memory, 50)
    assert (rows.weights > 0).any()
    rewards = {round(float(step.reward), 4) for step in log[0][-3:]}
    drawn = {round(float(reward), 4) for reward in rows.rewards[rows.weights > 0]}
    assert drawn <= rewards
