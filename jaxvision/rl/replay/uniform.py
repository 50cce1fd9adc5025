"""Replay that draws every transition as often as any other."""

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
    """Where sampled transitions came from."""

    envs: Any
    slots: Any


@dataclasses.dataclass(frozen=True)
class Replay:
    """What memories share: so much room, cut into rings, one for each environment.

    Attributes:
        capacity: How many transitions to hold, of all environments together. The ends of episodes
            take a place each.
    """

    capacity: int

    def __post_init__(self) -> None:
        check_count("capacity", self.capacity, of="transitions")

    def stream(self, envs: Any, *, num_frames: int, n_step: int, discount: float) -> Stream:
        """What writes and reads the rings.

        Args:
            envs: The environments whose transitions are held.
            num_frames: Of how many frames an observation consists.
            n_step: Over how many steps a transition leads.
            discount: gamma.

        Returns:
            The stream.
        """
        # Besides: the present, the end of an episode before it, and frames before the oldest.
        slots = -(-self.capacity // envs.num_envs) + num_frames + 1
        return Stream(envs.num_envs, slots, num_frames, n_step, discount)


@dataclasses.dataclass(frozen=True)
class UniformReplay(Replay):
    """The last transitions of every environment, drawn uniformly.

    A transition holds its next observation, which is the final one where an episode ended, and
    whether it *terminated*: one that was only truncated bootstraps.

    >>> from jaxvision import rl
    >>> envs = rl.vectorize("CartPole-v1", 2)
    >>> stream = UniformReplay(1000).stream(envs, num_frames=1, n_step=1, discount=0.99)
    >>> stream.slots
    502
    """

    def init(self, stream: Stream, observations: Array) -> StreamState:
        """Begins with the first observations.

        Args:
            stream: What writes.
            observations: One of each environment.

        Returns:
            A memory without transitions.
        """
        return stream.init(observations)

    def add(self, stream: Stream, state: StreamState, event: Event) -> StreamState:
        """Writes a step of all environments.

        Args:
            stream: What writes.
            state: The memory.
            event: What happened.

        Returns:
            The memory with it.
        """
        return stream.add(state, event)

    def sample(
        self, stream: Stream, state: StreamState, key: Key[Array, ""], batch_size: int, step: Any
    ) -> tuple[Transitions, Places]:
        """Draws transitions, with replacement.

        Args:
            stream: What reads.
            state: The memory.
            key: For the draw.
            batch_size: How many.
            step: Not used.

        Returns:
            The transitions, and where they were. A row has weight 0 if its draw met the end of an
            episode twice, which takes a place too: one in hundreds where episodes have 20 steps.
        """
        del step
        oldest = stream.oldest(state)
        # One word is as good as uniform: 2**32 is many times the number of places.
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
        """Does nothing: no transition is drawn more often than another.

        Args:
            stream: Not used.
            state: The memory.
            places: Not used.
            errors: Not used.

        Returns:
            The memory.
        """
        del stream, places, errors
        return state
