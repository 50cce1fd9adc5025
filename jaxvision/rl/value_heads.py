"""Value heads: a Q-network predicts the expected return of an action, or the return's distribution.

A head converts the network's outputs, `(batch, actions, outputs)`, to action values, and defines
the loss. Heads work with double Q-learning (`selector`), dueling networks, n-step transitions and
any replay.
"""

import dataclasses
import math
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxvision.losses import reinforcement
from jaxvision.rl.replay import Transitions

Outputs = Float[Array, "batch actions outputs"]
Values = Float[Array, "batch actions"]
Rows = Float[Array, "batch"]


@runtime_checkable
class ValueHead(Protocol):
    """Interface of value heads."""

    @property
    def outputs(self) -> int:
        """Number of network outputs for each action."""

    def values(self, outputs: Outputs) -> Values:
        """The expected return of every action."""

    def loss(
        self, outputs: Outputs, rows: Transitions, next_outputs: Outputs, selector: Values | None
    ) -> tuple[Rows, Rows]:
        """Computes the loss of transitions.

        Args:
            outputs: Outputs of the network in training for `rows.observations`.
            rows: Transitions.
            next_outputs: Outputs of the target network for `rows.next_observations`.
            selector: Action values that choose the next action; None uses those of the target
                network.

        Returns:
            The loss of each row, and its priority: how much there is to learn from it.
        """


@dataclasses.dataclass(frozen=True)
class Expected:
    """Predicts the expected return, by Q-learning.

    Attributes:
        huber: Error above which the loss is linear instead of quadratic; None keeps it quadratic.

    >>> Expected().values(jnp.ones((2, 3, 1))).shape
    (2, 3)
    """

    huber: float | None = 1.0

    def __post_init__(self) -> None:
        if self.huber is not None and not self.huber > 0:
            raise ValueError(f"huber must be positive, or None, got {self.huber}")

    @property
    def outputs(self) -> int:
        """1, the value."""
        return 1

    def values(self, outputs: Outputs) -> Values:
        """The outputs themselves."""
        return outputs[..., 0]

    def loss(
        self, outputs: Outputs, rows: Transitions, next_outputs: Outputs, selector: Values | None
    ) -> tuple[Rows, Rows]:
        """Half the squared error, or the Huber loss; the priority is the absolute error."""
        errors = reinforcement.q_learning_error(
            outputs[..., 0],
            rows.actions,
            rows.rewards,
            rows.discounts,
            next_outputs[..., 0],
            selector=selector,
        )
        if self.huber is None:
            return jnp.square(errors) / 2, jnp.abs(errors)
        return optax.losses.huber_loss(errors, delta=self.huber), jnp.abs(errors)


@dataclasses.dataclass(frozen=True)
class Categorical:
    """Predicts the distribution of the return over fixed points (C51).

    Attributes:
        low: Smallest return.
        high: Largest return.
        atoms: Number of evenly spaced points from `low` to `high`.

    >>> print(Categorical(-1.0, 1.0, atoms=3).values(jnp.zeros((1, 2, 3))))
    [[0. 0.]]
    """

    low: float
    high: float
    atoms: int = 51

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf or self.atoms < 2:
            raise ValueError(
                "returns must have a finite range and 2 atoms at least, got "
                f"low={self.low}, high={self.high}, atoms={self.atoms}"
            )

    @property
    def outputs(self) -> int:
        """One logit per point."""
        return self.atoms

    @property
    def support(self) -> Float[Array, "atoms"]:
        """The points."""
        return jnp.linspace(self.low, self.high, self.atoms)

    def values(self, outputs: Outputs) -> Values:
        """The means of the distributions."""
        outputs = outputs.astype(jnp.result_type(outputs, jnp.float32))
        return jnp.sum(jax.nn.softmax(outputs, axis=-1) * self.support, axis=-1)

    def loss(
        self, outputs: Outputs, rows: Transitions, next_outputs: Outputs, selector: Values | None
    ) -> tuple[Rows, Rows]:
        """The cross-entropy to the target distribution.

        The priority is the Kullback-Leibler divergence from it, as in Rainbow.
        """
        seen = (rows.rewards, rows.discounts, next_outputs, self.support)
        losses = reinforcement.categorical_q_learning(
            outputs, rows.actions, *seen, selector=selector
        )
        targets = reinforcement.categorical_targets(*seen, selector=selector)
        least = -jax.scipy.special.xlogy(targets, targets).sum(-1)
        return losses, jnp.maximum(losses - least, 0)


@dataclasses.dataclass(frozen=True)
class Quantile:
    """Predicts quantiles of the return (QR-DQN).

    Attributes:
        quantiles: Number of quantiles.
        kappa: Error above which the loss is linear instead of quadratic.

    >>> print(Quantile(2).values(jnp.array([[[1.0, 3.0]]])))
    [[2.]]
    """

    quantiles: int = 51
    kappa: float = 1.0

    def __post_init__(self) -> None:
        if self.quantiles < 1 or not self.kappa >= 0:
            raise ValueError(
                "there must be 1 quantile at least, and kappa must not be negative, got "
                f"quantiles={self.quantiles}, kappa={self.kappa}"
            )

    @property
    def outputs(self) -> int:
        """One number per quantile."""
        return self.quantiles

    def values(self, outputs: Outputs) -> Values:
        """The means of the quantiles."""
        return outputs.mean(-1)

    def loss(
        self, outputs: Outputs, rows: Transitions, next_outputs: Outputs, selector: Values | None
    ) -> tuple[Rows, Rows]:
        """The quantile regression loss, which is the priority too.

        It is positive even for correct predictions if the quantiles of the return are far apart.
        """
        losses = reinforcement.quantile_q_learning(
            outputs,
            rows.actions,
            rows.rewards,
            rows.discounts,
            next_outputs,
            selector=selector,
            kappa=self.kappa,
        )
        return losses, losses
