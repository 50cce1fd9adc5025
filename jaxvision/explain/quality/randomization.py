"""Whether maps depend on what a model has learned: the check by random parameters."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.extend.core import ClosedJaxpr, Literal, Var
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from jaxvision._trees import by_path
from jaxvision.explain.equations import called
from jaxvision.explain.quality.similarity import rank_correlation, structural_similarity
from jaxvision.suggest import unknown


@struct.dataclass
class Randomization:
    """Maps of a model whose layers are replaced by random ones, and their similarity to before.

    Attributes:
        maps: Maps with the layers of each stage replaced.
        rank_correlation: Rank correlation of these maps with those of the trained model.
        structural_similarity: Structural similarity to those of the trained model.
        layers: The layer that each stage replaces, in the order of the stages.
    """

    maps: Float[Array, "stages batch height width channels"]
    rank_correlation: Float[Array, "stages batch"]
    structural_similarity: Float[Array, "stages batch"]
    layers: tuple[str, ...] = struct.field(pytree_node=False)


def model_randomization(
    explain: Callable[[Any], Float[Array, "batch height width channels"]],
    params: PyTree,
    init: Callable[[PRNGKeyArray], PyTree],
    *,
    key: PRNGKeyArray,
    layers: Sequence[str] | None = None,
    cascading: bool = True,
    signed: bool = False,
) -> Randomization:
    """Compares maps of a trained model with maps after its layers are replaced by random ones.

    A map that stays the same does not show what the model has learned. The layers are replaced from
    the head down.

    Args:
        explain: A function from parameters to maps. Its target should be given by labels, since the
            class with the highest logit changes with the parameters.
        params: The trained parameters.
        init: A function from a PRNG key to random parameters of the same structure.
        key: A PRNG key.
        layers: Paths of modules or parameters such as "head" or "stage4_block1/conv2", the head
            first; what lies under a path is replaced at once. None takes every module that has
            parameters of its own, last used first; parameters that `explain` does not use are left
            out.
        cascading: Whether a stage also replaces the layers of all stages before it; otherwise it
            replaces its own layer only.
        signed: Whether the sign of relevance counts in comparisons; otherwise absolute values are
            compared.

    Returns:
        One stage per layer.

    Raises:
        ValueError: The random parameters differ in structure or shape, a layer does not exist, or
            there is none.

    Reference: Adebayo et al., Sanity checks for saliency maps, 2018, arXiv:1810.03292.

    >>> images = jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    >>> explain = lambda params: jnp.tanh(images * params["stem"]) * params["head"]
    >>> init = lambda key: {"stem": jax.random.normal(key, (4, 4, 1)), "head": jnp.ones(1)}
    >>> params = init(jax.random.key(1))
    >>> check = jax.jit(lambda key: model_randomization(explain, params, init, key=key))
    >>> found = check(jax.random.key(2))
    >>> found.layers, found.rank_correlation.shape, found.rank_correlation[0].tolist()
    (('head', 'stem'), (2, 1), [1.0])
    """
    fresh = init(key)
    _check_same(params, fresh)
    found, stages = _staged(explain, params, layers)
    leaves, structure = jax.tree.flatten(params)

    def maps_at(stage: Array) -> Array:
        mixed = [
            trained
            if own is None
            else jnp.where(own <= stage if cascading else own == stage, new, trained)
            for own, trained, new in zip(stages, leaves, jax.tree.leaves(fresh), strict=True)
        ]
        return explain(jax.tree.unflatten(structure, mixed))

    every = jax.lax.map(maps_at, jnp.arange(-1, len(found)))
    first, maps = every[0], every[1:]

    def compare(similarity: Callable[..., Array]) -> Array:
        return jax.lax.map(lambda others: similarity(first, others, signed=signed), maps)

    return Randomization(
        maps, compare(rank_correlation), compare(structural_similarity), tuple(found)
    )


def _check_same(params: PyTree, fresh: PyTree) -> None:
    trained, new = (
        {name: jnp.shape(leaf) for name, leaf in by_path(tree).items()} for tree in (params, fresh)
    )
    if trained != new:
        different = sorted(dict(trained.items() ^ new.items()))
        raise ValueError(
            f"init must return parameters of the structure and shapes of params; {different[0]} "
            f"is {trained.get(different[0], 'missing')} in params and "
            f"{new.get(different[0], 'missing')} from init"
        )


def _staged(
    explain: Callable, params: PyTree, layers: Sequence[str] | None
) -> tuple[list[str], list[int | None]]:
    """The layer of each stage, and the stage of each parameter, None if it is never replaced."""
    names = [*by_path(params)]
    stages: list[int | None]
    if layers is None:
        owners = [_above(name) for name in names]
        found = _by_last_use(explain, params, owners)
        stages = [found.index(owner) if owner in found else None for owner in owners]
    else:
        found = list(layers)
        stages = [_stage(name, found) for name in names]
        missing = [each for number, each in enumerate(found) if number not in stages]
        if missing:
            layer = unknown("layer", missing[0], {_above(name) for name in names})
            raise ValueError(f"no parameters are left to replace: {layer}")
    if not found:
        raise ValueError("explain uses none of the parameters, so there is no layer to replace")
    return found, stages


def _above(name: str) -> str:
    """The path of the module that has the parameter, or its own if none has."""
    return name.rpartition("/")[0] or name


def _stage(name: str, layers: list[str]) -> int | None:
    """The number of the first layer that contains a parameter."""
    under = (number for number, layer in enumerate(layers) if f"{name}/".startswith(f"{layer}/"))
    return next(under, None)


def _by_last_use(explain: Callable, params: PyTree, owners: list[str]) -> list[str]:
    """The owners of parameters, the one that meets other values last at the front."""
    closed = jax.make_jaxpr(explain)(params)
    uses = _uses(closed, dict(zip(closed.jaxpr.invars, owners, strict=True)))
    return [*dict.fromkeys(uses)][::-1]


def _uses(closed: ClosedJaxpr, owners: dict[Var, str]) -> Iterator[str]:
    """The owner of a parameter wherever it meets other values, in the order of computation."""
    owners = dict(owners)
    for equation in closed.jaxpr.eqns:
        inputs = [each for each in equation.invars if not isinstance(each, Literal)]
        owned = {owners[each] for each in inputs if each in owners}
        if not owned:
            continue
        if len(owned) == 1 and all(each in owners for each in inputs):
            # A cast or a reshape of a parameter is not its use yet.
            owners.update(dict.fromkeys(equation.outvars, owned.pop()))
            continue
        inner = equation.params["jaxpr"] if equation.primitive.name == "scan" else None
        inner = inner or called(equation, custom_derivatives=True)
        if inner is None:
            yield from (owners[each] for each in inputs if each in owners)
        else:
            pairs = zip(inner.jaxpr.invars, equation.invars, strict=True)
            yield from _uses(
                inner,
                {
                    inside: owners[each]
                    for inside, each in pairs
                    if not isinstance(each, Literal) and each in owners
                },
            )
