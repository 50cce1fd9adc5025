"""Rules by which a linear layer shares the relevance of its outputs among its inputs."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxvision.explain.rules.layers import Layer, LayerValues

Array = jax.Array
Pull = Callable[[Array], tuple[Array]]
"""A function from a layer's outputs back to its inputs."""
Term = tuple[Array, Array]
"""An input and a kernel; terms are added up."""


class Shares(NamedTuple):
    """How the relevance of a layer was shared: that of its inputs, and what was absorbed."""

    x: Array
    biases: Array
    stabilizers: Array


@runtime_checkable
class Rule(Protocol):
    """A rule for linear layers."""

    @property
    def stabilizer(self) -> float:
        """What is added to the absolute value of divisors."""
        ...

    def share(self, layer: LayerValues, relevance: Array) -> Shares:
        """Shares the relevance of a layer's outputs."""
        ...


def ratio(relevance: Array, total: Array, stabilizer: float) -> tuple[Array, Array]:
    """Divides relevance by totals moved away from 0; also the sum that this absorbs.

    Without a stabilizer, relevance of totals that are exactly 0 is absorbed.
    """
    away = jnp.where(total < 0, -stabilizer, stabilizer).astype(total.dtype)
    moved = total + away
    divided = jnp.where(moved == 0, 0, relevance / jnp.where(moved == 0, 1, moved))
    return divided, jnp.sum(jnp.where(moved == 0, relevance, divided * away))


def _share(
    layer: LayerValues,
    relevance: Array,
    terms: Sequence[Term],
    bias: Array | float,
    stabilizer: float,
    total: Array | None = None,
) -> Shares:
    """Shares relevance in proportion to x * kernel, summed over terms, and to the bias."""
    outputs, pulls = _apply(layer, terms)
    divided, absorbed = ratio(relevance, outputs + bias if total is None else total, stabilizer)
    shares = sum(x * pull(divided)[0] for (x, _), pull in zip(terms, pulls, strict=True))
    return Shares(jnp.asarray(shares), jnp.sum(bias * divided), absorbed)


def _apply(layer: LayerValues, terms: Sequence[Term]) -> tuple[Array, list[Pull]]:
    """The sum of terms, and for each the function from outputs back to inputs."""
    found = [jax.vjp(lambda y, k=kernel: layer.apply(y, k), x) for x, kernel in terms]
    return jnp.asarray(sum(y for y, _ in found)), [pull for _, pull in found]


def _with_sizes(layer: LayerValues) -> tuple[Array, Pull, Pull]:
    """The sums of absolute summands, and the pulls of the layer and of its absolute numbers."""
    _, (pull,) = _apply(layer, [(layer.x, layer.kernel)])
    size, (pull_size,) = _apply(layer, [(jnp.abs(layer.x), jnp.abs(layer.kernel))])
    return size, pull, pull_size


def _signs(values: Array) -> tuple[Array, Array]:
    return jnp.maximum(values, 0), jnp.minimum(values, 0)


@dataclass(frozen=True)
class Epsilon:
    """LRP-epsilon; with `Epsilon(0.0)`, LRP-0.

    Each input gets the share of its summand in the output; divisors are moved away from 0 by
    `stabilizer`.

    Reference: Bach et al., On pixel-wise explanations for non-linear classifier decisions by
    layer-wise relevance propagation, PLOS ONE 10(7), 2015, equations 56 and 58.

    >>> Epsilon(0.25).stabilizer
    0.25
    """

    stabilizer: float = 1e-6

    def share(self, layer: LayerValues, relevance: Array) -> Shares:
        """Shares the relevance of a layer's outputs."""
        terms = [(layer.x, layer.kernel)]
        return _share(layer, relevance, terms, layer.bias, self.stabilizer, layer.z)


