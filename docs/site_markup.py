"""Extensions of the site's generator: formulas as MathML, and examples of docstrings as code."""

import contextlib
import html
import re
from typing import Any

import griffe
import latex2mathml.converter
import markdown

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).+)*", re.MULTILINE)


class _Formulas(markdown.postprocessors.Postprocessor):
    def run(self, text: str) -> str:
        return _FORMULA.sub(_mathml, text)


def _mathml(match: re.Match[str]) -> str:
    """A formula as MathML, which browsers draw without a script."""
    tag, bracket, tex = match.groups()
    display = "block" if bracket == "[" else "inline"
    drawn = latex2mathml.converter.convert(html.unescape(tex).strip(), display=display)
    return f"<{tag}>{drawn}</{tag}>"


class Formulas(markdown.Extension):
    """Replaces the formulas that `pymdownx.arithmatex` marks by MathML."""

    def extendMarkdown(self, md: markdown.Markdown) -> None:  # noqa: N802
        """Registers the extension, to run after all others."""
        md.postprocessors.register(_Formulas(md), "mathml", -1000)


def makeExtension(**options: Any) -> Formulas:  # noqa: N802
    """Returns the extension, as Python-Markdown asks for it by the name of this module."""
    return Formulas(**options)


class Docstrings(griffe.Extension):
    """Prepares the package for the reference.

    Examples (`>>>`) are fenced, since Markdown would take them for quotations. Where a package
    exports a function that is named like its module, such as `manifold.tsne`, the name means the
    function.
    """

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Changes a package that has been read."""
        objects = [pkg, *_objects_in(pkg)]
        for each in objects:
            if each.docstring is not None:
                each.docstring.value = fenced(each.docstring.value)
        modules = [each for each in objects if isinstance(each, griffe.Module)]
        for module in modules:  # while all modules still have their names
            for member in module.members.values():
                if isinstance(member, griffe.Alias) and member.target_path.startswith(pkg.path):
                    with contextlib.suppress(griffe.AliasResolutionError):  # an unpacked constant
                        member.resolve_target()
        for module in modules:
            for name in map(str, module.exports or ()):
                member = module.members[name]
                if isinstance(member, griffe.Module) and name in member.members:
                    exported = griffe.Alias(name, member.members[name], parent=module)
                    module.members[name] = exported


def _objects_in(parent: griffe.Object) -> list[griffe.Object]:
    """All modules, classes, functions and attributes that are defined in an object."""
    inside = [each for each in parent.members.values() if isinstance(each, griffe.Object)]
    return [*inside, *(below for each in inside for below in _objects_in(each))]


def fenced(docstring: str) -> str:
    r"""Puts every example of a docstring into a fenced block.

    >>> fenced("Adds.\n\n>>> 1 + 1\n2").splitlines()
    ['Adds.', '', '```pycon', '>>> 1 + 1', '2', '```']
    """
    return _EXAMPLE.sub(lambda match: f"```pycon\n{match.group()}\n```", docstring)
