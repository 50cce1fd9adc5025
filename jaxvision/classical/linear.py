"""Linear, logistic and softmax regression by gradient descent."""

import functools
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer

from jaxvision._reprs import brief
from jaxvision.checks import check_count, check_not_negative

Points = Float[Array | np.ndarray, "points features"]
Outputs = Float[Array | np.ndarray, "points outputs"]
Weights = Float[Array | np.ndarray, " points"]
Factor = int | float | Float[Array, ""]
"""A number that may be traced, so that `jax.vmap` can compare options."""


class LinearModel(flax.struct.PyTreeNode):
    """A linear function of points, and the losses of its training.

    Attributes:
        kernel: Weights of the features.
        bias: Bias of each output.
        losses: Loss before each step.
    """

    kernel: Float[Array, "features outputs"]
    bias: Float[Array, " outputs"]
    losses: Float[Array, " steps"]

    def __repr__(self) -> str:
        return brief(self)

    def __call__(self, points: Points) -> Outputs:
        """Computes the values of points, or the logits of their classes."""
        return points @ self.kernel + self.bias


def linear_regression(
    points: Points,
    targets: Outputs,
    *,
    l2: Factor = 0.0,
    weight: Weights | None = None,
    num_steps: int = 1000,
    momentum: int | float = 0.9,
) -> LinearModel:
    """Fits a linear function to values: half the mean squared error, by gradient descent.

    Args:
        points: Points, one per row.
        targets: Values of the points.
        l2: Factor of half the squared kernel, for standardized features.
        weight: Weight of each point; None weighs all equally.
        num_steps: Number of steps of gradient descent, each with all points.
        momentum: Nesterov momentum; 0 is plain gradient descent.

    Raises:
        ValueError: There are no points, the number of steps is not positive, or a factor is
            negative.

    >>> points = jnp.array([[0.0], [1.0], [2.0]])
    >>> found = linear_regression(points, 3 * points + 1)
    >>> print(f"{found.kernel[0, 0]:.3f} {found.bias[0]:.3f}")
    3.000 1.000
    """
    return _fit(_squared_error, 1.0, points, targets, l2, weight, num_steps, momentum)


def logistic_regression(
    points: Points,
    labels: Integer[Array | np.ndarray, " points"],
    *,
    l2: Factor = 0.0,
    weight: Weights | None = None,
    num_steps: int = 1000,
    momentum: int | float = 0.9,
) -> LinearModel:
    """Fits a linear function to two classes: the log-odds of class 1.

    Args:
        points: Points, one per row.
        labels: Class of each point, 0 or 1.
        l2: See `linear_regression`.
        weight: See `linear_regression`.
        num_steps: See `linear_regression`.
        momentum: See `linear_regression`.

    Returns:
        The function, with one output; it is positive where class 1 is more probable.

    Raises:
        ValueError: See `linear_regression`.

    >>> points = jnp.array([[-2.0], [-1.0], [1.0], [3.0]])
    >>> found = logistic_regression(points, jnp.array([0, 0, 1, 1]), l2=0.1)
    >>> print(found(points)[:, 0] > 0)
    [False False  True  True]
    """
    targets = labels[:, None].astype(points.dtype)
    return _fit(_binary_cross_entropy, 0.25, points, targets, l2, weight, num_steps, momentum)


def softmax_regression(
    points: Points,
    labels: Integer[Array | np.ndarray, " points"],
    *,
    num_classes: int,
    l2: Factor = 0.0,
    weight: Weights | None = None,
    num_steps: int = 1000,
    momentum: int | float = 0.9,
) -> LinearModel:
    """Fits linear functions to classes, their logits: cross-entropy by gradient descent.

    Args:
        points: Points, one per row.
        labels: Class of each point, counted from 0.
        num_classes: Number of classes.
        l2: See `linear_regression`.
        weight: See `linear_regression`.
        num_steps: See `linear_regression`.
        momentum: See `linear_regression`.

    Returns:
        The function, with an output for each class.

    Raises:
        ValueError: `num_classes` is below 2; see also `linear_regression`.

    >>> points = jnp.array([[0.0], [1.0], [5.0], [6.0], [11.0], [12.0]])
    >>> found = softmax_regression(points, jnp.array([0, 0, 1, 1, 2, 2]), num_classes=3)
    >>> print(found(points).argmax(axis=1))
    [0 0 1 1 2 2]
    """
    check_count("num_classes", num_classes, least=2)
    targets = jax.nn.one_hot(labels, num_classes, dtype=points.dtype)
    return _fit(_cross_entropy, 0.5, points, targets, l2, weight, num_steps, momentum)


