"""The tables of docs/performance.md are those that were kept, and say where they are from."""

import json
import pathlib

import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = DOCS / "performance.md"
WHERE = {
    "hardware": {"cpu": "AMD EPYC", "cores": 2, "memory_gib": 23, "accelerators": []},
    "versions": {"python": "3.11.7", "jax": "0.10.2"},
    "date": "2026-11-30",
    "command": "python benchmarks/rl.py",
}
TABLE = {
    "name": "agents",
    "columns": [["agent", ""], ["steps/s", ",.0f"], ["compile s", ".1f"]],
    "rows": [["PPO", 147217.3, 3.72], ["a|b", 5246, None]],
    "note": "Medians.",
    "measured": WHERE,
}
MARKDOWN = """| agent | steps/s | compile s |
| --- | ---: | ---: |
| PPO | 147,217 | 3.7 |
| a\\|b | 5,246 | - |

Medians.

Measured on 2 cores of AMD EPYC, 23 GiB of memory, Python 3.11.7, jax 0.10.2; 2026-11-30, by \
`python benchmarks/rl.py`.
"""


@pytest.fixture
def pages(load):
    return load("pages")


@pytest.fixture
def folder(tmp_path):
    second = {**TABLE, "name": "replay", "note": ""}
    (tmp_path / "rl.json").write_text(json.dumps({"tables": [TABLE, second]}))
    return tmp_path


def test_the_page_has_the_tables_that_were_kept(pages) -> None:
    """To be mended by  python benchmarks/pages.py."""
    text = PAGE.read_text()
    assert pages.PLACE.search(text)
    assert text == pages.page(text)


def test_every_table_that_was_kept_is_shown_once(pages) -> None:
    shown = [
        (file, table["name"])
        for place in pages.PLACE.finditer(PAGE.read_text())
        for file, table in pages.found(place[2])
    ]
    kept = [
        (file.stem, table["name"])
        for file in sorted((DOCS / "benchmarks").glob("*.json"))
        for table in pages.read(file)
    ]
    assert sorted(shown) == sorted(kept)
    assert len(kept) > 10


def test_every_table_says_where_and_when_it_was_measured(pages) -> None:
    for file in (DOCS / "benchmarks").glob("*.json"):
        content = json.loads(file.read_text())
        assert not content.get("toy"), file
        for table in content["tables"]:
            assert {"hardware", "versions", "date", "command"} == table["measured"].keys()
            assert table["measured"]["hardware"]["cpu"]
            assert table["measured"]["date"] >= "2026-11"
            assert table["rows"]
            assert {len(row) for row in table["rows"]} == {len(table["columns"])}


def test_a_table_is_written_with_its_note_and_where_it_was_measured(pages) -> None:
    assert pages.markdown(TABLE) == MARKDOWN


def test_an_accelerator_is_named_first_and_an_unknown_command_left_out(pages) -> None:
    hardware = {**WHERE["hardware"], "accelerators": ["NVIDIA H200"], "memory_gib": None}
    line = pages.measured({**WHERE, "hardware": hardware, "command": None})
    assert line == (
        "Measured on 1 x NVIDIA H200, 2 cores of AMD EPYC, Python 3.11.7, jax 0.10.2; 2026-11-30."
    )


def test_places_are_files_tables_and_patterns(pages, folder) -> None:
    assert pages.shown("rl:agents", folder) == MARKDOWN
    assert pages.shown("rl", folder).count("Measured on") == 2
    assert pages.shown("r*", folder) == pages.shown("rl", folder)
    assert pages.shown("accelerator_*", folder) == "No numbers yet.\n"
    assert pages.shown("rl:memory", folder) == "No numbers yet.\n"


def test_text_around_places_stays(pages, folder) -> None:
    before = "a\n<!-- benchmark: rl:agents -->\nold\n<!-- end of benchmark -->\nb\n"
    after = pages.page(before, folder)
    assert after == (f"a\n<!-- benchmark: rl:agents -->\n{MARKDOWN}<!-- end of benchmark -->\nb\n")
    assert pages.page(after, folder) == after
