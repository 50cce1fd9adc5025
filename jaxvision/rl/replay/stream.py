"""Streams of observations, one ring for each environment, from which transitions are read.

A slot of a ring holds an observation and what was done there. What it led to is the observation in
the next slot, so that none is stored twice. After the last step of an episode that slot holds its
final observation, where nothing was done: a *gap*. The next episode begins in the slot after it, so
that no transition leads from one episode into another.

    slot           0     1     2     3     4     5
    observation    a0    a1    a2    b0    b1    b2        a2 is final; b2 is where b is now
    action         0     1     -     1     0     -
    gap            no    no    yes   no    no    no
"""

import dataclasses
from typing import Any

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxvision._reprs import brief

PyTree = Any


class Transitions(flax.struct.PyTreeNode):
    """What agents learn from, one row each.

    Attributes:
        observations: Where the step began.
        actions: What was done.
        rewards: The sum of the discounted rewards of n steps, or of the k < n after which time
            truncated the episode or the memory ends.
        discounts: gamma**n, or gamma**k; 0 where the episode terminated within these steps.
        next_observations: What these steps led to.
        weights: What the row counts; 0 where it is no transition.
    """

    observations: Any
    actions: Any
    rewards: Any
    discounts: Any
    next_observations: Any
    weights: Any

    def __repr__(self) -> str:
        return brief(self)


class Event(flax.struct.PyTreeNode):
    """One step of every environment, as it is written.

    Attributes:
        actions: What was done at the present observations.
        rewards: What it brought.
        terminated: Whether it ended the episode.
        truncated: Whether time did.
        final_observations: What it led to.
        next_observations: Where the environments are now.
        valid: False where an action was ignored.
    """

    actions: Any
    rewards: Any
    terminated: Any
    truncated: Any
    final_observations: Any
    next_observations: Any
    valid: Any


class StreamState(flax.struct.PyTreeNode):
    """The rings, and where they are.

    Attributes:
        observations: One frame a slot.
        actions: What was done there.
        rewards: What it brought.
        terminated: Whether it ended the episode.
        gaps: Slots from which no transition leads.
        positions: The slot of each environment's present observation.
        filled: How many slots before it hold what they should.
    """

    observations: Any
    actions: Any
    rewards: Any
    terminated: Any
    gaps: Any
    positions: Any
    filled: Any

    def __repr__(self) -> str:
        return brief(self)


@dataclasses.dataclass(frozen=True)
class Stream:
    """Writes and reads streams.

    Attributes:
        num_envs: How many rings.
        slots: Of each ring.
        num_frames: Of how many frames an observation consists; a slot holds the newest alone.
        n_step: Over how many steps a transition leads, if the episode lasts so long.
        discount: gamma.
    """

    num_envs: int
    slots: int
    num_frames: int
    n_step: int
    discount: float

    def init(self, observations: Array) -> StreamState:
        """Begins with the first observations.

        Args:
            observations: One of each environment.

        Returns:
            Rings that hold nothing else.
        """
        frames = self._newest(observations)
        shape = (self.num_envs, self.slots)
        first = jnp.zeros((*shape, *frames.shape[1:]), frames.dtype).at[:, 0].set(frames)
        zeros = jnp.zeros(self.num_envs, jnp.int32)
        return StreamState(
            observations=first,
            actions=jnp.zeros(shape, jnp.int32),
            rewards=jnp.zeros(shape, jnp.float32),
            terminated=jnp.zeros(shape, bool),
            gaps=jnp.zeros(shape, bool),
            positions=zeros,
            filled=zeros,
        )

    def add(self, state: StreamState, event: Event) -> StreamState:
        """Writes what was done at the present observations, and what it led to.

        Args:
            state: The rings.
            event: What happened.

        Returns:
            The rings with one slot more, and with two where an episode ended.
        """
        over = event.terminated | event.truncated
        envs = jnp.arange(self.num_envs)
        here = state.positions
        after = (here + 1) % self.slots
        present = (after + over) % self.slots
        # The second write puts the same where no episode ended.
        observations = (
            state.observations.at[envs, after]
            .set(self._newest(event.final_observations))
            .at[envs, present]
            .set(self._newest(event.next_observations))
        )
        gaps = state.gaps.at[envs, here].set(~event.valid)
        gaps = gaps.at[envs, after].set(over).at[envs, present].set(jnp.zeros_like(over))
        return state.replace(
            observations=observations,
            actions=state.actions.at[envs, here].set(event.actions.astype(jnp.int32)),
            rewards=state.rewards.at[envs, here].set(event.rewards.astype(jnp.float32)),
            terminated=state.terminated.at[envs, here].set(event.terminated),
            gaps=gaps,
            positions=present,
            filled=jnp.minimum(state.filled + 1 + over, self.slots - 1),
        )

    def oldest(self, state: StreamState) -> Int[Array, "envs"]:
        """How far back transitions begin, in slots: the frames before the oldest are overwritten.

        Args:
            state: The rings.

        Returns:
            The greatest age of a transition.
        """
        full = state.filled == self.slots - 1
        return state.filled - jnp.where(full, self.num_frames - 1, 0)

    def read(
        self, state: StreamState, envs: Int[Array, "batch"], slots: Int[Array, "batch"]
    ) -> Transitions:
        """Reads the transitions that begin in some slots.

        Args:
            state: The rings.
            envs: Of which environment.
            slots: Of its ring.

        Returns:
            The transitions, with weight 0 where a slot is a gap, or not in use.
        """
        age = (state.positions[envs] - slots) % self.slots
        usable = (age >= 1) & (age <= self.oldest(state)[envs]) & ~state.gaps[envs, slots]
        total = jnp.zeros(envs.shape, jnp.float32)
        factor = jnp.ones(envs.shape, jnp.float32)
        last, going = slots, jnp.ones(envs.shape, bool)
        for ahead in range(self.n_step):
            at = (slots + ahead) % self.slots
            total = total + jnp.where(going, factor * state.rewards[envs, at], 0)
            factor = jnp.where(
                going,
                jnp.where(state.terminated[envs, at], 0, factor * self.discount),
                factor,
            )
            last = jnp.where(going, at, last)
            following = (at + 1) % self.slots
            # Beyond lies the present, or what ended the episode.
            going &= ~state.gaps[envs, following] & (following != state.positions[envs])
        return Transitions(
            observations=self._look(state, envs, slots),
            actions=state.actions[envs, slots],
            rewards=total,
            discounts=factor,
            next_observations=self._look(state, envs, (last + 1) % self.slots),
            weights=usable.astype(jnp.float32),
        )

    def _newest(self, observations: Array) -> Array:
        """The frames that are new in observations."""
        if self.num_frames == 1:
            return observations
        return observations[..., -(observations.shape[-1] // self.num_frames) :]

    def _look(self, state: StreamState, envs: Array, slots: Array) -> Array:
        """Observations as the agent saw them: the last frames, of this episode alone."""
        frames = [state.observations[envs, slots]]
        for _ in range(self.num_frames - 1):
            before = (slots - 1) % self.slots
            age = (state.positions[envs] - before) % self.slots
            same = ~state.gaps[envs, before] & (age >= 1) & (age <= state.filled[envs])
            slots = jnp.where(same, before, slots)
            frames.insert(0, state.observations[envs, slots])
        return frames[0] if len(frames) == 1 else jnp.concatenate(frames, axis=-1)