@dataclass(frozen=True)
class Gamma:
    """LRP-gamma: summands of the output's sign count 1 + gamma times.

    Where inputs may be negative, it is the generalized rule.

    Reference: Montavon et al., Layer-wise relevance propagation: an overview, in Explainable AI,
    Springer 2019; Andeol et al., Learning domain invariant representations by joint Wasserstein
    distance minimization, 2021, arXiv:2106.04923.
    """

    gamma: float = 0.25
    stabilizer: float = 1e-6

    def share(self, layer: LayerValues, relevance: Array) -> Shares:
        """Shares the relevance of a layer's outputs.

        With p, the sum of positive summands, the divisors are z + gamma p for positive outputs and
        z + gamma (z - p) for negative ones. Half of the sum of all summands and of their absolute
        values is p, so only the layer with absolute numbers comes on top of `Epsilon`. In both
        divisors the summands of the output's sign outweigh the others, so nothing cancels.
        """
        size, pull, pull_size = _with_sizes(layer)
        positive = (size + layer.z - layer.bias) / 2 + jnp.maximum(layer.bias, 0)
        for_positive = layer.z + self.gamma * positive + self.stabilizer
        for_negative = (1 + self.gamma) * layer.z - self.gamma * positive - self.stabilizer
        above = relevance / jnp.where(layer.z > 0, for_positive, jnp.inf)
        below = relevance / jnp.where(layer.z < 0, for_negative, -jnp.inf)
        plain, favored = above + (1 + self.gamma) * below, self.gamma * (above - below)
        shares = layer.x * pull(plain + favored / 2)[0]
        shares = shares + jnp.abs(layer.x) * pull_size(favored / 2)[0]
        absorbed = jnp.sum(layer.bias * plain + jnp.maximum(layer.bias, 0) * favored)
        lost = self.stabilizer * (above - below) + jnp.where(layer.z == 0, relevance, 0)
        return Shares(shares, absorbed, jnp.sum(lost))


@dataclass(frozen=True)
class AlphaBeta:
    """LRP-alpha-beta: positive summands share alpha times the relevance, negative ones -beta times.

    Reference: Bach et al., PLOS ONE 10(7), 2015, equation 60.

    Raises:
        ValueError: `alpha` - `beta` is not 1, or `beta` is negative.
    """

    alpha: float = 2.0
    beta: float = 1.0
    stabilizer: float = 1e-6

    def __post_init__(self) -> None:
        if self.beta < 0 or abs(self.alpha - self.beta - 1) > 1e-6:
            raise ValueError(
                "alpha - beta must be 1 and beta 0 or more, "
                f"got alpha={self.alpha} and beta={self.beta}"
            )

    def share(self, layer: LayerValues, relevance: Array) -> Shares:
        """Shares the relevance of a layer's outputs.

        Half of the sum of all summands and of their absolute values is the sum of the positive
        ones, so that one layer with absolute numbers gives both parts. A part that the rounding of
        these sums may hide is not shared among the inputs; its relevance is absorbed.
        """
        if self.beta == 0:
            return ZPlus(self.stabilizer).share(layer, relevance)
        size, pull, pull_size = _with_sizes(layer)
        total, biases = layer.z - layer.bias, _signs(layer.bias)
        least = float(jnp.finfo(size.dtype).eps) ** 0.5 * (size + jnp.abs(layer.bias))
        parts = ((total + size) / 2, (total - size) / 2)
        (above, *lost_above), (below, *lost_below) = (
            _divide(factor * relevance, part, bias, least, self.stabilizer)
            for factor, part, bias in zip((self.alpha, -self.beta), parts, biases, strict=True)
        )
        shares = layer.x * pull(above + below)[0] + jnp.abs(layer.x) * pull_size(above - below)[0]
        return Shares(shares / 2, lost_above[0] + lost_below[0], lost_above[1] + lost_below[1])


def _divide(
    relevance: Array, part: Array, bias: Array, least: Array, stabilizer: float
) -> tuple[Array, Array, Array]:
    """Divides relevance by the sum of a part and a bias; also what the bias and the rest absorb.

    Parts of at most `least` in absolute value count as rounding, and get no relevance.
    """
    kept = jnp.where(jnp.abs(part) > least, part, 0)
    divided, _ = ratio(relevance, kept + bias, stabilizer)
    shared = jnp.where(kept == 0, 0, divided)
    of_bias = bias * divided
    return shared, jnp.sum(of_bias), jnp.sum(relevance - of_bias - kept * shared)


@dataclass(frozen=True)
class ZPlus:
    """LRP-z+: only positive summands share the relevance; `AlphaBeta(1, 0)`.

    Reference: Montavon et al., Explaining nonlinear classification decisions with deep Taylor
    decomposition, Pattern Recognition 65, 2017, arXiv:1512.02479.
    """

    stabilizer: float = 1e-6

    def share(self, layer: LayerValues, relevance: Array) -> Shares:
        """Shares the relevance of a layer's outputs."""
        positive, negative = _signs(layer.kernel)
        terms = [(layer.x, positive)]
        if not layer.is_nonnegative:
            above, below = _signs(layer.x)
            terms = [(above, positive), (below, negative)]
        return _share(layer, relevance, terms, jnp.maximum(layer.bias, 0), self.stabilizer)


