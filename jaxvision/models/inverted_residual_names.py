"""Names of the parts of inverted residual blocks in torchvision and timm."""

import re
from collections.abc import Callable, Sequence

from jaxvision.models.inverted_residual import BlockSpec
from jaxvision.models.weights.names import Rule, conv_norm_rules, squeeze_excite_rules

BLOCK = r"stage(\d)_block(\d+)"
"""Pattern of a block's path: stages count from 1, and the blocks of each stage from 0."""


def block_number(stages: Sequence[Sequence[BlockSpec]], match: re.Match[str]) -> int:
    """Counts a block through all stages from 0, by the match of a path that begins with `BLOCK`.

    >>> spec = BlockSpec(expanded=48, features=16)
    >>> block_number([[spec], [spec, spec], [spec]], re.fullmatch(BLOCK, "stage3_block0"))
    3
    """
    return sum(len(specs) for specs in stages[: int(match[1]) - 1]) + int(match[2])


def part_number(stages: Sequence[Sequence[BlockSpec]], match: re.Match[str]) -> int:
    r"""Counts a part of a block from 0; the third group of the match is the part's name.

    Blocks of the first stage do not widen, and so have no "expand".

    >>> spec = BlockSpec(expanded=48, features=16)
    >>> path = "stage2_block0/project"
    >>> part_number([[spec], [spec]], re.fullmatch(BLOCK + r"/(\w+)", path))
    2
    """
    spec = stages[int(match[1]) - 1][int(match[2])]
    has_part = {
        "expand": match[1] != "1",
        "depthwise": True,
        "squeeze_excite": spec.squeezed > 0,
        "project": True,
    }
    return [part for part, has in has_part.items() if has].index(match[3])


def torchvision_rules(
    stages: Sequence[Sequence[BlockSpec]], name: Callable[[re.Match[str]], str]
) -> list[Rule]:
    """Lists the rules for the blocks of MobileNetV3 and EfficientNet, sequences in torchvision.

    `name` gives the name of a block in torchvision, by the match of its path.

    >>> from jaxvision.models.weights.names import TorchNames
    >>> stages = [[BlockSpec(expanded=16, features=16, squeezed=4)]]
    >>> names = TorchNames(torchvision_rules(stages, lambda match: f"features.{match[1]}"))
    >>> names.find("stage1_block0/project/norm/scale", 1)[0]
    'features.1.block.2.1.weight'
    """

    def part(match: re.Match[str]) -> str:
        return f"{name(match)}.block.{part_number(stages, match)}"

    return [
        *conv_norm_rules(
            rf"{BLOCK}/(\w+)", lambda match: f"{part(match)}.0", lambda match: f"{part(match)}.1"
        ),
        *squeeze_excite_rules(
            rf"{BLOCK}/(squeeze_excite)",
            lambda match: f"{part(match)}.fc1",
            lambda match: f"{part(match)}.fc2",
        ),
    ]


def timm_name(part: str) -> Callable[[re.Match[str]], str]:
    """Gives a function that names a part of a block in timm, by the match of the block's path.

    >>> timm_name("conv_dw")(re.match(BLOCK, "stage3_block1/depthwise/conv"))
    'blocks.2.1.conv_dw'
    """
    return lambda match: f"blocks.{int(match[1]) - 1}.{match[2]}.{part}"


def timm_conv_norm_rules(path: str, conv: str, norm: str) -> list[Rule]:
    """Lists the rules for a `layers.ConvNorm` of a block in timm; see `conv_norm_rules`."""
    return conv_norm_rules(path, timm_name(conv), timm_name(norm))


# In timm, the parts of the first stage's blocks, which do not widen, have other names.
_NARROW = r"stage(1)_block(\d+)"
TIMM_RULES = (
    *conv_norm_rules("stem", "conv_stem", "bn1"),
    *timm_conv_norm_rules(f"{_NARROW}/depthwise", "conv_dw", "bn1"),
    *timm_conv_norm_rules(f"{_NARROW}/project", "conv_pw", "bn2"),
    *timm_conv_norm_rules(f"{BLOCK}/expand", "conv_pw", "bn1"),
    *timm_conv_norm_rules(f"{BLOCK}/depthwise", "conv_dw", "bn2"),
    *timm_conv_norm_rules(f"{BLOCK}/project", "conv_pwl", "bn3"),
    Rule("head", "classifier"),
)
"""Rules for all of MobileNetV2 in timm except `last`. For MobileNetV3 and EfficientNet,
`TIMM_SQUEEZE_EXCITE` comes in addition."""
TIMM_SQUEEZE_EXCITE = squeeze_excite_rules(
    f"{BLOCK}/squeeze_excite", timm_name("se.conv_reduce"), timm_name("se.conv_expand")
)
