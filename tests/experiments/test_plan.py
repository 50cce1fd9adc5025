"""What plan.py says, as a user starts it."""

import importlib.util
import re

import pytest
from scripts import run_here

compiler = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="libtpu, the compiler for TPUs, is not installed: the extra 'tpu'",
)
LENET = ("--dataset", "digits", "--model", "lenet5", "--topology", "v5e:2x2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--topology", "v5e:3x4"], "there is no slice of 3x4 chips of v5e; use one of 1x1, 2x2"),
        (["--topology", "v5:2x4"], "unknown chip 'v5'; did you mean 'v5p'?"),
        (["--image-size", "0"], "image_size must be"),
        (["--batch-size", "0"], "batch_size must be"),
        (["--distributed"], "a plan is made by one process for all chips"),
    ],
)
def test_wrong_settings_are_told_without_the_compiler(options: list[str], message: str) -> None:
    assert message in run_here("plan", *options, code=1).stderr


def test_without_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: find(name, *rest) if name != "libtpu" else None,
    )
    done = run_here("plan", code=1)
    assert "the extra 'tpu'" in done.stderr
    assert done.stdout == ""


@compiler
@pytest.mark.release
def test_a_plan() -> None:
    done = run_here("plan", *LENET, "--batch-size", 64, "--ema-decay", 0.99)
    assert done.stdout.startswith("lenet5 in float32, 64 images of 32x32x1, momentum, by jit\n")
    assert "4 of v5e:2x2; compiled in" in done.stdout
    assert re.search(r"memory +\d+\.\d+ MiB a chip, fits: v5e has 15\.75 GiB", done.stdout)
    for part in ("params", "opt_state", "ema_params", "batch", "temporaries", "all-reduce"):
        assert re.search(rf"^ *{part} ", done.stdout, re.MULTILINE), part
    assert "bound by" in done.stdout


@compiler
@pytest.mark.release
def test_a_segmenter_by_pmap() -> None:
    done = run_here(
        *("plan", *LENET, "--segmenter", "unet", "--strategy", "pmap", "--batch-size", 8),
    )
    assert done.stdout.startswith("unet over lenet5 in float32, 8 images of 32x32x1")


@compiler
@pytest.mark.release
def test_what_does_not_fit_and_what_does_not_divide() -> None:
    done = run_here("plan", *LENET, "--batch-size", 30, code=1)
    assert "a batch of 30 rows does not divide over 4 devices" in done.stderr
    wide = (
        "--model",
        "mlp",
        "--model-options",
        "hidden_sizes",
        "32768,32768",
        "--optimizer",
        "adamw",
    )
    done = run_here("plan", *wide, "--image-size", 32, "--topology", "v5e:2x2")
    assert "does NOT fit" in done.stdout
    assert re.search(r"\(shard=fsdp\(\), --fsdp\): about \d+\.\d+ GiB", done.stdout)
    assert "--dtype bfloat16" in done.stdout
