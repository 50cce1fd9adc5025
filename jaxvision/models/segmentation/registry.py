"""Creates segmenters by name, and moves variables between classifiers and segmenters."""

import dataclasses
import fnmatch
from collections.abc import Mapping
from typing import Any

from jax.typing import DTypeLike

from jaxvision.checks import check_name
from jaxvision.models.base import Model
from jaxvision.models.registry import create_model
from jaxvision.models.segmentation.attention import MANetDecoder, PANDecoder
from jaxvision.models.segmentation.decoder import Decoder
from jaxvision.models.segmentation.deeplab import DeepLabV3Decoder, DeepLabV3PlusDecoder
from jaxvision.models.segmentation.fcn import FCNDecoder
from jaxvision.models.segmentation.linknet import LinkNetDecoder
from jaxvision.models.segmentation.pyramids import FPNDecoder, PSPDecoder
from jaxvision.models.segmentation.segmenter import Segmenter
from jaxvision.models.segmentation.unet import UNetDecoder, UNetPlusPlusDecoder
from jaxvision.suggest import unknown

DECODERS: Mapping[str, type[Decoder]] = {
    "deeplabv3": DeepLabV3Decoder,
    "deeplabv3_plus": DeepLabV3PlusDecoder,
    "fcn": FCNDecoder,
    "fpn": FPNDecoder,
    "linknet": LinkNetDecoder,
    "manet": MANetDecoder,
    "pan": PANDecoder,
    "pspnet": PSPDecoder,
    "unet": UNetDecoder,
    "unet_plus_plus": UNetPlusPlusDecoder,
}
"""The decoder of each segmenter, by name."""

_OUTPUT_STRIDES = {"deeplabv3": 8, "fcn": 8, "deeplabv3_plus": 16, "pan": 16}
"""The default output stride of the backbone, if it has that option."""


def create_segmenter(
    name: str,
    *,
    backbone: str | Model = "resnet34",
    num_classes: int,
    in_channels: int | None = None,
    dtype: DTypeLike | None = None,
    output_stride: int | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    auxiliary: bool = False,
    **options: Any,
) -> Segmenter:
    """Creates a decoder over a backbone.

    Args:
        name: One of `list_segmenters()`.
        backbone: A name of `list_models()`, or a model of `create_model`, which then has its own
            `in_channels`, `dtype` and `output_stride`.
        num_classes: Number of logits per pixel.
        in_channels: Number of channels of images; None takes that of the first image.
        dtype: Compute dtype; see `create_model`.
        output_stride: The coarsest stride of the backbone's maps, for backbones that have this
            option; None takes 8 for "deeplabv3" and "fcn", 16 for "deeplabv3_plus" and "pan", and
            no limit for the others.
        backbone_options: Further options of a backbone that is given by name; see `create_model`.
        auxiliary: Whether there is an auxiliary classifier in training; see `Segmenter`.
        **options: Fields of the decoder.

    Returns:
        The model: `model.apply(variables, images)` gives (batch, height, width, num_classes).

    Raises:
        TypeError: The decoder or the backbone has no such option, or one is given twice.
        ValueError: There is no such segmenter or backbone, or options of the backbone are given
            together with a model.

    >>> model = create_segmenter("fpn", backbone="resnet18", num_classes=4, dropout=0.1)
    >>> type(model.decoder).__name__, model.decoder.dropout
    ('FPNDecoder', 0.1)
    >>> narrow = create_segmenter("deeplabv3", num_classes=4, backbone_options={"channels": 16})
    >>> narrow.backbone.channels, narrow.backbone.output_stride
    (16, 8)
    """
    check_name("segmenter", name, DECODERS)
    decoder = DECODERS[name]
    known = [field.name for field in dataclasses.fields(decoder) if field.name not in _OF_FLAX]
    for option in options:
        if option not in known:
            raise TypeError(unknown(f"{name} option", option, known))
    given = {"in_channels": in_channels, "dtype": dtype, "output_stride": output_stride}
    given = {option: value for option, value in given.items() if value is not None}
    if isinstance(backbone, Model):
        if given or backbone_options:
            raise ValueError(
                "a backbone that is given as a model has its own in_channels, dtype, output_stride "
                "and other options: give them to create_model"
            )
    else:
        backbone_options = backbone_options or {}
        for option in given.keys() & backbone_options.keys():
            raise TypeError(f"{option} is given twice, as an argument and in backbone_options")
        backbone = _backbone(backbone, {**given, **backbone_options}, _OUTPUT_STRIDES.get(name))
    return Segmenter(
        backbone=backbone,
        decoder=decoder(**{"dtype": backbone.dtype, **options}),
        num_classes=num_classes,
        auxiliary=auxiliary,
    )


