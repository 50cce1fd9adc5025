"""Replay that draws all transitions with the same probability."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvision.checks import check_count
from jaxvision.rl.replay.stream import Event, Stream, StreamState, Transitions

PyTree = Any
_TRIES = 2


class Places(flax.struct.PyTreeNode):
    """Environments and slots of sampled transitions."""

    envs: Any
    slots: Any


@dataclasses.dataclass(frozen=True)
class Replay:
    """Base class of replay memories.

    Attributes:
        capacity: Number of transitions to hold, of all environments together. The end of an episode
            takes the place of one transition.
    """

    capacity: int

    def __post_init__(self) -> None:
        check_count("capacity", self.capacity, of="transitions")

    def stream(self, envs: Any, *, num_frames: int, n_step: int, discount: float) -> Stream:
        """Creates the stream that writes and reads the ring buffers of the memory."""
        # Added: the present, the end of an episode before it, and frames before the oldest.
        slots = -(-self.capacity // envs.num_envs) + num_frames + 1
        return Stream(envs.num_envs, slots, num_frames, n_step, discount)


@dataclasses.dataclass(frozen=True)
class UniformReplay(Replay):
    """The last transitions of every environment, drawn uniformly.

    At the end of an episode the next observation is the final one, and only if the episode
    *terminated* is its value ignored: a truncated episode bootstraps from it.

    >>> from jaxvision import rl
    >>> envs = rl.vectorize("CartPole-v1", 2)
    >>> stream = UniformReplay(1000).stream(envs, num_frames=1, n_step=1, discount=0.99)
    >>> stream.slots
    502
    """

    def init(self, stream: Stream, observations: Array) -> StreamState:
        """Creates a memory without transitions, given the first observations."""
        return stream.init(observations)

    def add(self, stream: Stream, state: StreamState, event: Event) -> StreamState:
        """Writes a step of all environments."""
        return stream.add(state, event)

    def sample(
        self, stream: Stream, state: StreamState, key: Key[Array, ""], batch_size: int, step: Any
    ) -> tuple[Transitions, Places]:
        """Draws transitions with replacement; returns them and their places.

        A draw that hits the end of an episode is repeated once. If it hits an end again, the row
        has weight 0: one row in about 400 for episodes of 20 steps.
        """
        del step
        oldest = stream.oldest(state)
        # The remainder is practically uniform: 2**32 is far above the number of places.
        words = jax.random.bits(key, (_TRIES, batch_size), jnp.uint32)
        places = words % (stream.num_envs * jnp.max(oldest)).astype(jnp.uint32)
        envs = (places % stream.num_envs).astype(jnp.int32)
        ages = (places // stream.num_envs).astype(jnp.int32) + 1
        slots = (state.positions[envs] - ages) % stream.slots
        good = ~state.gaps[envs, slots] & (ages <= oldest[envs])
        first = jnp.argmax(good, axis=0)
        picked = Places(*(jnp.take_along_axis(a, first[None], axis=0)[0] for a in (envs, slots)))
        return stream.read(state, picked.envs, picked.slots), picked

    def update(
        self, stream: Stream, state: StreamState, places: Places, errors: Float[Array, "batch"]
    ) -> StreamState:
        """Does nothing, since all transitions are equally probable."""
        del stream, places, errors
        return state
