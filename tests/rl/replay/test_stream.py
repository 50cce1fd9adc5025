import agents
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from recorded import as_row, as_rows, clocks, expected, frames, read_all, record

from jaxvision import rl
from jaxvision.rl.replay.stream import Event


def close(ours, theirs):
    """Rows that are equal but for rounding."""
    assert len(ours) == len(theirs)
    for one, other in zip(sorted(ours), sorted(theirs), strict=True):
        assert one[1] == other[1]
        for left, right in zip(one[:1] + one[2:], other[:1] + other[2:], strict=True):
            np.testing.assert_allclose(left, right, atol=2e-4)


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("num_steps", [1, 7, 100])
def test_every_transition_is_what_happened(n_step, num_steps):
    """All slots, before and after the ring is full, against a log in plain Python."""
    stream, memory, log = record(clocks(), rl.UniformReplay(60), num_steps, n_step=n_step)
    rows = as_rows(read_all(stream, memory))
    there = []
    for env, steps in enumerate(log):
        # A ring holds as many of the last steps as fit, with a slot for each end of an episode.
        room, first = int(memory.filled[env]), len(steps)
        while first and room >= 1 + steps[first - 1].over:
            first, room = first - 1, room - 1 - steps[first - 1].over
        there += [as_row(*expected(steps, at, n_step=n_step)) for at in range(first, len(steps))]
    close(rows, there)


@pytest.mark.parametrize(
    ("replay", "n_step"), [(rl.UniformReplay(40), 1), (rl.PrioritizedReplay(40), 3)]
)
@pytest.mark.parametrize("num_steps", [5, 80])
def test_stacked_frames_are_those_that_the_agent_saw(num_steps, n_step, replay):
    options = {"num_frames": 3, "n_step": n_step}
    stream, memory, log = record(frames(3), replay, num_steps, **options)
    memory = getattr(memory, "stream", memory)
    assert memory.observations.dtype == jnp.uint8
    assert memory.observations.shape == (2, stream.slots, 1, 1, 1)  # no frame twice
    rows = as_rows(read_all(stream, memory))
    seen = [
        as_row(*expected(steps, at, n_step=n_step)) for steps in log for at in range(len(steps))
    ]
    assert len(rows) > min(num_steps, 20)
    for start, action, total, factor, final in rows:
        alike = [row[2:4] for row in seen if (row[0], row[1], row[4]) == (start, action, final)]
        assert np.isclose(alike, (total, factor), atol=2e-4).all(axis=1).any()


def test_no_transition_leads_into_another_episode():
    stream, memory, _ = record(clocks(limit=2), rl.UniformReplay(90), 60, n_step=5)
    rows = read_all(stream, memory)
    counts = rows.weights > 0
    same = rows.observations[:, 0] == rows.next_observations[:, 0]  # the episode's number
    assert counts.sum() > 40
    assert same[counts].all()


def test_a_truncated_step_bootstraps_and_a_terminated_one_does_not():
    stream, memory, log = record(clocks(), rl.UniformReplay(60), 80)
    rows = read_all(stream, memory)
    ends = {int(step.terminated): set() for step in log[0]}
    for row in as_rows(rows):
        ends[int(row[1] == 1)].add(row[3])  # action 1 terminates
    assert ends == {0: {0.9}, 1: {0.0}}


def test_rows_that_are_no_step_are_gaps():
    stream, memory, _ = record(clocks(), rl.UniformReplay(60), 3)
    final = np.full((3, 2), 7.0, np.float32)
    no, ones = np.zeros(3, bool), np.ones(3, np.float32)
    step = Event(np.zeros(3, np.int32), ones, no, no, final, final, np.array([True, False, True]))

    @quick.jit
    def weights(memory, step):
        added = stream.add(memory, step)
        return stream.read(added, jnp.arange(3), memory.positions).weights

    assert weights(memory, step).tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("name", quick.only(["Catch", "CartPole-v1"], "Catch"))
def test_a_full_memory_of_short_episodes_is_what_its_rows_need(name):
    """Within 5%: an observation and a step for every transition, and the ends of the episodes."""
    envs = rl.vectorize(name, 10)
    options = {"learning_starts": 6_000, "exploration": 1.0}
    agent = agents.make("dqn", envs, replay=rl.UniformReplay(2_000), **options)
    memory = jax.device_get(agent.init(jax.random.key(0)).replay)
    rows = int(read_all(agent._stream, memory).weights.sum())
    ends = int(memory.gaps.sum())
    held = sum(leaf.nbytes for leaf in jax.tree.leaves(memory))
    space = envs.observation_space
    seen = np.prod(space.shape) * jnp.dtype(space.dtype).itemsize
    action, reward, flags = 4, 4, 2
    assert ends > rows / 50
    assert rows + ends >= 2_000
    assert held <= 1.05 * (rows * (seen + action + reward + flags) + ends * seen)


def test_the_memory_is_what_its_rows_need():
    """Within 5%, for frames of a size that one would use."""
    capacity, size, num_envs = 10_000, 84, 8
    envs = rl.FrameStack(rl.vectorize("Pong", num_envs, size=size), 4)
    stream = rl.UniformReplay(capacity).stream(envs, num_frames=4, n_step=3, discount=0.99)
    shapes = jax.eval_shape(stream.init, jnp.zeros((num_envs, size, size, 4), jnp.uint8))
    held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    frame, action, reward, flags = size * size, 4, 4, 2
    assert capacity * (frame + action + reward + flags) <= held
    assert held <= 1.05 * capacity * (frame + action + reward + flags)
