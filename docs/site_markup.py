"""Extensions of the site's generator: formulas as MathML, and examples of docstrings as code."""

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


class Examples(griffe.Extension):
    """Fences the examples (`>>>`) of docstrings, which Markdown would take for quotations."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Changes the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(docstring: str) -> str:
    """Puts every example of a docstring into a fenced block.

    >>> print(fenced("Adds.\\n\\n>>> 1 + 1\\n2"))
    Adds.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    return _EXAMPLE.sub(lambda match: f"```pycon\n{match.group()}\n```", docstring)
