"""Replay that draws transitions in proportion to their last error."""

import dataclasses
from typing import Any

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvision.checks import check_share
from jaxvision.rl.exploration import Rate, rate_at
from jaxvision.rl.replay.priorities import Priorities
from jaxvision.rl.replay.stream import Event, Stream, Transitions
from jaxvision.rl.replay.uniform import Places, Replay


class PrioritizedState(flax.struct.PyTreeNode):
    """The memory, the priority of each of its slots, and the greatest priority so far."""

    stream: Any
    priorities: Any
    greatest: Any


@dataclasses.dataclass(frozen=True)
class PrioritizedReplay(Replay):
    """The last transitions of every environment, drawn in proportion to their last error.

    Attributes:
        alpha: Exponent of the errors: 0 draws uniformly, 1 in proportion to the error.
        beta: Exponent of the weights that correct for nonuniform drawing, from 0 to 1; or a
            schedule of it over environment steps, which should end at 1.

    Raises:
        ValueError: The capacity is not positive, or alpha or beta is not in [0, 1].

    Reference: Schaul et al., Prioritized experience replay, ICLR 2016, arXiv:1511.05952.

    >>> PrioritizedReplay(100_000, beta=lambda step: 0.4 + 0.6 * step / 1e6).alpha
    0.6
    """

    alpha: float = 0.6
    beta: Rate = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("alpha", self.alpha)
        check_share("beta", self.beta, schedule=True)

    def init(self, stream: Stream, observations: Array) -> PrioritizedState:
        """Creates a memory without transitions, given the first observations."""
        return PrioritizedState(
            stream=stream.init(observations),
            priorities=Priorities.zeros(stream.num_envs * stream.slots),
            greatest=jnp.ones(()),
        )

    def add(self, stream: Stream, state: PrioritizedState, event: Event) -> PrioritizedState:
        """Writes a step of all environments, with the greatest priority so far."""
        before = state.stream.positions
        added = stream.add(state.stream, event)
        envs = jnp.arange(stream.num_envs)
        valid = ~added.gaps[envs, before]
        # No transition starts at an episode's end, at the present, or where old frames are lost.
        barren = [before + 1, *(added.positions + ahead for ahead in range(stream.num_frames))]
        slots = jnp.stack([before, *barren]) % stream.slots
        values = jnp.zeros(slots.shape).at[0].set(jnp.where(valid, state.greatest, 0))
        priorities = state.priorities.set(
            (envs * stream.slots + slots).reshape(-1), values.reshape(-1)
        )
        return state.replace(stream=added, priorities=priorities)

    def sample(
        self,
        stream: Stream,
        state: PrioritizedState,
        key: Key[Array, ""],
        batch_size: int,
        step: Any,
    ) -> tuple[Transitions, Places]:
        """Draws transitions, weighted to correct for their probabilities, and their places.

        The schedule of `beta` is evaluated at `step`, in environment steps.
        """
        indices, shares = state.priorities.sample(key, batch_size)
        places = Places(indices // stream.slots, indices % stream.slots)
        transitions = stream.read(state.stream, places.envs, places.slots)
        beta = rate_at(self.beta, step)
        usable = (shares > 0) & (transitions.weights > 0)
        weights = jnp.where(usable, jnp.where(usable, shares, 1) ** -beta, 0)
        weights = weights / jnp.maximum(weights.max(), jnp.finfo(weights.dtype).tiny)
        return transitions.replace(weights=weights), places

    def update(
        self,
        stream: Stream,
        state: PrioritizedState,
        places: Places,
        errors: Float[Array, "batch"],
    ) -> PrioritizedState:
        """Sets the priorities of transitions according to their new errors."""
        indices = places.envs * stream.slots + places.slots
        drawn = state.priorities.leaves.reshape(-1)[indices] > 0
        values = jnp.where(drawn, (errors + 1e-6) ** self.alpha, 0)
        return state.replace(
            priorities=state.priorities.set(indices, values),
            greatest=jnp.maximum(state.greatest, values.max()),
        )
