"""What a section is given: sizes, time that is left, and tables that are kept row by row."""

import dataclasses
import importlib.util
import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from provenance import measured
from tables import Table, installed_version, write

PEERS = ("torch", "torchvision")


@dataclasses.dataclass
class Context:
    """Where a section is, while it measures.

    Attributes:
        name: Of the section.
        folder: Where results are kept.
        toy: Whether to take tiny sizes.
        deadline: When it will be cut off, by `time.time()`.
        torch_seconds: About how long the half with torch takes.
        found: Its tables so far.
    """

    name: str
    folder: pathlib.Path
    toy: bool
    deadline: float
    torch_seconds: float = 0
    found: list[Table] = dataclasses.field(default_factory=list)

    def table(self, name: str, columns: Mapping[str, str], note: str = "") -> Table:
        """A table that is kept after every row."""
        table = Table(name, columns, note, on_add=self._keep)
        self.found.append(table)
        return table

    def torch(self, table: Table, needs: str = "torch") -> Any:
        """torch, if it is to be compared with; else None, and the table's note says why not.

        Args:
            table: The table.
            needs: The package that has the models to compare with.

        Returns:
            The module, or None.
        """
        for package in ("torch", needs):
            if importlib.util.find_spec(package) is None:
                table.note += f" {package} is not installed."
                return None
        import torch

        if not (self.toy or torch.cuda.is_available()):
            table.note += " torch has no CUDA here."
            return None
        if time.time() + self.torch_seconds > self.deadline:
            table.note += " No time was left for torch."
            return None
        return torch

    def content(self) -> dict[str, Any]:
        """What is kept."""
        where = measured("accelerator", PEERS)
        where["hardware"]["accelerators"] = where["hardware"]["accelerators"][:1]  # uses the first
        where["command"] = f"python benchmarks/accelerator.py --sections {self.name}"
        tables = [{**table.content(), "measured": where} for table in self.found]
        return {"toy": self.toy, "tables": tables}

    def finish(self) -> None:
        """Keeps the results as those of a section that has ended."""
        write(done_file(self.folder, self.name), self.content())
        unfinished_file(self.folder, self.name).unlink(missing_ok=True)

    def _keep(self) -> None:
        write(unfinished_file(self.folder, self.name), self.content())


def done_file(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where the results of a section lie when it has ended."""
    return folder / f"accelerator_{name}.json"


def unfinished_file(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where they lie meanwhile."""
    return folder / "unfinished" / f"{name}.json"


def is_done(folder: pathlib.Path, name: str, toy: bool, where: Mapping[str, Any]) -> bool:
    """Whether there are results of the same versions on the same kind of devices."""
    file = done_file(folder, name)
    if not file.exists():
        return False
    content = json.loads(file.read_text())
    before = content["tables"][0]["measured"]
    same = before["versions"] == where["versions"]
    now, then = (each["hardware"]["accelerators"][:1] for each in (where, before))
    return bool(content["toy"] == toy and same and now == then)


def torch_title() -> str:
    """What torch is called in a table."""
    return f"torch.compile, torch {installed_version('torch')}"
