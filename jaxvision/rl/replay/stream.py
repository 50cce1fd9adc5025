"""Streams of observations: a ring buffer for each environment, from which transitions are read.

A slot holds an observation and the action taken there. The observation that followed is in the next
slot, so none is stored twice. After the last step of an episode the next slot holds its final
observation, where no action is taken: a *gap*. The next episode starts in the slot after the gap,
so no transition leads from one episode into another.

    slot           0     1     2     3     4     5
    observation    a0    a1    a2    b0    b1    b2        a2 is final, b2 is the present
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
    """Transitions to learn from, one per row.

    Attributes:
        observations: Observations at the first step.
        actions: Actions taken there.
        rewards: Discounted sum of the rewards of n steps, or of the k < n steps until the episode
            or the memory ends.
        discounts: gamma**n, or gamma**k; 0 where the episode terminated within these steps.
        next_observations: Observations after these steps.
        weights: Weight of each row in the loss; 0 where the row is not a transition.
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
    """One step of every environment, for `Stream.add`.

    The actions led to `final_observations`; after resets the environments are at
    `next_observations`. `valid` is False where an environment ignored its action.
    """

    actions: Any
    rewards: Any
    terminated: Any
    truncated: Any
    final_observations: Any
    next_observations: Any
    valid: Any


class StreamState(flax.struct.PyTreeNode):
    """The ring buffers, with one frame per slot.

    No transition starts at a slot in `gaps`. `positions` are the slots of the present observations,
    and `filled` is how many slots before them are valid.
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
    """Writes and reads ring buffers of `slots` slots for each environment.

    An observation consists of `num_frames` stacked frames, of which a slot holds the newest. A
    transition spans `n_step` steps, or fewer at the end of an episode.
    """

    num_envs: int
    slots: int
    num_frames: int
    n_step: int
    discount: float

    def init(self, observations: Array) -> StreamState:
        """Creates ring buffers that hold only the first observations."""
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
        """Writes one step: into one slot, or into two where an episode ended."""
        over = event.terminated | event.truncated
        envs = jnp.arange(self.num_envs)
        here = state.positions
        after = (here + 1) % self.slots
        present = (after + over) % self.slots
        # Where no episode ended, both writes put the same observation into the same slot.
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
        """The age, in slots, of each environment's oldest transition with all of its frames."""
        full = state.filled == self.slots - 1
        return state.filled - jnp.where(full, self.num_frames - 1, 0)

    def read(
        self, state: StreamState, envs: Int[Array, "batch"], slots: Int[Array, "batch"]
    ) -> Transitions:
        """Reads the transitions that start in given slots; gaps and unused slots get weight 0."""
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
            # A transition stops at the end of the episode and at the present observation.
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
        """The newest frame of stacked observations."""
        if self.num_frames == 1:
            return observations
        return observations[..., -(observations.shape[-1] // self.num_frames) :]

    def _look(self, state: StreamState, envs: Array, slots: Array) -> Array:
        """Restores stacked observations: their last frames, from the same episode only."""
        frames = [state.observations[envs, slots]]
        for _ in range(self.num_frames - 1):
            before = (slots - 1) % self.slots
            age = (state.positions[envs] - before) % self.slots
            same = ~state.gaps[envs, before] & (age >= 1) & (age <= state.filled[envs])
            slots = jnp.where(same, before, slots)
            frames.insert(0, state.observations[envs, slots])
        return frames[0] if len(frames) == 1 else jnp.concatenate(frames, axis=-1)
