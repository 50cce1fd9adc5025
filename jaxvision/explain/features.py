"""Intermediate values of any function, by name."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Literal
from jaxtyping import Array

from jaxvision import suggest
from jaxvision.explain.equations import Values, bind, called
from jaxvision.explain.inputs import Function, Spatial

Layer = str | None
"""A name from `layer_names`, or None for the last value that has a height and a width.

Where outputs have a height and a width themselves, None is the last of the values with the most
channels, as at the bottom of a U-Net: the last value of all would be the outputs (Vinogradova et
al., Towards interpretable semantic segmentation via gradient-weighted class activation mapping,
AAAI 2020).
"""


class Feature(NamedTuple):
    """One value in a function that depends on the images.

    Attributes:
        place: Number of its equation, after the numbers of the calls that contain it.
        scopes: Names of the modules and scopes that contain it, outermost first.
        name: Name given by `jax.ad_checkpoint.checkpoint_name`, or that of its primitive.
        is_named: Whether the name was given.
        shape: Shape of the value.
    """

    place: tuple[int, ...]
    scopes: tuple[str, ...]
    name: str
    is_named: bool
    shape: tuple[int, ...]


def layer_names(f: Function, images: Any) -> dict[str, tuple[int, ...]]:
    """Lists the values in a function that explainers can be applied to.

    Args:
        f: A function of images. The modules of Flax Linen and `jax.named_scope` name values by
            their path, `jax.ad_checkpoint.checkpoint_name` by itself. Values without either are
            named by their primitive, such as "conv_general_dilated", and by a number after that if
            there are several.
        images: Images, or a `jax.ShapeDtypeStruct` in their place.

    Returns:
        The shape of each value by name, in the order of computation. The value of a module is the
        last one computed in it.

    >>> import jax.numpy as jnp
    >>> from jax.ad_checkpoint import checkpoint_name
    >>> f = lambda x: checkpoint_name(jnp.tanh(x), "hidden").mean(axis=(1, 2))
    >>> layer_names(f, jnp.ones((1, 4, 4, 3)))
    {'tanh': (1, 4, 4, 3), 'hidden': (1, 4, 4, 3), 'reduce_sum': (1, 3), 'div': (1, 3)}
    """
    return {name: found.shape for name, found in _named(_features(jax.make_jaxpr(f)(images)))}


class Split:
    """A function that is split at one of its values."""

    def __init__(self, f: Function, images: Spatial, layer: Layer) -> None:
        self._function, shapes = jax.make_jaxpr(f, return_shape=True)(images)
        self._treedef = jax.tree.structure(shapes)
        self._images = images
        features = _features(self._function)
        per_pixel = any(_is_spatial(each.shape, images.shape) for each in jax.tree.leaves(shapes))
        self.feature = _chosen(features, images.shape, layer, widest=per_pixel)

    def run(self, change: Callable[[Array], Array]) -> tuple[Any, Array]:
        """Evaluates the function with the value changed.

        Returns:
            The outputs of the function, and the value before the change.
        """
        outputs, value = _run(self._function, [self._images], self.feature.place, change)
        return jax.tree.unflatten(self._treedef, outputs), value


def _run(
    function: ClosedJaxpr,
    inputs: list[Any],
    place: tuple[int, ...],
    change: Callable[[Array], Array],
) -> tuple[list[Any], Any]:
    values = Values(function, inputs)
    found = None
    for number, equation in enumerate(function.jaxpr.eqns):
        operands = values.read(equation.invars)
        inner = called(equation)
        if number == place[0] and len(place) > 1 and inner is not None:
            outputs, found = _run(inner, operands, place[1:], change)
        else:
            outputs = bind(equation, operands)
            if (number,) == place:
                found = outputs[0]
                outputs[0] = change(found)
        values.write(equation.outvars, outputs)
    return values.read(function.jaxpr.outvars), found


def _features(function: ClosedJaxpr) -> list[Feature]:
    jaxpr = function.jaxpr
    return list(_walk(function, [True] * len(jaxpr.invars), (), ()))


def _walk(
    function: ClosedJaxpr, is_varied: list[bool], place: tuple[int, ...], scopes: tuple[str, ...]
) -> Iterator[Feature]:
    """Finds the values that depend on varied inputs, in the order of computation."""
    varied = {each for each, is_one in zip(function.jaxpr.invars, is_varied, strict=True) if is_one}
    for number, equation in enumerate(function.jaxpr.eqns):
        which = [not isinstance(each, Literal) and each in varied for each in equation.invars]
        if not any(which):
            continue
        varied.update(equation.outvars)
        here = (*scopes, *_scopes(str(equation.source_info.name_stack)))
        inner = called(equation)
        if inner is not None:
            yield from _walk(inner, which, (*place, number), here)
            continue
        is_named = equation.primitive.name == "name"
        name = equation.params["name"] if is_named else equation.primitive.name
        shape = equation.outvars[0].aval.shape
        if jax.numpy.issubdtype(equation.outvars[0].aval.dtype, jax.numpy.floating):
            yield Feature((*place, number), here, name, is_named, shape)


def _scopes(name_stack: str) -> list[str]:
    """The names in a name stack, without transforms such as "vmap(...)" and methods of modules."""
    plain = re.sub(r"\w+\(|\)", "", name_stack)
    return [each for each in plain.split("/") if each and "." not in each]


def _named(features: list[Feature]) -> list[tuple[str, Feature]]:
    """The last value of each name, in the order of computation."""
    outer = {each.scopes[0] for each in features if each.scopes}
    is_model = len(outer) == 1 and any(len(each.scopes) > 1 for each in features)
    found: dict[str, Feature] = {}
    counts: dict[str, int] = {}
    for each in features:
        scopes = each.scopes
        while is_model and scopes and scopes[0] in outer:  # the name of the model itself
            scopes = scopes[1:]
        names = ["/".join(scopes[: depth + 1]) for depth in range(len(scopes))]
        if each.is_named:
            names.append(each.name)
        elif not each.scopes:
            counts[each.name] = counts.get(each.name, 0) + 1
            number = counts[each.name]
            names.append(each.name if number == 1 else f"{each.name}_{number}")
        found.update(dict.fromkeys(names, each))
    return sorted(found.items(), key=lambda item: item[1].place)


def _chosen(
    features: list[Feature], images: tuple[int, ...], layer: Layer, *, widest: bool
) -> Feature:
    """The feature of a name, or an error if there is none."""
    if isinstance(layer, str):
        named = dict(_named(features))
        if layer not in named:
            raise ValueError(suggest.unknown("layer", layer, named))
        return named[layer]
    spatial = [each for each in features if _is_spatial(each.shape, images)]
    if not spatial:
        raise ValueError(
            "f computes no feature map, of the shape (batch, height, width, channels), from images "
            f"of the shape {images}; name a layer from layer_names(f, images)"
        )
    most = max(each.shape[3] for each in spatial)
    return [each for each in spatial if each.shape[3] == most or not widest][-1]


def _is_spatial(shape: tuple[int, ...], images: tuple[int, ...]) -> bool:
    """Whether a value has rows, and a height and a width in about the proportions of the images."""
    if len(shape) != 4 or shape[0] != images[0] or 0 in shape[1:]:
        return False
    down, across = images[1] / shape[1], images[2] / shape[2]
    is_map = shape[1] * shape[2] > 1 or images[1] * images[2] == 1
    return is_map and min(down, across) >= 1 and max(down, across) < 2 * min(down, across)
