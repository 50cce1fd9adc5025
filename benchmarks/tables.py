"""Tables of measurements: printed row by row, and kept with where, when and by what command.

A benchmark makes a `Table`, adds rows as they are measured, and gives all of them to `launch`,
which gives every benchmark the options of `Common`. What is kept is a JSON file for each benchmark
in docs/benchmarks/, of which `pages.py` makes the tables of docs/performance.md.
"""

import dataclasses
import importlib.metadata
import json
import math
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

import tyro
from provenance import measured

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
"""Where the results lie that the pages are made of."""

Cell = float | int | str | None


class Table:
    """A table that is printed while it is measured.

    Attributes:
        name: What it is called among the tables of its benchmark.
        columns: The titles of the columns, and how their numbers are written, as for `format`. The
            first column says what a row is.
        note: What is to be said below it.
        rows: The cells of each row: numbers, text, or None where there is nothing to compare with.
    """

    def __init__(
        self,
        name: str,
        columns: Mapping[str, str],
        note: str = "",
        on_add: Callable[[], None] | None = None,
    ) -> None:
        """Begins a table.

        Args:
            name: See above.
            columns: See above.
            note: See above.
            on_add: Called after every row.
        """
        if not columns:
            raise ValueError(f"the table {name!r} must have a column")
        self.name = name
        self.columns = dict(columns)
        self.note = note
        self.rows: list[list[Cell]] = []
        self._on_add = on_add

    def add(self, *cells: Cell) -> None:
        """Adds a row and prints it, the first with the titles.

        Args:
            *cells: As many as there are columns. Numbers that are not finite are left out.

        Raises:
            ValueError: There are more or fewer cells than columns.
        """
        if len(cells) != len(self.columns):
            raise ValueError(
                f"a row of {self.name!r} must have {len(self.columns)} cells, got {len(cells)}"
            )
        if not self.rows:
            print(f"\n{_line([*self.columns], [*self.columns])}")
        self.rows.append([_finite(cell) for cell in cells])
        print(_line(texts(self.rows[-1], self.columns.values()), [*self.columns]), flush=True)
        if self._on_add is not None:
            self._on_add()

    def content(self) -> dict[str, Any]:
        """The table as it is kept, without where it was measured."""
        return {
            "name": self.name,
            "columns": [[*column] for column in self.columns.items()],
            "rows": self.rows,
            "note": self.note,
        }


@dataclasses.dataclass(frozen=True)
class Common:
    """Options of every benchmark."""

    save: bool = False
    """Whether to save the tables in --folder."""
    folder: pathlib.Path = FOLDER
    """Where tables are saved. docs/performance.md is generated from docs/benchmarks."""
    quick: bool = False
    """Toy sizes, to check that everything runs. Such times are not saved in docs/."""

    TOY: ClassVar[Mapping[str, Any]] = {}
    """What --quick sets other options to."""

    def sized(self) -> Self:
        """The same settings, at toy sizes where these are asked for.

        Raises:
            SystemExit: What would be kept in docs/ are not whole tables of real sizes.
        """
        if self.save and self.folder.resolve() == FOLDER:
            if self.quick:
                raise SystemExit("--quick: toy times are not saved in docs/; give --folder too")
            if getattr(self, "only", None) != getattr(type(self)(), "only", None):
                raise SystemExit(
                    "--only: a few rows would replace a whole table; give --folder too"
                )
        return dataclasses.replace(self, **self.TOY) if self.quick else self


Settings = TypeVar("Settings", bound=Common)


def launch(
    name: str,
    main: Callable[[Settings], Sequence[Table]],
    settings: type[Settings],
    description: str | None,
    peers: Sequence[str] = (),
) -> None:
    """Runs a benchmark as the command line says, and keeps its tables if that is asked for.

    Args:
        name: The name of the benchmark.
        main: Measures.
        settings: The class of its settings.
        description: What `--help` says.
        peers: Packages that it compares with, as they are called where they are installed from.
    """
    chosen = tyro.cli(settings, description=description).sized()
    absent = [peer for peer in peers if installed_version(peer) is None]
    found = main(chosen)
    for table in found:
        if table.note:
            print(f"\n{table.name}: {table.note}")
    if absent:
        print(f"\nnot installed, so that there is nothing to compare with: {', '.join(absent)}")
    if chosen.save:
        keep(chosen.folder / f"{name}.json", found, measured(name, peers))


def keep(file: pathlib.Path, found: Sequence[Table], where: Mapping[str, Any]) -> None:
    """Writes tables to a file in place of those of the same names; others in it stay.

    Args:
        file: The JSON file.
        found: The tables.
        where: What `provenance.measured` says.
    """
    new = {table.name: {**table.content(), "measured": dict(where)} for table in found}
    old = {table["name"]: table for table in read(file)} if file.exists() else {}
    write(file, {"tables": [*(old | new).values()]})


def write(file: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a file as a whole: whoever is killed meanwhile leaves the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    text = json.dumps(content, indent=1)
    part.write_text(re.sub(r"\[\n[^][{}]*\n\s*\]", _in_one_line, text) + "\n")
    part.replace(file)


def read(file: pathlib.Path) -> list[dict[str, Any]]:
    """The tables of a file, each with a "name", "columns", "rows", a "note", and "measured"."""
    content: list[dict[str, Any]] = json.loads(file.read_text())["tables"]
    return content


def texts(cells: Sequence[Cell], forms: Any) -> list[str]:
    """Cells as they are written: numbers by the forms of their columns, "-" for nothing."""
    return [
        "-" if cell is None else cell if isinstance(cell, str) else format(cell, form)
        for cell, form in zip(cells, forms, strict=True)
    ]


def installed_version(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _finite(cell: Cell) -> Cell:
    """The cell, or None for what JSON cannot say."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _in_one_line(found: re.Match[str]) -> str:
    """A list, such as a row of a table, in one line."""
    return re.sub(r"\n\s*", "", re.sub(r",\n\s*", ", ", found[0]))


def _line(cells: Sequence[str], titles: Sequence[str]) -> str:
    """Cells beside each other, the first to the left."""
    first, *others = cells
    widths = [max(12, len(title)) + 2 for title in titles[1:]]
    columns = [text.rjust(width) for text, width in zip(others, widths, strict=True)]
    return f"{first:36}" + "".join(columns)
