"""How good explanations are: one number per image for each measure of `explain.quality`.

All explainers are measured in the same way, on the same images and targets. `Network` makes
functions whose parameters are arguments of the compiled programs: the programs of one training run
serve the next one, and a network of which some layers are random.
"""

import dataclasses
import functools
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from common.explainers import Explainer, Subject

import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Integer

from jaxvision import data, explain, models
from jaxvision.explain import quality

Images = Float[np.ndarray, "batch height width channels"]
Labels = Integer[np.ndarray, " batch"]
Masks = Bool[np.ndarray, "batch height width"]


@dataclasses.dataclass(frozen=True)
class Options:
    """How explanations are measured.

    Attributes:
        steps: Number of steps of the curves of deletion and insertion.
        num_subsets: Number of random subsets of pixels of each size.
        subset_share: Share of the pixels in a subset, for the correlation of faithfulness.
        shares: Shares of the pixels in a subset, for sensitivity-n, which is averaged over them.
        tolerance: The distance from the object up to which the pointing game counts a hit, as a
            share of the height of the images. The paper allows 15 pixels of about 500.
        batch_size: Number of images that are explained at once.
    """

    steps: int = 32
    num_subsets: int = 50
    subset_share: float = 0.25
    shares: tuple[float, ...] = (0.01, 0.1)
    tolerance: float = 0.03
    batch_size: int = 8