Loss = Callable[[Outputs, Outputs], Float[Array, " points"]]


def _squared_error(outputs: Outputs, targets: Outputs) -> Float[Array, " points"]:
    return jnp.square(outputs - targets).sum(axis=-1) / 2


def _binary_cross_entropy(outputs: Outputs, targets: Outputs) -> Float[Array, " points"]:
    return optax.sigmoid_binary_cross_entropy(outputs, targets).sum(axis=-1)


def _cross_entropy(outputs: Outputs, targets: Outputs) -> Float[Array, " points"]:
    return optax.softmax_cross_entropy(outputs, targets)


def _fit(
    loss: Loss,
    curvature: float,
    points: Points,
    targets: Outputs,
    l2: Factor,
    weight: Weights | None,
    num_steps: int,
    momentum: int | float,
) -> LinearModel:
    check_count("num_steps", num_steps)
    if not isinstance(l2, jax.Array):
        check_not_negative("l2", l2)
    check_not_negative("momentum", momentum)
    if not len(points):
        raise ValueError(f"there must be points, got the shape {points.shape}")
    weight = jnp.ones(len(points)) if weight is None else weight
    return _descend(loss, curvature, points, targets, l2, weight, num_steps, momentum)


@functools.partial(jax.jit, static_argnames=("loss", "num_steps"))
def _descend(
    loss: Loss,
    curvature: Array,
    points: Points,
    targets: Outputs,
    l2: Array,
    weight: Weights,
    num_steps: int,
    momentum: Array,
) -> LinearModel:
    """Gradient descent on standardized features, with the largest step size that is safe.

    The step size is 1 over the largest curvature of the loss in any direction: `curvature` (of the
    loss in its outputs) times the largest eigenvalue of the features' second moments, plus `l2`.
    """
    share = (weight / weight.sum())[:, None]
    points = jnp.asarray(points, jnp.promote_types(points.dtype, jnp.float32))
    mean = (share * points).sum(axis=0)
    deviation = jnp.sqrt((share * jnp.square(points - mean)).sum(axis=0))
    # The deviation of a constant feature is only rounding error.
    varies = deviation > 10 * jnp.finfo(points.dtype).eps * jnp.abs(mean)
    deviation = jnp.where(varies, deviation, 1)
    features = jnp.where(varies, (points - mean) / deviation, 0)
    moments = jnp.linalg.eigvalsh((share * features).T @ features)
    rate = 1 / (curvature * jnp.maximum(moments[-1], 1) + l2)

    def cost(params: dict[str, Array]) -> Array:
        outputs = features @ params["kernel"] + params["bias"]
        mean_loss = (share[:, 0] * loss(outputs, targets)).sum()
        return mean_loss + l2 * jnp.square(params["kernel"]).sum() / 2

    optimizer = optax.sgd(rate, momentum=momentum, nesterov=True)

    def step(carry: tuple, _: None) -> tuple[tuple, Array]:
        params, state = carry
        value, gradient = jax.value_and_grad(cost)(params)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), value

    params = {
        "kernel": jnp.zeros((points.shape[1], targets.shape[1]), points.dtype),
        "bias": jnp.zeros(targets.shape[1], points.dtype),
    }
    (found, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), length=num_steps)
    kernel = found["kernel"] / deviation[:, None]
    return LinearModel(kernel, found["bias"] - mean @ kernel, losses)
