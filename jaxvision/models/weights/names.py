"""The names and layouts of a model's leaves in other libraries.

In this file, "here" is this library and "there" is the other one.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Replacement = str | Callable[[re.Match[str]], str]

# Names of leaves in torch's modules; a leaf that is not listed needs a rule of its own.
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "embedding": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


class Form(NamedTuple):
    """How to convert an array between its layout there and here.

    Attributes:
        read: Converts from the layout there.
        write: Converts to the layout there.
        axis: If several leaves here are parts of one tensor there, the axis along which it joins
            them, in the order of their paths.
    """

    read: Callable[[Array], Array]
    write: Callable[[Array], Array]
    axis: int | None = None


SAME = Form(lambda theirs: theirs, lambda ours: ours)
CONV = Form(lambda theirs: theirs.transpose(2, 3, 1, 0), lambda ours: ours.transpose(3, 2, 0, 1))
TRANSPOSED_CONV = Form(
    lambda theirs: theirs.transpose(2, 3, 0, 1)[::-1, ::-1],
    lambda ours: ours[::-1, ::-1].transpose(2, 3, 0, 1),
)
"""A transposed convolution, whose kernel is flipped there."""
DENSE = Form(lambda theirs: theirs.T, lambda ours: ours.T)
DENSE_AS_CONV = Form(
    lambda theirs: theirs[:, :, 0, 0].T, lambda ours: ours.T[:, :, np.newaxis, np.newaxis]
)
"""A dense layer here that is a 1x1 convolution there."""
CONV_AS_DENSE = Form(lambda theirs: theirs.T[np.newaxis, np.newaxis], lambda ours: ours[0, 0].T)
"""A 1x1 convolution here that is a dense layer there."""


def after_flatten(height: int, width: int, *, as_conv: bool = False) -> Form:
    """The form of a dense layer after a flattened map, whose channels come first there.

    With `as_conv`, the layer is a convolution there, whose kernel is as large as the map.

    >>> form = after_flatten(2, 3)
    >>> form.read(np.zeros((7, 5 * 2 * 3))).shape, form.write(np.zeros((2 * 3 * 5, 7))).shape
    ((30, 7), (7, 30))
    >>> after_flatten(2, 3, as_conv=True).write(np.zeros((2 * 3 * 5, 7))).shape
    (7, 5, 2, 3)
    """

    def read(theirs: Array) -> Array:
        maps = theirs.reshape(len(theirs), -1, height, width)
        return maps.transpose(2, 3, 1, 0).reshape(-1, len(theirs))

    def write(ours: Array) -> Array:
        maps = ours.reshape(height, width, -1, ours.shape[1])
        theirs = maps.transpose(3, 2, 0, 1)
        return theirs if as_conv else theirs.reshape(len(theirs), -1)

    return Form(read, write)


def with_axes(*axes: int) -> Form:
    """The form of a tensor that has additional axes of length 1 there, at these positions.

    >>> with_axes(1, 2).write(np.zeros(64)).shape
    (64, 1, 1)
    """
    return Form(lambda theirs: np.squeeze(theirs, axes), lambda ours: np.expand_dims(ours, axes))


def renumbered(template: str, factor: int, offset: int) -> Callable[[re.Match[str]], str]:
    r"""Makes a `Rule.name` for a path whose first group, a number, is counted differently there.

    In `template`, `{}` stands for factor * number + offset, and `\2` and so on for further groups.

    >>> rule = Rule(r"stage(\d)_block(\d+)/conv", renumbered(r"features.{}.\2.conv", 2, -1))
    >>> TorchNames([rule]).find("stage3_block1/conv/kernel", 4)[0]
    'features.5.1.conv.weight'
    """

    def name(match: re.Match[str]) -> str:
        return match.expand(template.replace("{}", str(factor * int(match[1]) + offset)))

    return name


@dataclasses.dataclass(frozen=True)
class Rule:
    r"""The name and layout of some leaves there.

    Attributes:
        path: Regular expression of the whole path of a module here, such as
            `stage(\d)_block(\d+)/conv1/conv`; or of a leaf, such as `class_token`, that has no
            usual name.
        name: The module or leaf there: a template with `\1` and so on, or a function of the match.
        form: Form of the kernel (or the leaf); None takes torch's usual one.
    """

    path: str
    name: Replacement
    form: Form | None = None


def conv_norm_rules(path: str, conv: Replacement, norm: Replacement) -> list[Rule]:
    r"""The rules for a `layers.ConvNorm`: its path here, its convolution and normalization there.

    >>> names = TorchNames(conv_norm_rules(r"block(\d)", r"layer\1.0", r"layer\1.1"))
    >>> names.find("block3/norm/scale", 1)[0]
    'layer3.1.weight'
    """
    return [Rule(f"{path}/conv", conv), Rule(f"{path}/norm", norm)]


def sequence_rules(path: str, name: str) -> list[Rule]:
    """The rules for a `layers.ConvNorm` that is a sequence of two modules there."""
    return conv_norm_rules(path, f"{name}.0", f"{name}.1")


def squeeze_excite_rules(path: str, reduce: Replacement, expand: Replacement) -> list[Rule]:
    """The rules for a `layers.SqueezeExcite` whose layers are 1x1 convolutions there."""
    return [
        Rule(f"{path}/reduce", reduce, DENSE_AS_CONV),
        Rule(f"{path}/expand", expand, DENSE_AS_CONV),
    ]


class Constant(NamedTuple):
    r"""A tensor that holds no parameters, but that the library there expects in a file.

    Attributes:
        beside: Regular expression of the name of the tensor that it accompanies.
        name: Its own name, a template with `\1` and so on.
        value: Its contents.
    """

    beside: str
    name: str
    value: Array


# torch's BatchNorm counts batches.
_COUNTER = Constant(r"(.*)\.running_mean", r"\1.num_batches_tracked", np.zeros((), np.int64))


@dataclasses.dataclass(frozen=True)
class TorchNames:
    """The names and forms of all leaves of a model in one library.

    Attributes:
        rules: Rules, of which the first that matches a leaf counts.
        ignored: Regular expressions of the names of tensors there that hold no parameters, such as
            tables of indices. (`num_batches_tracked` is always ignored.)
        unused: Parts there that the model may lack: names as regular expressions, and words for
            messages.
        constants: Tensors without parameters that `save_weights` adds; `ignored` must match them
            too.
        renamed: Names in older files, as regular expressions, and templates of the current names.
        options: Values that fields of the model must have for the same logits as there.
    """

    rules: Sequence[Rule]
    ignored: Sequence[str] = ()
    unused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    constants: Sequence[Constant] = ()
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def find(self, path: str, ndim: int) -> tuple[str, Form]:
        r"""The name of a leaf there and its form; raises a `LookupError` if no rule matches.

        >>> names = TorchNames([Rule(r"stem/conv", "conv1"), Rule(r"block(\d)/conv", r"layers.\1")])
        >>> names.find("block3/conv/kernel", 4)[0], names.find("stem/conv/bias", 1)[0]
        ('layers.3.weight', 'conv1.bias')
        """
        rule, match = self._rule_of(path)
        if match.string == path:
            return _fill(rule.name, match), rule.form or SAME
        leaf = path.rpartition("/")[2]
        form = rule.form if leaf == "kernel" and rule.form else _usual(leaf, ndim)
        return f"{_fill(rule.name, match)}.{_LEAVES[leaf]}", form

    def within(self, path: str, name: str) -> "TorchNames":
        r"""The names of a larger model that has this one as a part; `+` adds those of other parts.

        The part has the path `path` here, such as `backbone`, and the name `name` there, such as
        `backbone.body`. Its options become options of the field `path` of the larger model.

        >>> backbone = TorchNames([Rule(r"block(\d)/conv", r"layer\1.conv")])
        >>> names = backbone.within("backbone", "encoder") + TorchNames([Rule("head", "decoder")])
        >>> names.find("backbone/block3/conv/kernel", 4)[0], names.find("head/bias", 1)[0]
        ('encoder.layer3.conv.weight', 'decoder.bias')
        """
        before = re.escape(f"{name}.")
        template = f"{name}.".replace("\\", r"\\")

        def moved(rule: Rule) -> Rule:
            pattern = f"{re.escape(f'{path}/')}(?:{rule.path})"
            if not callable(rule.name):
                return Rule(pattern, template + rule.name, rule.form)

            def name_of(match: re.Match[str]) -> str:
                inner = re.compile(rule.path).fullmatch(match.string, len(path) + 1)
                assert inner is not None  # the longer pattern has matched
                return f"{name}.{_fill(rule.name, inner)}"

            return Rule(pattern, name_of, rule.form)

        return TorchNames(
            rules=[moved(rule) for rule in self.rules],
            ignored=[f"{before}(?:{pattern})" for pattern in self.ignored],
            unused={f"{before}(?:{pattern})": part for pattern, part in self.unused.items()},
            constants=[
                Constant(f"{before}(?:{beside})", template + theirs, value)
                for beside, theirs, value in self.constants
            ],
            renamed={
                f"{before}(?:{pattern})": template + theirs
                for pattern, theirs in self.renamed.items()
            },
            options={
                f"{path.replace('/', '.')}.{option}": value
                for option, value in self.options.items()
            },
        )

    def __add__(self, other: "TorchNames") -> "TorchNames":
        """The names of two parts of a model; where rules of both match, the first count."""
        return TorchNames(
            rules=[*self.rules, *other.rules],
            ignored=[*self.ignored, *other.ignored],
            unused={**self.unused, **other.unused},
            constants=[*self.constants, *other.constants],
            renamed={**self.renamed, **other.renamed},
            options={**self.options, **other.options},
        )

    def unmatched(self, paths: Iterable[str]) -> list[str]:
        """Lists the paths of rules that match none of the leaves at `paths`, as misspelled ones do.

        Rules for parts that the model's options leave out are listed too. Raises a `LookupError` if
        no rule matches one of the leaves.

        >>> TorchNames([Rule("stem", "conv1"), Rule("haed", "fc")]).unmatched(["stem/kernel"])
        ['haed']
        """
        matched = {id(self._rule_of(path)[0]) for path in paths}
        return [rule.path for rule in self.rules if id(rule) not in matched]

    def is_ignored(self, name: str) -> bool:
        """Whether a tensor there holds no parameters."""
        patterns = (r".*\.num_batches_tracked", *self.ignored)
        return any(re.fullmatch(pattern, name) for pattern in patterns)

    def unused_part(self, name: str) -> str | None:
        """What a tensor there is part of, in words, if the model may lack that part; else None."""
        for pattern, part in self.unused.items():
            if re.fullmatch(pattern, name):
                return part
        return None

    def current_name(self, name: str) -> str:
        r"""The current name of a tensor that older files may call otherwise.

        >>> names = TorchNames([], renamed={r"(.*)\.linear_1\.(.*)": r"\1.0.\2"})
        >>> names.current_name("mlp.linear_1.bias")
        'mlp.0.bias'
        """
        for pattern, template in self.renamed.items():
            if match := re.fullmatch(pattern, name):
                return match.expand(template)
        return name

    def constants_beside(self, name: str) -> dict[str, Array]:
        """The tensors without parameters that accompany a tensor there, by name.

        >>> TorchNames([]).constants_beside("bn1.running_mean")
        {'bn1.num_batches_tracked': array(0)}
        """
        return {
            match.expand(constant.name): constant.value
            for constant in (_COUNTER, *self.constants)
            if (match := re.fullmatch(constant.beside, name))
        }

    def _rule_of(self, path: str) -> tuple[Rule, re.Match[str]]:
        """The first rule that matches a leaf or its module, and the match."""
        module, _, leaf = path.rpartition("/")
        for rule in self.rules:
            if leaf in _LEAVES and (match := re.fullmatch(rule.path, module)):
                return rule, match
            if match := re.fullmatch(rule.path, path):
                return rule, match
        raise LookupError(path)


def _usual(leaf: str, ndim: int) -> Form:
    if leaf != "kernel":
        return SAME
    forms: Mapping[int, Form] = {2: DENSE, 4: CONV}
    return forms[ndim]


def _fill(name: Replacement, match: re.Match[str]) -> Any:
    return name(match) if callable(name) else match.expand(name)