@dataclasses.dataclass(frozen=True)
class Network:
    """The logits of a model as a function of its variables and of images in [0, 1].

    Attributes:
        model: A Flax module that returns logits.
        mean: Mean of each channel, subtracted from the images.
        std: Standard deviation of each channel, by which the images are then divided.
    """

    model: Any
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __call__(self, variables: Any, images: Any) -> Any:
        """Computes the logits."""
        return self.model.apply(variables, data.normalize(images, self.mean, self.std))

    def subject(self, variables: Any, references: Any = None) -> Subject:
        """Makes the network with some variables a subject of explanations."""
        return Subject(Partial(self, variables), self.mean, self.std, references)

    def half_random(self, variables: Any, key: Any, images: Any, references: Any = None) -> Subject:
        """Makes the network with the upper half of its layers random a subject of explanations."""
        layers = models.layer_order(self.model, images.shape[1:])
        upper = tuple(f"{name}/" for names in layers[len(layers) // 2 :] for name in names)
        fresh = jax.jit(self.model.init)(key, images[:1])

        def choose(path: Any, trained: Any, new: Any) -> Any:
            _, *inside = (each.key for each in path)  # without the collection
            return new if "/".join(inside).startswith(upper) else trained

        mixed = jax.tree_util.tree_map_with_path(choose, variables, fresh)
        return self.subject(mixed, references)


class Maps(NamedTuple):
    """Maps of an explainer.

    Attributes:
        map: Relevance of every number or pixel of the images.
        error: Error of the certificate of each map; see `explain.Attribution`.
        seconds: Seconds per image in the fastest batch, without compilation.
    """

    map: Float[np.ndarray, "batch height width _"]
    error: Float[np.ndarray, " batch"]
    seconds: float


def maps_of(
    subject: Subject,
    explainer: Explainer,
    images: Images,
    labels: Labels,
    key: Any,
    *,
    batch_size: int = Options.batch_size,
) -> Maps:
    """Explains the logits of some classes.

    The time is that of the fastest batch, since the first one may have to be compiled. Without a
    second batch of the same size, the first one is explained twice.
    """
    found: list[explain.Attribution] = []
    seconds: list[float] = []
    batches = [*_batches(images, batch_size)]
    again = batches[:1] if len(images) < 2 * batch_size else []
    for number, rows in [*again, *batches]:
        began = time.perf_counter()
        made = _explained(
            explainer.run,
            tuple(subject.mean),
            tuple(subject.std),
            _as_partial(subject.f),
            subject.references,
            images[rows],
            labels[rows],
            jax.random.fold_in(key, number),
        )
        found.append(jax.block_until_ready(made))
        seconds.append((time.perf_counter() - began) / len(images[rows]))
    maps, errors = (
        np.concatenate([np.asarray(getattr(each, name)) for each in found[-len(batches) :]])
        for name in ("map", "error")
    )
    return Maps(maps, errors, min(seconds))


def measure(
    subject: Subject,
    explained: Explainer | Any,
    images: Images,
    labels: Labels,
    masks: Masks | None = None,
    *,
    key: Any,
    randomized: Subject | None = None,
    options: Options | None = None,
) -> dict[str, np.ndarray]:
    """Measures explanations of the logits of some classes.

    The relevance of a pixel is the sum over its channels, with its sign; maps of absolute values,
    such as those of `explain.saliency`, are positive everywhere. Hidden pixels have the color of
    the baseline of the subject.

    - `deletion`: area under the probability of the class while pixels are hidden, the most relevant
      first; small is good.
    - `insertion`: area under the probability of the class while pixels are inserted into the
      blurred image, the most relevant first; large is good.
    - `faithfulness`: correlation of the relevance of random subsets of pixels with the fall of the
      logit when they are hidden, for subsets of one size; 1 is perfect.
    - `sensitivity_n`: the same correlation, averaged over smaller sizes.
    - `pointing_game`, `relevance_mass`, `relevance_rank`: how much of the highest, of all positive
      and of the top relevance lies on the object; 1 is perfect. See `explain.quality`.
    - `rank_after_reset`, `ssim_after_reset`: rank correlation and structural similarity of absolute
      relevance with that of the randomized function; near 0 is good. With `Network.half_random`, it
      is a stage in the middle of the cascade of `explain.quality.model_randomization`: what decides
      is random, and what sees edges is not. Maps that only show edges stay as they are.
    - `error`: error of the certificate of the map.
    - `seconds`: seconds per image, without compilation.

    Args:
        subject: The function whose decisions are explained.
        explained: An explainer, or maps. Maps have neither error nor seconds, and are not compared
            with those of random parameters.
        images: Images in [0, 1].
        labels: The class of each image whose logit is explained.
        masks: The pixels of the object of that class; None leaves out measures that need it.
        key: A PRNG key.
        randomized: The function with random parameters in some or all layers; None leaves out the
            comparison with it.
        options: Numbers of steps and subsets.

    Returns:
        One value per image of each measure; NaN where it is not defined, as for a map without
        relevance.
    """
    options = options or Options()
    map_key, subset_key = jax.random.split(key)
    found: dict[str, np.ndarray] = {}
    maps = explained
    if isinstance(explained, Explainer):
        size = options.batch_size
        maps, error, seconds = maps_of(subject, explained, images, labels, map_key, batch_size=size)
        found = {"error": error, "seconds": np.full(len(images), seconds)}
        if randomized is not None:
            others = maps_of(randomized, explained, images, labels, map_key, batch_size=size)
            found |= compared(maps, others.map)
    found |= faithful(subject, maps, images, labels, subset_key, options)
    if masks is not None:
        found |= located(maps, masks, tolerance=options.tolerance)
    return found


def faithful(
    subject: Subject, maps: Any, images: Images, labels: Labels, key: Any, options: Options
) -> dict[str, np.ndarray]:
    """Measures how well maps predict what happens when pixels are hidden; see `measure`."""
    # The sum over channels, so that maps of one and of three channels share a program.
    relevance = np.asarray(maps).sum(axis=-1, keepdims=True)
    found = [
        _faithful(
            tuple(subject.mean),
            options,
            _as_partial(subject.f),
            images[rows],
            relevance[rows],
            labels[rows],
            jax.random.fold_in(key, number),
        )
        for number, rows in _batches(images, options.batch_size)
    ]
    return _joined(found)


def located(maps: Any, masks: Masks, *, tolerance: float = 0.0) -> dict[str, np.ndarray]:
    """Measures how much of the relevance lies on objects; see `measure`."""
    distance = tolerance * masks.shape[1]
    relevance = np.asarray(maps).sum(axis=-1, keepdims=True)
    return _joined([_located(distance, relevance, masks)])


def compared(maps: Any, others: Any) -> dict[str, np.ndarray]:
    """Compares maps with those of a randomized function; see `measure`."""
    return _joined([_compared(np.asarray(maps), np.asarray(others))])


@functools.partial(jax.jit, static_argnames=("run", "mean", "std"))
def _explained(
    run: Any, mean: Any, std: Any, f: Partial, references: Any, images: Any, labels: Any, key: Any
) -> explain.Attribution:
    found: explain.Attribution = run(Subject(f, mean, std, references), images, labels, key)
    return explain.Attribution(found.map, found.error, found.axiom, found.tolerance)


@functools.partial(jax.jit, static_argnames=("mean", "options"))
def _faithful(
    mean: Any, options: Options, f: Partial, images: Any, maps: Any, labels: Any, key: Any
) -> dict[str, Array]:
    def probabilities(x: Any) -> Array:
        return jax.nn.softmax(f(x))

    baseline = np.asarray(mean, np.float32)
    pixels = images.shape[1] * images.shape[2]
    sizes = [max(1, round(share * pixels)) for share in (options.subset_share, *options.shares)]
    kernel_size = min(11, 2 * min(images.shape[1:3]) - 1)  # 11 does not fit into tiny images
    start = quality.blurred(images, kernel_size=kernel_size)
    given = (probabilities, images, maps, labels)
    correlations = quality.sensitivity_n(
        f,
        images,
        maps,
        labels,
        key=key,
        sizes=sizes,
        num_subsets=options.num_subsets,
        baseline=baseline,
    )
    return {
        "deletion": quality.deletion(*given, baseline=baseline, steps=options.steps).area,
        "insertion": quality.insertion(*given, baseline=start, steps=options.steps).area,
        "faithfulness": correlations[:, 0],
        "sensitivity_n": correlations[:, 1:].mean(axis=1),
    }


@functools.partial(jax.jit, static_argnames="tolerance")
def _located(tolerance: float, maps: Any, masks: Any) -> dict[str, Array]:
    return {
        "pointing_game": quality.pointing_game(maps, masks, tolerance=tolerance),
        "relevance_mass": quality.relevance_mass(maps, masks),
        "relevance_rank": quality.relevance_rank(maps, masks),
    }


@jax.jit
def _compared(maps: Any, others: Any) -> dict[str, Array]:
    return {
        "rank_after_reset": quality.rank_correlation(maps, others),
        "ssim_after_reset": quality.structural_similarity(maps, others),
    }


def _as_partial(f: Any) -> Partial:
    """The function as an argument of a compiled program."""
    return f if isinstance(f, Partial) else Partial(f)


def _batches(images: Images, batch_size: int) -> Iterator[tuple[int, slice]]:
    """The number and the rows of each batch."""
    return enumerate(slice(at, at + batch_size) for at in range(0, len(images), batch_size))


def _joined(parts: list[dict[str, Array]]) -> dict[str, np.ndarray]:
    """One array per name of those of several batches."""
    return {name: np.concatenate([np.asarray(each[name]) for each in parts]) for name in parts[0]}
