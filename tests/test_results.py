"""The tables of results in the documentation match the stored summaries."""

import importlib.util
import pathlib

import pytest

DOCS = pathlib.Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def make_results():
    """The script that writes the tables."""
    spec = importlib.util.spec_from_file_location("make_results", DOCS / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_have_the_tables_of_the_summaries(make_results) -> None:
    """If this fails, run  python docs/make_results.py."""
    for path in make_results.PAGES:
        assert make_results.PLACE.search(path.read_text()), path
        assert path.read_text() == make_results.page(path), path


def test_every_summary_has_a_row_and_says_where_it_was_measured(make_results) -> None:
    shown = {file for each in make_results.TABLES.values() for file in make_results.files(each)}
    files = {path.stem for path in (DOCS / "results").glob("*.json")}
    assert shown == files
    for file in files:
        summary = make_results.read(file)
        assert summary["hardware"]
        assert summary["date"]
        assert {"jax", "flax", "optax", "python"} <= summary["versions"].keys()
        assert len(summary["seeds"]) >= 3
        for score in summary["scores"].values():
            assert len(score["values"]) == len(summary["seeds"])


def test_a_line_says_what_the_seeds_came_to(make_results) -> None:
    score = {"values": [0.5, 0.25], "mean": 0.375, "interval": [0.1, 0.65]}
    summary = {
        "scores": {"accuracy": score},
        "command": "demo.py --run-dir /some/where --seeds 0 1",
        "seconds": [12.4, 9.6],
    }
    row = make_results.Row("accuracy", "demo", "accuracy", ".1%")
    many = {**score, "values": [0.5, 0.25] * 3}
    assert "| 25.0% to 50.0%, 6 seeds |" in make_results.line(
        row, {**summary, "scores": {"accuracy": many}}
    )
    assert make_results.line(row, summary) == (
        "| accuracy | `demo.py --seeds 0 1` | 50.0%, 25.0% | 37.5% [10.0%, 65.0%] | 10 to 12 |"
    )


def test_a_comparison_has_a_line_per_summary(make_results) -> None:
    summary = {
        "command": "gan.py --run-dir x --games hinge wgan",
        "seconds": [3.0],
        "seeds": [0, 1],
        "scores": {
            "modes": {"values": [10, 10], "mean": 10, "interval": [10, 10]},
            "recall": {"values": [0.5, 0.6], "mean": 0.55, "interval": [0.5, 0.6]},
        },
    }
    content = make_results.Comparison(
        (("hinge", "a"), ("WGAN", "b")), (("digits", "modes", ".0f"), ("recall", "recall", ".2f"))
    )
    text = make_results.compared(content, [summary, summary], [True, False])
    assert text.splitlines()[2:] == [
        "| hinge | 10 | 0.55 [0.50, 0.60] | 3 | `gan.py --games hinge wgan` |",
        "| WGAN | 10 | 0.55 [0.50, 0.60] | 3 | as above |",
        "",
        "Means over 2 seeds, with 95% t intervals.",
    ]


def test_what_a_summary_lacks_is_a_dash_and_the_commands_of_its_runs_follow(make_results) -> None:
    score = {"values": [2.0] * 3, "mean": 2.0, "interval": [2.0, 2.0]}
    trained_by = ["vae.py --run-dir runs/vae", "gan.py --run-dir runs/gan"]
    summary = {
        "command": "samples.py runs/vae",
        "seconds": [3.0],
        "seeds": [0, 1, 2],
        "scores": {"bits": score, "normal/bits": score},
        "trained_by": trained_by,
    }
    content = make_results.Comparison(
        (("VAE", "vae"), ("normal", "vae/normal"), ("other", "other")),
        (("bits", "bits", ".1f"), ("recall", "recall", ".1f")),
    )
    text = make_results.compared(content, [summary] * 3, [True, False, False])
    assert text.splitlines()[2:] == [
        "| VAE | 2.0 | - | 3 | `samples.py runs/vae` |",
        "| normal | 2.0 | - | - | as above |",
        "| other | 2.0 | - | 3 | as above |",
        "",
        "Means over 3 seeds, with 95% t intervals.",
        "",
        "The models were trained with:",
        "",
        "- `vae.py --run-dir runs/vae`",
        "- `gan.py --run-dir runs/gan`",
    ]


def test_alternatives_of_one_summary_are_sorted(make_results) -> None:
    def score(mean: float) -> dict:
        return {"values": [mean] * 3, "mean": mean, "interval": [mean, mean]}

    summary = {
        "command": "explainers.py --run-dir x",
        "seconds": [3.0, 4.0],
        "seeds": [0, 1, 2],
        "scores": {"cam/rank": score(2), "rise/rank": score(1), "rise2/rank": score(3)},
    }
    lines = (("CAM", "all/cam"), ("RISE", "all/rise"))
    for largest_first in (False, True):
        content = make_results.Comparison(
            lines, (("rank", "rank", ".1f"),), sort_by="rank", largest_first=largest_first
        )
        head, rule, *rows = make_results.compared(content, [summary] * 2, [True, False]).split("\n")
        assert (head, rule) == ("|  | rank |", "| --- | --- |")
        expected = ["| RISE | 1.0 |", "| CAM | 2.0 |"]
        assert rows[:2] == (expected[::-1] if largest_first else expected)
        assert rows[2:] == [
            "",
            "Means over 3 seeds, with 95% t intervals. "
            "`explainers.py` takes 3 to 4 seconds per seed.",
            "",
        ]