@dataclass(frozen=True)
class Flat:
    """Every input of an output gets the same share.

    Reference: Lapuschkin et al., Unmasking Clever Hans predictors and assessing what machines
    really learn, Nature Communications 10, 2019.
    """

    stabilizer: float = 1e-6

    def share(self, layer: LayerValues, relevance: Array) -> Shares:
        """Shares the relevance of a layer's outputs."""
        terms = [(jnp.ones_like(layer.x), jnp.ones_like(layer.kernel))]
        return _share(layer, relevance, terms, 0.0, self.stabilizer)


@dataclass(frozen=True)
class WSquare:
    """Inputs of an output get shares in proportion to the squares of their weights.

    Reference: Montavon et al., Pattern Recognition 65, 2017, arXiv:1512.02479, equation 9.
    """

    stabilizer: float = 1e-6

    def share(self, layer: LayerValues, relevance: Array) -> Shares:
        """Shares the relevance of a layer's outputs."""
        terms = [(jnp.ones_like(layer.x), layer.kernel**2)]
        return _share(layer, relevance, terms, layer.bias**2, self.stabilizer)


@dataclass(frozen=True)
class ZBox:
    """For the first layer: shares by how far pixels are from their lowest and highest values.

    Attributes:
        low, high: These values, numbers or arrays that broadcast to the layer's input.

    Reference: Montavon et al., Pattern Recognition 65, 2017, arXiv:1512.02479, equation 11.
    """

    low: ArrayLike
    high: ArrayLike
    stabilizer: float = 1e-6

    def share(self, layer: LayerValues, relevance: Array) -> Shares:
        """Shares the relevance of a layer's outputs."""
        positive, negative = _signs(layer.kernel)
        low, high = (
            jnp.broadcast_to(jnp.asarray(each, layer.x.dtype), layer.x.shape)
            for each in (self.low, self.high)
        )
        terms = [(layer.x, layer.kernel), (-low, positive), (-high, negative)]
        return _share(layer, relevance, terms, 0.0, self.stabilizer)


@dataclass(frozen=True)
class Composite:
    """A rule for each layer: the first that applies of `named`, `at`, `first` and the kinds.

    Attributes:
        otherwise: The rule of layers that no other is for; its stabilizer also serves sums.
        named: Rules by a regular expression that is searched for in the layer's name.
        at: Rules by depth, the layer's number in the order of execution; -1 is the last.
        first: The rule of layers that no other layer precedes.
        convolutions: The rule of convolutions.
        dense: The rule of dense layers.

    >>> rule = Composite(Epsilon(), convolutions=ZPlus(), first=Flat(), at={-1: Epsilon(0.0)})
    >>> rule.first
    Flat(stabilizer=1e-06)
    """

    otherwise: Rule
    named: Mapping[str, Rule] = field(default_factory=dict)
    at: Mapping[int, Rule] = field(default_factory=dict)
    first: Rule | None = None
    convolutions: Rule | None = None
    dense: Rule | None = None

    @property
    def stabilizer(self) -> float:
        """What is added to the divisors of sums."""
        return self.otherwise.stabilizer


def rules_of(layers: Sequence[Layer], rule: Rule | Composite) -> list[Rule]:
    """Chooses the rule of each layer.

    Raises:
        ValueError: A name or a depth of a composite is that of no layer.
    """
    if not isinstance(rule, Composite):
        return [rule] * len(layers)
    names = [layer.name for layer in layers]
    for pattern in rule.named:
        if not any(re.search(pattern, name) for name in names):
            raise ValueError(f"no layer has a name with {pattern!r}; the names are {names}")
    for depth in rule.at:
        if not -len(layers) <= depth < len(layers):
            raise ValueError(f"there is no layer {depth}: the function has {len(layers)} layers")
    return [_rule_of(layer, rule, len(layers)) for layer in layers]


def _rule_of(layer: Layer, rule: Composite, count: int) -> Rule:
    for pattern, named in rule.named.items():
        if re.search(pattern, layer.name):
            return named
    for depth in (layer.depth, layer.depth - count):
        if depth in rule.at:
            return rule.at[depth]
    by_kind = rule.convolutions if layer.kind == "convolution" else rule.dense
    return (rule.first if layer.is_first else None) or by_kind or rule.otherwise
