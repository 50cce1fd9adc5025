"""DeepLIFT: the difference of the score to a baseline, shared out by the rescale rule."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from jaxvision.explain.attribution import Attribution, certified, relative_error
from jaxvision.explain.differences import Pair, evaluate, new_pair
from jaxvision.explain.inputs import Function, Images, baseline_like, subject, total, wide
from jaxvision.explain.target import Target


def deeplift(
    f: Function,
    images: Images,
    target: Target = None,
    *,
    baseline: ArrayLike | None = None,
    tolerance: float = 0.01,
) -> Attribution:
    """Computes contributions to the difference between the scores of images and a baseline.

    Every elementwise function passes on contributions in proportion to the ratio of its output's
    difference to its input's (the rescale rule); a product of two arrays shares its difference
    equally between both factors; max pooling passes it to one input. The equations of `f` are
    interpreted, so that functions may be called more than once and written in any library.

    Args:
        f: A function from images to logits, whose rows do not depend on each other.
        images: Images, or arrays of any shape with a batch axis first.
        target: What is explained; see `Target`.
        baseline: The images without the signal: a number, an array, or None for zeros.
        tolerance: The largest relative error of completeness.

    Returns:
        Contributions that add up to the score of the images minus that of the baseline.

    Raises:
        NotImplementedError: `f` contains a loop, a branch, a sort or another function without a
            rule; the message names it and its line.
        TypeError: The images are not floating point.
        ValueError: The target does not exist, or the baseline has a wrong shape.

    Reference: Shrikumar, Greenside & Kundaje, ICML 2017, arXiv:1704.02685.

    >>> f = lambda x: jax.nn.relu(x[:, :1] - 1 - x[:, 1:])
    >>> jax.jit(lambda x: deeplift(f, x).map)(jnp.array([[3.0, 1.0]])).tolist()
    [[1.5, -0.5]]
    """
    given = subject(f, images, target)
    x = given.images
    start = baseline_like(x, baseline)
    function = jax.make_jaxpr(given.score)(x)

    def score_change(change: Array) -> Array:
        (score,) = evaluate(function, [new_pair(x, start, change)])
        return score.change if isinstance(score, Pair) else jnp.zeros_like(score)  # f is constant

    _, transpose = jax.vjp(score_change, x - start)
    (multipliers,) = transpose(jnp.ones_like(given.value))
    maps = multipliers.astype(wide(x.dtype)) * (x - start)
    error = relative_error(total(maps), given.value - given.score(start))
    axiom = "completeness (summation to delta): the map adds up to f(x) - f(baseline)"
    return certified(Attribution(maps, error, axiom, tolerance))
