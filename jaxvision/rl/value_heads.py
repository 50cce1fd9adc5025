"""What a Q-network says of an action: its expected return, or how the return is distributed.

Each head reads the network's outputs, `(batch, actions, outputs)`, as the values of actions, and
has a loss of its own. It composes with double Q-learning (the `selector`), dueling networks, n-step
transitions and any replay.
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
    """How a network's outputs are read."""

    @property
    def outputs(self) -> int:
        """How many numbers there are for each action."""

    def values(self, outputs: Outputs) -> Values:
        """The expected return of every action.

        Args:
            outputs: Of the network.

        Returns:
            The values.
        """

    def loss(
        self, outputs: Outputs, rows: Transitions, next_outputs: Outputs, selector: Values | None
    ) -> tuple[Rows, Rows]:
        """The loss of transitions.

        Args:
            outputs: Of the network that learns, where the transitions begin.
            rows: The transitions.
            next_outputs: Of the target network, where they lead.
            selector: The values by which the next action is chosen; None takes those of the target.

        Returns:
            One loss per row, and how much there was to learn from it: its priority.
        """


@dataclasses.dataclass(frozen=True)
class Expected:
    """The expected return, by Q-learning.

    Attributes:
        huber: Errors above this count by their size, not by their square; None squares all.

    >>> Expected().values(jnp.ones((2, 3, 1))).shape
    (2, 3)
    """

    huber: float | None = 1.0

    def __post_init__(self) -> None:
        if self.huber is not None and not self.huber > 0:
            raise ValueError(f"huber must be positive, or None, got {self.huber}")

    @property
    def outputs(self) -> int:
        """The value."""
        return 1

    def values(self, outputs: Outputs) -> Values:
        """The outputs themselves.

        Args:
            outputs: Of the network.

        Returns:
            The values.
        """
        return outputs[..., 0]

    def loss(
        self, outputs: Outputs, rows: Transitions, next_outputs: Outputs, selector: Values | None
    ) -> tuple[Rows, Rows]:
        """Half the squared error, or Huber's function of it.

        Args:
            outputs: Of the network that learns, where the transitions begin.
            rows: The transitions.
            next_outputs: Of the target network, where they lead.
            selector: The values by which the next action is chosen; None takes those of the target.

        Returns:
            One loss per row, and the size of the error.
        """
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
    """The distribution of the return over fixed points (C51).

    Attributes:
        low: The least return.
        high: The greatest.
        atoms: How many points.

    Reference: Bellemare, Dabney and Munos, A distributional perspective on reinforcement learning,
    ICML 2017, arXiv:1707.06887.

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
        """The means of the distributions.

        Args:
            outputs: Of the network.

        Returns:
            The values.
        """
        outputs = outputs.astype(jnp.result_type(outputs, jnp.float32))
        return jnp.sum(jax.nn.softmax(outputs, axis=-1) * self.support, axis=-1)

    def loss(
        self, outputs: Outputs, rows: Transitions, next_outputs: Outputs, selector: Values | None
    ) -> tuple[Rows, Rows]:
        """The cross-entropy to the distribution of what was seen.

        Args:
            outputs: Of the network that learns, where the transitions begin.
            rows: The transitions.
            next_outputs: Of the target network, where they lead.
            selector: The values by which the next action is chosen; None takes those of the target.

        Returns:
            One loss per row, and what it is above that of the best prediction: the Kullback-Leibler
            divergence, as in Rainbow.
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
    """Quantiles of the return (QR-DQN).

    Attributes:
        quantiles: How many.
        kappa: Errors up to this are squared.

    Reference: Dabney, Rowland, Bellemare and Munos, Distributional reinforcement learning with
    quantile regression, AAAI 2018, arXiv:1710.10044.

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
        """The means of the quantiles.

        Args:
            outputs: Of the network.

        Returns:
            The values.
        """
        return outputs.mean(-1)

    def loss(
        self, outputs: Outputs, rows: Transitions, next_outputs: Outputs, selector: Values | None
    ) -> tuple[Rows, Rows]:
        """The quantile regression loss towards the quantiles of what was seen.

        Args:
            outputs: Of the network that learns, where the transitions begin.
            rows: The transitions.
            next_outputs: Of the target network, where they lead.
            selector: The values by which the next action is chosen; None takes those of the target.

        Returns:
            One loss per row, and the same as priority: quantiles that are far apart have some of
            it even where they are right.
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
