"""Writes the tables of docs/performance.md from docs/benchmarks/*.json.

    python benchmarks/pages.py

A table stands between `<!-- benchmark: NAME -->` and `<!-- end of benchmark -->`. `convolutions` is
all tables of convolutions.json, `tsne:scaling` its table of that name, `accelerator_*` all tables
of these files. What was not measured yet is said to be so.
"""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

from tables import FOLDER, read, texts

PAGE = FOLDER.parent / "performance.md"
PLACE = re.compile(r"(<!-- benchmark: (\S+) -->\n).*?(<!-- end of benchmark -->)", flags=re.DOTALL)
TITLES = {"python": "Python"}


def page(text: str, folder: pathlib.Path = FOLDER) -> str:
    """The text of a page with its tables as they should be."""
    return PLACE.sub(lambda place: place[1] + shown(place[2], folder) + place[3], text)


def shown(name: str, folder: pathlib.Path = FOLDER) -> str:
    """What stands in a place: tables, each with where it was measured.

    Args:
        name: As it is written in the place.
        folder: Where the results lie.

    Returns:
        Markdown.
    """
    tables = [markdown(table) for _, table in found(name, folder)]
    return "\n".join(tables) or "No numbers yet.\n"


def found(name: str, folder: pathlib.Path = FOLDER) -> Iterator[tuple[str, dict[str, Any]]]:
    """The names of files and the tables that a place shows."""
    benchmark, _, chosen = name.partition(":")
    for file in sorted(folder.glob(f"{benchmark}.json")):
        for table in read(file):
            if chosen in ("", table["name"]):
                yield file.stem, table


def markdown(table: dict[str, Any]) -> str:
    """A table, its note, and on what it was measured."""
    titles = [title for title, _ in table["columns"]]
    forms = [form for _, form in table["columns"]]
    lines = [titles, [" --- " if not form else " ---: " for form in forms]]
    lines += [texts(row, forms) for row in table["rows"]]
    text = "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
    note = f"{table['note']}\n\n" if table["note"] else ""
    return f"{text}\n\n{note}{measured(table['measured'])}\n"


def measured(where: dict[str, Any]) -> str:
    """A line of where, when and by what something was measured."""
    hardware, command = where["hardware"], where["command"]
    count = hardware["cores"]
    parts = [f"{count} core{'' if count == 1 else 's'} of {hardware['cpu']}"]
    kinds = hardware["accelerators"]
    parts = [f"{len(kinds)} x {kinds[0]}", *parts] if kinds else parts
    parts += [f"{hardware['memory_gib']} GiB of memory"] if hardware["memory_gib"] else []
    parts += [f"{TITLES.get(name, name)} {number}" for name, number in where["versions"].items()]
    by = f", by `{command}`" if command else ""
    return f"Measured on {', '.join(parts)}; {where['date']}{by}."


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|")


def main() -> None:
    """Writes the page anew."""
    PAGE.write_text(page(PAGE.read_text()))
    print(PAGE)


if __name__ == "__main__":
    main()
