"""What scripts say where an interval would have no width."""

import importlib
import math

import pytest
from scripts import EXPERIMENTS, modules_of_scripts

from jaxvision.metrics import Score, score_table


def test_an_interval_without_width_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    with modules_of_scripts():
        evaluate = importlib.import_module("evaluate")
        seeds = importlib.import_module("common.seeds")
    scores = {"one": Score(1.0, 1.0, 1.0), "other": Score(0.5, 0.2, 0.8), "none": Score(2.0)}
    told = evaluate.told(scores)
    assert math.isnan(told["one"].low)
    assert (told["other"], told["none"]) == (scores["other"], scores["none"])
    assert "1.0000  (no interval: all samples agree)" in score_table(told)
    assert seeds.in_brackets((-12.651, -12.649)) == ""
    assert seeds.in_brackets(None) == ""
    assert seeds.in_brackets((0.25, 0.5)) == "[0.25, 0.50]"
