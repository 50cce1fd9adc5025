"""Tables are printed as they grow, and kept with where they were measured."""

import dataclasses
import json
import math
import pathlib
from typing import ClassVar

import pytest


@pytest.fixture
def tables(load):
    return load("tables")


@pytest.fixture
def provenance(load):
    return load("provenance")


def test_rows_are_printed_when_they_are_added(tables, capsys) -> None:
    table = tables.Table("layers", {"layer": "", "ms": ".2f"})
    assert capsys.readouterr().out == ""
    table.add("dense", 1.234)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        [],
        ["layer", "ms"],
        ["dense", "1.23"],
    ]
    table.add("grouped", None)
    assert capsys.readouterr().out.split() == ["grouped", "-"]


def test_what_json_cannot_say_is_left_out(tables) -> None:
    table = tables.Table("layers", {"layer": "", "ms": ".2f", "times": "d"})
    table.add("dense", math.nan, 3)
    table.add("grouped", math.inf, 0)
    assert table.content()["rows"] == [["dense", None, 3], ["grouped", None, 0]]
    assert table.content()["columns"] == [["layer", ""], ["ms", ".2f"], ["times", "d"]]
    assert json.loads(json.dumps(table.content())) == table.content()


def test_a_row_has_a_cell_for_each_column(tables) -> None:
    table = tables.Table("layers", {"layer": "", "ms": ".2f"})
    with pytest.raises(ValueError, match="must have 2 cells, got 1"):
        table.add("dense")
    with pytest.raises(ValueError, match="must have a column"):
        tables.Table("layers", {})


def test_tables_of_other_names_stay_in_the_file(tables, tmp_path) -> None:
    file = tmp_path / "new" / "rl.json"

    def keep(name, value, date):
        table = tables.Table(name, {"what": "", "n": "d"})
        table.add("a", value)
        tables.keep(file, [table], {"date": date})

    keep("agents", 1, "2026-11-01")
    keep("replay", 2, "2026-11-02")
    keep("agents", 3, "2026-11-03")
    kept = [(each["name"], each["rows"], each["measured"]["date"]) for each in tables.read(file)]
    assert kept == [("agents", [["a", 3]], "2026-11-03"), ("replay", [["a", 2]], "2026-11-02")]
    assert [path.name for path in file.parent.iterdir()] == ["rl.json"]
    assert '\n    ["a", 3]\n' in file.read_text()  # a row is a line


def test_toys_and_parts_of_tables_do_not_go_to_the_docs(tables, tmp_path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Settings(tables.Common):
        only: str = ""
        rounds: int = 20
        TOY: ClassVar = {"rounds": 1}

    with pytest.raises(SystemExit, match="--quick"):
        Settings(save=True, quick=True).sized()
    with pytest.raises(SystemExit, match="--only"):
        Settings(save=True, only="dense").sized()
    assert Settings(save=True, quick=True, only="a", folder=tmp_path).sized().rounds == 1
    assert Settings(save=True).sized().rounds == 20


def test_what_is_measured_says_where(provenance) -> None:
    where = provenance.measured("rl", ("pytest", "no-such-package"))
    assert where["hardware"]["cpu"]
    assert where["hardware"]["cores"] >= 1
    assert where["hardware"]["accelerators"] == []
    assert where["versions"].keys() == {"python", "jax", "jaxlib", "flax", "optax", "pytest"}


def test_a_command_has_what_matters(provenance, monkeypatch) -> None:
    for name in provenance.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PJRT_NPROC", "1")
    given = ["--save", "--folder", "/some/where", "--rounds", "3", "--folder=there", "--no-layers"]
    assert provenance.command("rl", given) == (
        "PJRT_NPROC=1 python benchmarks/rl.py --rounds 3 --no-layers"
    )
    assert provenance.cores() == 1


def test_the_processor_has_a_name(provenance, tmp_path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: AMD EPYC 7B13\n\nmodel name\t: another\n")
    assert provenance.cpu(file) == "AMD EPYC 7B13"
    assert provenance.cpu(pathlib.Path("/no/such/file"))
