"""Writes the tables of results in the documentation:  python docs/make_results.py.

The tables are in the README and in the guides, between `<!-- results: NAME -->` and
`<!-- end of results -->`. Their numbers come from results/*.json, renamed copies of the
`summary.json` that each experiment writes to its run folder.
"""

import json
import pathlib
import re
import sys
from typing import Any

from result_tables import TABLES
from table_rows import Comparison, Row

DOCS = pathlib.Path(__file__).parent
PAGES = (
    DOCS.parent / "README.md",
    DOCS / "agents.md",
    DOCS / "guide_segmentation.md",
    DOCS / "guide_generative.md",
    DOCS / "guide_embeddings.md",
    DOCS / "guide_explanation.md",
)
PLACE = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end of results -->)", flags=re.DOTALL)
MOST_SEEDS = 5
"""If there are more seeds than this, a table shows only the smallest and largest values."""

HEAD = """| result | command | each seed | mean [95% interval] | seconds per seed |
| --- | --- | --- | --- | --- |
"""


def table(name: str) -> str:
    """Returns a table, followed by a line on the hardware and versions."""
    content = TABLES[name]
    summaries = [read(file) for file in files(content)]
    before = [None, *(summary["command"] for summary in summaries)]
    new = [each["command"] != command for each, command in zip(summaries, before, strict=False)]
    if isinstance(content, Comparison):
        text = compared(content, summaries, new)
    else:
        lines = [
            line(row, summary, with_command=fresh)
            for row, summary, fresh in zip(content, summaries, new, strict=True)
        ]
        text = HEAD + "\n".join(lines) + "\n"
    measured = sorted({_measured(summary) for summary in summaries})
    return text + "\nMeasured on " + "; and on ".join(measured) + ".\n"


def files(content: tuple[Row, ...] | Comparison) -> list[str]:
    """Returns the names of the summaries of a table, row by row."""
    if isinstance(content, Comparison):
        return [place.partition("/")[0] for _, place in content.lines]
    return [row.file for row in content]


def compared(content: Comparison, summaries: list[dict[str, Any]], new: list[bool]) -> str:
    """Returns a table with the mean and the interval of every score, and the commands.

    Scores that a summary lacks are shown as a dash.
    """
    is_one_run = len(content.lines) > 1 == len({*files(content)})
    heads = ["", *(head for head, _, _ in content.columns)]
    heads += [] if is_one_run else ["seconds per seed", "command"]
    lines = []
    for (what, place), summary, fresh in zip(content.lines, summaries, new, strict=True):
        scores = _scores_of(summary, place)
        cells = [
            _spread(scores[score], form) if score in scores else "-"
            for _, score, form in content.columns
        ]
        if not is_one_run:
            cells += ["-" if "/" in place else _seconds(summary["seconds"])]
            cells += [_command(summary) if fresh else "as above"]
        order = 0 if content.sort_by is None else scores[content.sort_by]["mean"]
        lines.append((-order if content.largest_first else order, f"| {what} | {_row(cells)}"))
    lines.sort(key=lambda line: line[0])
    seeds = {len(summary["seeds"]) for summary in summaries}
    counts = " or ".join(map(str, sorted(seeds)))
    told = f"Means over {counts} seeds, with 95% t intervals."
    if is_one_run:
        told += (
            f" {_command(summaries[0])} takes {_seconds(summaries[0]['seconds'])} seconds per seed."
        )
    if commands := _trained_by(summaries):
        told += "\n\nThe models were trained with:\n\n" + "\n".join(
            f"- `{command}`" for command in commands
        )
    text = [f"| {_row(heads)}", f"|{' --- |' * len(heads)}", *(line for _, line in lines)]
    return "\n".join(text) + f"\n\n{told}\n"


def _trained_by(summaries: list[dict[str, Any]]) -> list[str]:
    """The commands of the runs that summaries measure, each once, with their `--run-dir`."""
    return [*dict.fromkeys(each for summary in summaries for each in summary.get("trained_by", []))]


def _row(cells: list[str]) -> str:
    return f"{' | '.join(cells)} |"


def _scores_of(summary: dict[str, Any], place: str) -> dict[str, Any]:
    """The scores of a line: all of its summary, or those of one alternative in it."""
    scores: dict[str, Any] = summary["scores"]
    _, slash, name = place.partition("/")
    if not slash:
        return scores
    return {
        score.removeprefix(f"{name}/"): value
        for score, value in scores.items()
        if score.startswith(f"{name}/")
    }


def read(file: str) -> dict[str, Any]:
    """Reads a summary."""
    summary: dict[str, Any] = json.loads((DOCS / "results" / f"{file}.json").read_text())
    return summary


def page(path: pathlib.Path) -> str:
    """Returns the text of a page with its tables brought up to date."""
    return PLACE.sub(lambda place: place[1] + table(place[2]) + place[3], path.read_text())


def line(row: Row, summary: dict[str, Any], *, with_command: bool = True) -> str:
    """Formats a row; `with_command=False` writes "as above" in place of the command."""
    score = summary["scores"][row.score]
    each = ", ".join(format(value, row.form) for value in score["values"])
    if len(score["values"]) > MOST_SEEDS:
        least, most = (format(end(score["values"]), row.form) for end in (min, max))
        each = f"{least} to {most}, {len(score['values'])} seeds"
    spread, shown = _spread(score, row.form), _command(summary) if with_command else "as above"
    return f"| {row.what} | {shown} | {each} | {spread} | {_seconds(summary['seconds'])} |"


def _spread(score: dict[str, Any], form: str) -> str:
    """The mean, with its interval if the seeds differ."""
    mean, low, high = (format(value, form) for value in (score["mean"], *score["interval"]))
    return mean if low == high else f"{mean} [{low}, {high}]"


def _command(summary: dict[str, Any]) -> str:
    """The command without its `--run-dir`."""
    without = re.sub(r" --run-dir \S+", "", summary["command"])
    return f"`{without}`"


def _seconds(seconds: list[float]) -> str:
    least, most = f"{min(seconds):,.0f}", f"{max(seconds):,.0f}"
    return least if least == most else f"{least} to {most}"


def _measured(summary: dict[str, Any]) -> str:
    versions = summary["versions"]
    return (
        f"{summary['hardware']}, Python {versions['python']}, jax {versions['jax']}, "
        f"flax {versions['flax']}, optax {versions['optax']}, {summary['date']}"
    )


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(page(each))
        print(each, file=sys.stderr)
