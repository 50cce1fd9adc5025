"""The base class of agents: a step consists of many updates in one program."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jaxvision.checks import check_count, check_not_negative, check_share

PyTree = Any
Metrics = dict[str, tuple[Array, Array]]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Learner:
    """Base class of agents: a step `(state, None) -> (state, metrics)` of several updates.

    A subclass defines `_init`, `_update` and `units_per_update`.

    Attributes:
        discount: Discount factor gamma.
        updates_per_step: Number of updates in a step. More updates mean less overhead between
            programs, but a longer wait until a log or a checkpoint can be written.
    """

    discount: float = 0.99
    updates_per_step: int = 10

    unit: ClassVar[str] = "environment steps"
    """The unit of experience: steps of all environments together, or episodes."""

    def __post_init__(self) -> None:
        self._check_shares("discount")
        self._check_counts("updates_per_step")

    @property
    def units_per_update(self) -> int:
        """Units of experience in an update."""
        raise NotImplementedError

    @property
    def units_per_step(self) -> int:
        """Units of experience in a step."""
        return self.updates_per_step * self.units_per_update

    @property
    def units_before(self) -> int:
        """Units of experience that `init` uses."""
        return 0

    def init(self, key: Key[Array, ""]) -> PyTree:
        """Draws the parameters, and starts the environments.

        Args:
            key: Random key of the parameters and of everything that is drawn later.

        Returns:
            The state, with `params`, `step` and `key` among its fields.
        """
        return jax.jit(self._init)(key)

    def __call__(self, state: PyTree, batch: None = None) -> tuple[PyTree, Metrics]:
        """Acts and learns; returns the new state and metrics."""
        del batch

        def body(state: PyTree, _: None) -> tuple[PyTree, Metrics]:
            return self._update(state)

        state, metrics = jax.lax.scan(body, state, None, self.updates_per_step)
        return state, jax.tree.map(lambda leaf: leaf.sum(0), metrics)

    def describe(self) -> dict[str, Any]:
        """Describes the agent for the record of a run: task, kind of agent, and numbers."""
        numbers = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), bool | int | float | str)
        }
        return {"task": "agent", "kind": type(self).__name__, "numbers": numbers}

    def _init(self, key: Array) -> PyTree:
        raise NotImplementedError

    def _update(self, state: PyTree) -> tuple[PyTree, Metrics]:
        raise NotImplementedError

    def _check_counts(self, *names: str) -> None:
        for name in names:
            check_count(name, getattr(self, name))

    def _check_shares(self, *names: str, schedules: bool = False) -> None:
        for name in names:
            check_share(name, getattr(self, name), schedule=schedules)

    def _check_weights(self, *names: str) -> None:
        for name in names:
            check_not_negative(name, getattr(self, name))


def one(value: Any) -> tuple[Array, Array]:
    """A number as a metric with the count 1.

    >>> one(3.0)[1].item()
    1.0
    """
    return jnp.asarray(value, jnp.float32), jnp.ones(())
