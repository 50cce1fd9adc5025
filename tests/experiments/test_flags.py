"""Command lines: wrong flags, and help."""

import dataclasses
import importlib
import pathlib
import re
import types
from collections.abc import Iterator

import pytest
from scripts import EXPERIMENTS, modules_of_scripts, run_here


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    with modules_of_scripts():
        yield importlib.import_module("common.flags")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", 3], "no option --epochs; did you mean --num-steps?"),
        (["--lr", "0.1"], "no option --lr; did you mean --learning-rate?"),
        (["--modle", "mlp"], "no option --modle; did you mean --model?"),
        (["--gpu", "0"], "no option --gpu: JAX takes all devices"),
        (["--augmentation.flpi"], "no option --augmentation.flpi"),
        (["--optimizer", "adamW"], "--optimizer must be one of sgd, .*'adamW'; did you mean adamw"),
        (["--batch-size", "many"], "--batch-size must be a whole number, got 'many'"),
        (["--batch_size=many"], "--batch-size must be a whole number, got 'many'"),
        (["--validation", "20%"], "--validation must be a number or None, got '20%'"),
        (["--image-size", "32", "tall"], "--image-size must be .*, got 'tall'"),
        (["--image-size", "1", "2", "3"], "--image-size takes at most 2 values, got 3: 1 2 3"),
        (["--channels", "2"], "--channels must be one of 1, 3, 4, got '2'"),
        (["--learning-rate"], "--learning-rate needs a value: a number"),
        (["--model-options", "dropout"], "--model-options takes pairs of NAME VALUE, got 'drop"),
        (["--flip", "True"], "--flip takes no value, got 'True': write --flip, or --no-flip"),
        (["runs/lenet"], "unexpected argument 'runs/lenet'"),
    ],
)
def test_a_wrong_flag_is_said_in_a_line(arguments: list, message: str) -> None:
    said = run_here("classify", *arguments, code=2).stderr
    assert re.search(message, said)
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("values", [[], ["soft_dice"], ["soft_dice", "1", "tversky"]])
def test_losses_of_masks_are_pairs(values: list) -> None:
    (said,) = run_here("segment", "--loss", *values, code=2).stderr.splitlines()
    got = repr(" ".join(values)) if values else "nothing"
    assert said.startswith(f"--loss takes pairs of NAME VALUE, got {got}; names are pixel_cross")


@pytest.mark.parametrize(
    ("script", "arguments", "name"),
    [
        ("finetune", ["--phases", "2"], "START is required, before the options"),
        ("predict", [], "RUN_DIR is required, before the options"),
        ("samples", ["runs/vae"], "--classifier STR is required"),
    ],
)
def test_what_is_required_is_said_in_a_line(script: str, arguments: list, name: str) -> None:
    (said,) = run_here(script, *arguments, code=2).stderr.splitlines()
    assert said == f"{name}; --help lists all options"


def test_every_wrong_flag_is_said(flags: types.ModuleType) -> None:
    known = {"num-steps": int, "flip": bool}
    with pytest.raises(SystemExit):
        flags.check(["--num-steps", "x", "--flop"], known)
    flags.check(["--num-steps", "3", "--no-flip", "--flip"], known)


def test_an_option_of_other_programs_is_not_suggested_where_it_does_not_exist(
    flags: types.ModuleType, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        flags.check(["--lr", "1"], {"step": int})
    assert "learning-rate" not in capsys.readouterr().err


def test_advice_leads_to_options_of_the_scripts(flags: types.ModuleType) -> None:
    advice = importlib.import_module("common.other_programs").ADVICE
    scripts = ["classify", "segment", "finetune", "predict"]
    known = {
        flag.name
        for script in scripts
        for flag in flags.flags_of(importlib.import_module(script).Settings)
    }
    meant = {name.partition(" ")[0] for name, _ in advice.values() if name is not None}
    assert meant <= known
    assert advice.keys() & known == {"num-classes"}  # of segment.py alone


@pytest.mark.parametrize("option", ["--augmentation.flip", "--augmentation.no-flip", "--flip"])
def test_flags_of_augmentation_may_have_the_name_of_their_group(
    flags: types.ModuleType, option: str
) -> None:
    settings = importlib.import_module("common.run").Settings
    found = flags.flags_of(settings)
    expected = {"--augmentation.no-flip": "--no-flip"}.get(option, "--flip")
    assert flags.shortened([option, "--mean=1"], found) == [expected, "--mean=1"]


@pytest.mark.parametrize("script", sorted(path.stem for path in EXPERIMENTS.glob("*.py")))
def test_help_fits_a_terminal(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = run_here(script, "--help").stdout
    assert "usage:" in said
    lines = said.splitlines()
    assert max(len(line) for line in lines if not line.startswith("usage:")) <= 80


def test_help_of_an_option_has_no_line_breaks(flags: types.ModuleType) -> None:
    data = importlib.import_module("common.data").Data
    flags.describe(importlib.import_module("common.run").Settings)
    said = {field.name: field.metadata["help"] for field in dataclasses.fields(data)}
    assert said["dataset"].startswith("Name of a data set of TensorFlow Datasets; or path of")
    assert not [text for text in said.values() if "\n" in text or "  " in text]


def test_help_has_a_panel_for_every_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = run_here("classify", "--help").stdout
    for group in ("data", "model", "inputs", "augmentation", "loss", "optimization", "run"):
        assert f"╭─ {group} options ─" in said
    assert "--dataset STR" in said
    assert "--data.dataset" not in said


def test_examples_of_help_are_commands_that_exist() -> None:
    for path in EXPERIMENTS.glob("*.py"):
        for named in re.findall(r"python experiments/(\w+)\.py", path.read_text()):
            assert pathlib.Path(EXPERIMENTS, f"{named}.py").exists()
