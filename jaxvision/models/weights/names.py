"""How a model's leaves are called and stored elsewhere."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Replacement = str | Callable[[re.Match[str]], str]

# What a leaf is called in torch's modules; leaves of other names are named by a rule of their own.
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "embedding": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


class Form(NamedTuple):
    """How numbers are arranged elsewhere.

    Attributes:
        read: From their array to ours.
        write: From ours to theirs.
        axis: Where several leaves of ours are parts of one tensor there: the axis along which they
            lie one after another, in the order of their paths.
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
"""A transposed convolution, whose kernel lies the other way round there."""
DENSE = Form(lambda theirs: theirs.T, lambda ours: ours.T)
DENSE_AS_CONV = Form(
    lambda theirs: theirs[:, :, 0, 0].T, lambda ours: ours.T[:, :, np.newaxis, np.newaxis]
)
"""A dense layer of ours that is a 1x1 convolution there."""
CONV_AS_DENSE = Form(lambda theirs: theirs.T[np.newaxis, np.newaxis], lambda ours: ours[0, 0].T)
"""A 1x1 convolution of ours that is a dense layer there."""


def after_flatten(height: int, width: int, *, as_conv: bool = False) -> Form:
    """The kernel of a dense layer behind a flattened map, whose channels come first there.

    Args:
        height: Of the map.
        width: Of the map.
        as_conv: Whether it is a convolution there, whose kernel is as large as the map.

    Returns:
        The form.

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
    """Numbers that have axes of length 1 there, which they lack here.

    Args:
        *axes: Where those axes are.

    Returns:
        The form.

    >>> with_axes(1, 2).write(np.zeros(64)).shape
    (64, 1, 1)
    """
    return Form(lambda theirs: np.squeeze(theirs, axes), lambda ours: np.expand_dims(ours, axes))


def renumbered(template: str, factor: int, offset: int) -> Callable[[re.Match[str]], str]:
    r"""A name in which the first group of a rule's path, a number, is counted otherwise there.

    Args:
        template: The name, with `{}` for factor * number + offset, and `\2` and so on.
        factor: What the number is multiplied by.
        offset: What is then added.

    Returns:
        A function of the match, for `Rule`.

    >>> rule = Rule(r"stage(\d)_block(\d+)/conv", renumbered(r"features.{}.\2.conv", 2, -1))
    >>> TorchNames([rule]).find("stage3_block1/conv/kernel", 4)[0]
    'features.5.1.conv.weight'
    """

    def name(match: re.Match[str]) -> str:
        return match.expand(template.replace("{}", str(factor * int(match[1]) + offset)))

    return name


@dataclasses.dataclass(frozen=True)
class Rule:
    r"""Where leaves are found elsewhere.

    Attributes:
        path: A regular expression that matches the whole path of a module of ours, such as
            `stage(\d)_block(\d+)/conv1/conv`; or of a leaf, such as `class_token`, where that has
            no usual name.
        name: The module or leaf there: a template with `\1` and so on, or a function of the match.
        form: How the kernel (or the leaf) is arranged there; None is torch's way for its shape.
    """

    path: str
    name: Replacement
    form: Form | None = None


def conv_norm_rules(path: str, conv: Replacement, norm: Replacement) -> list[Rule]:
    r"""Lists the two rules for a `layers.ConvNorm`.

    Args:
        path: A regular expression of its path here.
        conv: The convolution there; see `Rule.name`.
        norm: The normalization there.

    >>> names = TorchNames(conv_norm_rules(r"block(\d)", r"layer\1.0", r"layer\1.1"))
    >>> names.find("block3/norm/scale", 1)[0]
    'layer3.1.weight'
    """
    return [Rule(f"{path}/conv", conv), Rule(f"{path}/norm", norm)]


def sequence_rules(path: str, name: str) -> list[Rule]:
    """Lists the two rules for a `layers.ConvNorm` that is a sequence of two modules there."""
    return conv_norm_rules(path, f"{name}.0", f"{name}.1")


def squeeze_excite_rules(path: str, reduce: Replacement, expand: Replacement) -> list[Rule]:
    """Lists the two rules for a `layers.SqueezeExcite` whose layers are 1x1 convolutions there.

    Args:
        path: A regular expression of its path here.
        reduce: The layer there that narrows; see `Rule.name`.
        expand: The layer there that widens.
    """
    return [
        Rule(f"{path}/reduce", reduce, DENSE_AS_CONV),
        Rule(f"{path}/expand", expand, DENSE_AS_CONV),
    ]


class Constant(NamedTuple):
    r"""A tensor there that holds nothing to be learnt, but that is looked for.

    Attributes:
        beside: A regular expression of the name of the tensor that it comes with.
        name: Its own: a template with `\1` and so on.
        value: What it holds.
    """

    beside: str
    name: str
    value: Array


# torch counts batches.
_COUNTER = Constant(r"(.*)\.running_mean", r"\1.num_batches_tracked", np.zeros((), np.int64))


@dataclasses.dataclass(frozen=True)
class TorchNames:
    """How one library calls and stores all that a model has: its names in torch, and its forms.

    Attributes:
        rules: The first that matches counts.
        ignored: Regular expressions of names that hold nothing to be learnt, such as tables of
            indices. (`num_batches_tracked` is always one.)
        unused: What names stand for that the model may lack: regular expressions and words.
        constants: What is written beside what is learnt. It needs to be among the ignored too.
        renamed: What older files call otherwise: regular expressions, and templates of the names
            of today.
        options: What fields of the model have to be for the same logits as there.
    """

    rules: Sequence[Rule]
    ignored: Sequence[str] = ()
    unused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    constants: Sequence[Constant] = ()
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def find(self, path: str, ndim: int) -> tuple[str, Form]:
        r"""The name of a leaf there, and its form.

        Args:
            path: Of the leaf, without the name of its collection: `stem/conv/kernel`.
            ndim: Its number of axes here.

        Returns:
            Name and form.

        Raises:
            LookupError: No rule matches.

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
        r"""The names of a larger model that has this one as a part.

        Args:
            path: Of the part here, without the name of its collection, such as `backbone`. Where
                the options are those of a field of the larger model, the field has that name too.
            name: Of the part there, such as `backbone.body`.

        Returns:
            Names for the leaves of the part; with `+`, those of the other parts are added.

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
        """The rules that do nothing for a model, as one that is misspelled does.

        Args:
            paths: Of all leaves of the model, without the names of their collections.

        Returns:
            Their regular expressions. Rules for parts that options of the model leave away are
            among them.

        Raises:
            LookupError: No rule matches one of the leaves.

        >>> TorchNames([Rule("stem", "conv1"), Rule("haed", "fc")]).unmatched(["stem/kernel"])
        ['haed']
        """
        matched = {id(self._rule_of(path)[0]) for path in paths}
        return [rule.path for rule in self.rules if id(rule) not in matched]

    def is_ignored(self, name: str) -> bool:
        """Whether a name of theirs holds nothing to be learnt.

        Args:
            name: Of a tensor.

        Returns:
            True if so.
        """
        patterns = (r".*\.num_batches_tracked", *self.ignored)
        return any(re.fullmatch(pattern, name) for pattern in patterns)

    def unused_part(self, name: str) -> str | None:
        """What a name of theirs belongs to, if a model may do without it.

        Args:
            name: Of a tensor.

        Returns:
            The part in words, or None.
        """
        for pattern, part in self.unused.items():
            if re.fullmatch(pattern, name):
                return part
        return None

    def current_name(self, name: str) -> str:
        r"""What a tensor of an older file is called today.

        Args:
            name: In the file.

        Returns:
            The name that `find` gives; for most, the same.

        >>> names = TorchNames([], renamed={r"(.*)\.linear_1\.(.*)": r"\1.0.\2"})
        >>> names.current_name("mlp.linear_1.bias")
        'mlp.0.bias'
        """
        for pattern, template in self.renamed.items():
            if match := re.fullmatch(pattern, name):
                return match.expand(template)
        return name

    def constants_beside(self, name: str) -> dict[str, Array]:
        """What is written beside a tensor of theirs.

        Args:
            name: Of the tensor.

        Returns:
            Arrays by name; none for most.

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
