"""`jaxvision NAME`: the scripts as commands."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from scripts import EXPERIMENTS, run_here

from jaxvision import command

ROOT = EXPERIMENTS.parent


def jaxvision(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "jaxvision", *map(str, arguments)], capture_output=True, text=True
    )


def test_help_lists_every_script(capsys: pytest.CaptureFixture) -> None:
    command.main(["--help"])
    listed = capsys.readouterr().out
    for script in EXPERIMENTS.glob("*.py"):
        name = {"classify": "train", "list_models": "models"}.get(script.stem, script.stem)
        assert f"\n  {name} " in listed
    assert "Trains an image classifier: any registered model on any data set\n" in listed


def test_unknown_commands_suggest_known_ones() -> None:
    with pytest.raises(SystemExit, match="did you mean 'evaluate'"):
        command.main(["evalute"])


def test_the_version(capsys: pytest.CaptureFixture) -> None:
    command.main(["--version"])
    assert capsys.readouterr().out.startswith("jaxvision 0.")


def test_a_command_is_its_script() -> None:
    done = jaxvision("models", "lenet*")
    assert done.stdout.split() == run_here("list_models", "lenet*").stdout.split() == ["lenet5"]
    done = jaxvision("summary", "--help")
    assert "\nusage: jaxvision summary " in done.stdout
    assert "\n    jaxvision summary resnet50 --image-size 224\n    jaxvision " in done.stdout
    assert "jaxvision models lists them" in done.stdout
    assert ".py" not in done.stdout
    assert jaxvision("models", "lenet9").stderr.startswith("no model is called 'lenet9'")


def test_summary_of_a_model() -> None:
    options = ["lenet5", "--channels", 1, "--num-classes", 10]
    assert "61,706" in run_here("summary", *options).stdout
    wrong = run_here("summary", *options, "--model-options", "sub_sampling", "True", code=1)
    assert "sub_sampling" in wrong.stderr


@pytest.mark.parametrize("words", [["-m", "jaxvision", "train"], [EXPERIMENTS / "tsne.py"]])
def test_ctrl_c_ends_imports_quietly(tmp_path: pathlib.Path, words: list) -> None:
    """A library that takes forever to import stands for JAX."""
    (tmp_path / "jax.py").write_text(
        "import sys, time\nprint('imported', flush=True)\nwhile True: time.sleep(0.01)"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    with subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "imported\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert said == ""
    assert process.returncode == 130


@pytest.mark.slow
def test_ctrl_c_saves_and_ends_without_a_traceback(tmp_path: pathlib.Path) -> None:
    options = ["--run-dir", tmp_path, "--num-steps", 100_000, "--eval-every", 5, "--model", "mlp"]
    options += ["--image-size", "None"]
    with subprocess.Popen(
        [sys.executable, "-m", "jaxvision", "train", *map(str, options)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GLIBC_TUNABLES": ""},
    ) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("step "):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("saved step ")
    assert said.endswith(": start the run again to continue it\n")
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_wheel_has_the_scripts(tmp_path: pathlib.Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "jaxvision/experiments/classify.py" in names
    assert "jaxvision/experiments/common/script.py" in names
    assert any(name.endswith("entry_points.txt") for name in names)


def test_help_ends_quietly_where_its_reader_does() -> None:
    ended = subprocess.run(
        f"{sys.executable} -m jaxvision --help | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""
    assert ended.stdout.startswith("usage: jaxvision COMMAND")
