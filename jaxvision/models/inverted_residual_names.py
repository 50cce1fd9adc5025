"""How other libraries call the parts of inverted residual blocks."""

import re
from collections.abc import Callable, Sequence

from jaxvision.models.inverted_residual import BlockSpec
from jaxvision.models.weights.names import DENSE_AS_CONV, Form, Rule

BLOCK = r"stage(\d)_block(\d+)"
"""The path of a block: stages count from 1, and the blocks of each stage from 0."""


def block_number(stages: Sequence[Sequence[BlockSpec]], match: re.Match[str]) -> int:
    """Counts a block through all stages, from 0.

    Args:
        stages: The blocks of each stage.
        match: Of a path that begins as `BLOCK`.

    Returns:
        The number.

    >>> spec = BlockSpec(expanded=48, features=16)
    >>> block_number([[spec], [spec, spec], [spec]], re.fullmatch(BLOCK, "stage3_block0"))
    3
    """
    return sum(len(specs) for specs in stages[: int(match[1]) - 1]) + int(match[2])


def part_number(stages: Sequence[Sequence[BlockSpec]], match: re.Match[str]) -> int:
    r"""Counts a part of a block, from 0.

    Args:
        stages: The blocks of each stage. Those of the first do not widen.
        match: Of a path that begins as `BLOCK` and whose third group is the part's name.

    Returns:
        The number.

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
    """Where torchvision has the blocks of MobileNetV3 and EfficientNet: sequences of their parts.

    Args:
        stages: The blocks of each stage.
        name: What a block is called there, by a match of its path.

    Returns:
        The rules.

    >>> from jaxvision.models.weights.names import TorchNames
    >>> stages = [[BlockSpec(expanded=16, features=16, squeezed=4)]]
    >>> names = TorchNames(torchvision_rules(stages, lambda match: f"features.{match[1]}"))
    >>> names.find("stage1_block0/project/norm/scale", 1)[0]
    'features.1.block.2.1.weight'
    """

    def part(match: re.Match[str]) -> str:
        return f"{name(match)}.block.{part_number(stages, match)}"

    squeeze_excite = rf"{BLOCK}/(squeeze_excite)"
    return [
        Rule(rf"{BLOCK}/(\w+)/conv", lambda match: f"{part(match)}.0"),
        Rule(rf"{BLOCK}/(\w+)/norm", lambda match: f"{part(match)}.1"),
        Rule(rf"{squeeze_excite}/reduce", lambda match: f"{part(match)}.fc1", DENSE_AS_CONV),
        Rule(rf"{squeeze_excite}/expand", lambda match: f"{part(match)}.fc2", DENSE_AS_CONV),
    ]


def timm_rule(path: str, name: str, form: Form | None = None) -> Rule:
    """Where timm has a part of a block; its stages count from 0.

    Args:
        path: The path of the part, a regular expression that begins as `BLOCK`.
        name: What the part is called there.
        form: See `Rule`.

    Returns:
        The rule.

    >>> from jaxvision.models.weights.names import TorchNames
    >>> rule = timm_rule(BLOCK + "/depthwise/conv", "conv_dw")
    >>> TorchNames([rule]).find("stage3_block1/depthwise/conv/kernel", 4)[0]
    'blocks.2.1.conv_dw.weight'
    """
    return Rule(path, lambda match: f"blocks.{int(match[1]) - 1}.{match[2]}.{name}", form)


# The blocks of the first stage, which do not widen, have parts of other names there.
_NARROW = r"stage(1)_block(\d+)"
TIMM_RULES = (
    Rule("stem/conv", "conv_stem"),
    Rule("stem/norm", "bn1"),
    timm_rule(f"{_NARROW}/depthwise/conv", "conv_dw"),
    timm_rule(f"{_NARROW}/depthwise/norm", "bn1"),
    timm_rule(f"{_NARROW}/project/conv", "conv_pw"),
    timm_rule(f"{_NARROW}/project/norm", "bn2"),
    timm_rule(f"{BLOCK}/expand/conv", "conv_pw"),
    timm_rule(f"{BLOCK}/expand/norm", "bn1"),
    timm_rule(f"{BLOCK}/depthwise/conv", "conv_dw"),
    timm_rule(f"{BLOCK}/depthwise/norm", "bn2"),
    timm_rule(f"{BLOCK}/project/conv", "conv_pwl"),
    timm_rule(f"{BLOCK}/project/norm", "bn3"),
    Rule("head", "classifier"),
)
"""Where timm has all of MobileNetV2, but for what `last` is; MobileNetV3 and EfficientNet as well,
but for `TIMM_SQUEEZE_EXCITE`."""
TIMM_SQUEEZE_EXCITE = (
    timm_rule(f"{BLOCK}/squeeze_excite/reduce", "se.conv_reduce", DENSE_AS_CONV),
    timm_rule(f"{BLOCK}/squeeze_excite/expand", "se.conv_expand", DENSE_AS_CONV),
)
