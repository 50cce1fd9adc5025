"""Explanations by the gradient along straight paths from a baseline to the images."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from jaxvision.explain.attribution import Attribution, certified, relative_error
from jaxvision.explain.estimate import Estimate, mean_of_samples
from jaxvision.explain.gradients import gradient_of
from jaxvision.explain.inputs import (
    Function,
    Images,
    baseline_like,
    checked,
    copies_of,
    in_chunks,
    per_row,
    subject,
    total,
    wide,
)
from jaxvision.explain.target import Target


def integrated_gradients(
    f: Function,
    images: Images,
    target: Target = None,
    *,
    baseline: ArrayLike | None = None,
    steps: int = 32,
    max_steps: int = 1024,
    tolerance: float = 0.01,
    batch_size: int = 64,
) -> Attribution:
    """Integrates the gradient of the score along the straight path from a baseline to the images.

    The integral is a midpoint rule. Rows that miss completeness by more than the tolerance are
    integrated again with twice as many steps, until they keep it or `max_steps` is reached.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images, or arrays of any shape with a batch axis first.
        target: What is explained; see `Target`.
        baseline: The images without the signal: a number, an array, or None for zeros.
        steps: Number of steps to begin with.
        max_steps: The most steps of a row.
        tolerance: The largest relative error of completeness.
        batch_size: The most images that are evaluated at once.

    Returns:
        Contributions that add up to the score of the images minus that of the baseline.

    Raises:
        TypeError: The images are not floating point.
        ValueError: The target does not exist, the baseline has a wrong shape, or `max_steps` is
            smaller than `steps`.

    Reference: Sundararajan, Taly & Yan, ICML 2017, arXiv:1703.01365.

    >>> f = lambda x: jax.nn.relu(x[:, :1] - 1 - x[:, 1:])
    >>> integrated_gradients(f, jnp.array([[3.0, 1.0]])).map.tolist()
    [[1.5, -0.5]]
    """
    if not 1 <= steps <= max_steps:
        raise ValueError(f"steps must be from 1 to max_steps = {max_steps}, got {steps}")
    given = subject(f, images, target)
    x = given.images.astype(wide(given.images.dtype))
    start = baseline_like(x, baseline)
    promised = given.value - given.score(start.astype(given.images.dtype))
    copies = min(steps, copies_of(x, batch_size))

    def scores(points: Array) -> Array:
        """The sum of all scores; all copies are one batch, which runs faster than several."""
        outputs = f(points.reshape(-1, *x.shape[1:]).astype(given.images.dtype))
        apart = jax.tree.map(lambda each: each.reshape(copies, len(x), *each.shape[1:]), outputs)
        return jax.vmap(given.of_outputs)(apart).sum()

    def integral(count: Array | int) -> Array:
        def add(chunk: Array | int, so_far: Array) -> Array:
            positions = (chunk * copies + jnp.arange(copies) + 0.5) / count
            across = positions.astype(x.dtype).reshape(copies, *(1,) * x.ndim)
            gradients = jax.grad(scores)(start + across * (x - start))
            return so_far + jnp.where(across < 1, gradients, 0).sum(axis=0)

        chunks, zeros = -(-count // copies), jnp.zeros_like(x)
        # Outside of loops, XLA uses all cores of a CPU for every operation.
        alone = isinstance(count, int) and chunks == 1
        gradients = add(0, zeros) if alone else jax.lax.fori_loop(0, chunks, add, zeros)
        return (x - start) * gradients / count

    def is_missed(state: tuple[Array, Array, Array]) -> Array:
        count, _, error = state
        return (count <= max_steps) & (error > tolerance).any()

    def refine(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, maps, error = state
        finer = integral(count)
        missed = error > tolerance
        finer = jnp.where(per_row(missed, finer), finer, maps)
        return 2 * count, finer, jnp.where(missed, relative_error(total(finer), promised), error)

    if 2 * steps > max_steps:
        maps = integral(steps)
        error = relative_error(total(maps), promised)
    else:
        first = (jnp.asarray(steps), jnp.zeros_like(x), jnp.full_like(promised, jnp.inf))
        _, maps, error = jax.lax.while_loop(is_missed, refine, first)
    axiom = "completeness: the map adds up to f(x) - f(baseline)"
    return certified(Attribution(maps, error, axiom, tolerance))


def expected_gradients(
    f: Function,
    images: Images,
    references: Float[Array, "count *shape"] | Float[np.ndarray, "count *shape"],
    target: Target = None,
    *,
    key: PRNGKeyArray,
    samples: int = 128,
    tolerance: float = 0.1,
    batch_size: int = 64,
) -> Estimate:
    """Averages integrated gradients over baselines that are drawn from reference images.

    Every sample draws a reference and a position on the path from it to the images. The positions
    are stratified, and all references are used about equally often.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images, or arrays of any shape with a batch axis first.
        references: Images without the signal, such as a part of the training data.
        target: What is explained; see `Target`.
        key: A PRNG key.
        samples: Number of samples, at least 2.
        tolerance: The largest relative error of completeness, which decreases with more samples.
        batch_size: The most images that are evaluated at once.

    Returns:
        Contributions that, in expectation, add up to the score of the images minus the mean score
        of the references. The standard error is that of independent samples.

    Raises:
        TypeError: The images or the references are not floating point.
        ValueError: The target does not exist, there are too few samples or no references, or the
            references have another shape than the images.

    Reference: Erion, Janizek, Sturmfels, Lundberg & Lee, 2019, arXiv:1906.10670.

    >>> references = jnp.array([[0.0, 0.0], [2.0, 0.0]])
    >>> f = lambda x: x @ jnp.array([[1.0], [-2.0]])
    >>> expected_gradients(f, jnp.full((1, 2), 3.0), references, key=jax.random.key(0)).map
    Array([[ 2., -6.]], dtype=float32)
    """
    given = subject(f, images, target)
    x = given.images
    references = checked(references).astype(x.dtype)
    if references.shape[1:] != x.shape[1:] or not len(references):
        raise ValueError(
            f"references must be at least one image of the shape {x.shape[1:]}, got the shape "
            f"{references.shape}"
        )
    order_key, place_key, shift_key = jax.random.split(key, 3)
    order = jax.random.permutation(order_key, len(references))
    place = jax.random.permutation(place_key, samples)
    positions = (place + jax.random.uniform(shift_key, (samples,))) / samples

    def sample(number: Array) -> Array:
        start = references[order[number % len(references)]]
        point = start + positions[number].astype(x.dtype) * (x - start)
        return (x - start) * gradient_of(given._replace(images=point))

    def reference_score(reference: Array) -> Array:
        def on_all_rows(outputs: Any) -> Array:
            return jnp.broadcast_to(outputs, (len(x), *outputs.shape[1:]))

        return given.of_outputs(jax.tree.map(on_all_rows, f(reference[None])))

    mean, standard_error = mean_of_samples(sample, samples, copies_of(x, batch_size))
    promised = given.value - in_chunks(reference_score, references, batch_size).mean(axis=0)
    axiom = "completeness in expectation: the map adds up to f(x) - the mean of f(references)"
    error = relative_error(total(mean), promised)
    return certified(Estimate(mean, error, axiom, tolerance, standard_error))