_OF_FLAX = ("parent", "name", "dtype")


def _backbone(name: str, options: Mapping[str, Any], usual_stride: int | None) -> Model:
    """Creates a backbone with the usual stride, if it has that option and none is given."""
    plain = create_model(name, **options)
    if usual_stride is None or "output_stride" in options or not hasattr(plain, "output_stride"):
        return plain
    return create_model(name, output_stride=usual_stride, **options)


def list_segmenters(pattern: str = "*") -> list[str]:
    """Lists the segmenters that `create_segmenter` makes, sorted.

    Args:
        pattern: A shell-style pattern: `*` any characters, `?` any one, `[...]` one of several.

    >>> list_segmenters("unet*")
    ['unet', 'unet_plus_plus']
    """
    return sorted(fnmatch.filter(DECODERS, pattern))


def with_backbone(
    variables: Mapping[str, Any], backbone_variables: Mapping[str, Any]
) -> dict[str, Any]:
    """Puts the variables of a classifier into a model that has it as its `backbone`.

    Args:
        variables: Variables of the model; those of its other parts are kept.
        backbone_variables: Variables of the classifier, for example from `load_weights` or
            `load_pretrained`; its head is left out.

    Returns:
        New variables of the model.

    Raises:
        ValueError: The classifier is not the backbone: a leaf is missing or has another shape.

    >>> import jax, jax.numpy as jnp
    >>> classifier = create_model("lenet5", in_channels=1)
    >>> model = create_segmenter("unet", backbone=classifier, num_classes=2)
    >>> images, key = jnp.zeros((1, 32, 32, 1)), jax.random.key(0)
    >>> variables, trained = (jax.jit(each.init)(key, images) for each in (model, classifier))
    >>> tuned = with_backbone(variables, trained)
    >>> tuned["params"]["backbone"]["c1"] is trained["params"]["c1"]
    False
    >>> tuned["params"]["backbone"]["c1"]["kernel"] is trained["params"]["c1"]["kernel"]
    True
    """
    put = {**variables}
    for collection, tree in variables.items():
        if "backbone" in tree:
            part = _matching(tree["backbone"], backbone_variables.get(collection, {}), collection)
            put[collection] = {**tree, "backbone": part}
    return put


def backbone_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Extracts the variables of the `backbone` of a model such as `Segmenter` or `MultiHead`.

    Collections in which the backbone has no variables are left out.

    >>> backbone_variables({"params": {"backbone": {"stem": 1}, "head": {"kernel": 2}}})
    {'params': {'stem': 1}}
    """
    return {
        collection: tree["backbone"] for collection, tree in variables.items() if "backbone" in tree
    }


def _matching(wanted: Mapping[str, Any], given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The leaves of `given` that `wanted` has, which must have the same shapes."""
    part: dict[str, Any] = {}
    for name, leaf in wanted.items():
        if name not in given:
            raise ValueError(f"the variables are not of this backbone: {path} has no {name}")
        if isinstance(leaf, Mapping):
            part[name] = _matching(leaf, given[name], f"{path}/{name}")
        elif given[name].shape != leaf.shape:
            raise ValueError(
                f"the variables are not of this backbone: {path}/{name} has the shape "
                f"{given[name].shape}, and the backbone's is {leaf.shape}"
            )
        else:
            part[name] = given[name]
    return part
