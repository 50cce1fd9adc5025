"""The sections of the accelerator script: what is done stays done, the others are said."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest

WHERE = {
    "versions": {"python": "3.11.7", "jax": "0.10.2"},
    "hardware": {"accelerators": ["NVIDIA H200"]},
}


BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def accelerator(load):
    return load("accelerator")


@pytest.fixture
def session(accelerator, load, tmp_path):
    """Runs sections that take a second each, and fail as they are told to."""
    context = load("sections.context")
    settings = accelerator.Settings(folder=tmp_path, sections=("resnet50", "tsne", "dcgan"))
    begun: list[str] = []
    now = [0.0]

    def run(*, fails: str = "", where=WHERE, budget: float = 1000.0, **options) -> dict[str, str]:
        def start(name, settings, deadline) -> str:
            begun.append(name)
            now[0] += 30
            if name == fails:
                return "failed with status 1"
            table = {"name": "steps", "measured": where}
            content = {"toy": settings.quick, "tables": [table]}
            context.write(context.done_file(settings.where, name), content)
            return "done"

        begun.clear()
        chosen = dataclasses.replace(settings, **options)
        deadline = now[0] + budget
        return accelerator.run_sections(chosen, where, start, deadline, lambda: now[0])

    run.begun = begun
    return run


def test_what_failed_or_was_not_reached_is_measured_the_next_time(session) -> None:
    assert session(fails="tsne") == {
        "resnet50": "done",
        "tsne": "failed with status 1",
        "dcgan": "done",
    }
    assert session() == {"resnet50": "done before", "tsne": "done", "dcgan": "done before"}
    assert session.begun == ["tsne"]


def test_other_versions_devices_and_sizes_are_measured_anew(session) -> None:
    session()
    newer = {**WHERE, "versions": {**WHERE["versions"], "jax": "0.12.0"}}
    for options in (
        {"where": newer},
        {"where": {**newer, "hardware": {"accelerators": ["NVIDIA L4"]}}},
        {"quick": True},
        {"quick": True, "again": True},
    ):
        session(**options)
        assert session.begun == ["resnet50", "tsne", "dcgan"], options
    session(quick=True)
    assert session.begun == []


def test_what_does_not_fit_into_the_budget_is_left_out_and_said(session) -> None:
    said = session(budget=65)
    assert said["resnet50"] == "done"
    assert said["tsne"] == "done"
    assert said["dcgan"] == "left out: takes about 25 s, and 5 s are left"
    assert session.begun == ["resnet50", "tsne"]


def test_rows_are_kept_while_a_section_is_not_done(load, tmp_path, monkeypatch) -> None:
    contexts = load("sections.context")
    context = contexts.Context("unet", tmp_path, toy=True, deadline=0.0)
    table = context.table("steps", {"contender": "", "ms": ".2f"})
    table.add("jaxvision", 1.5)
    unfinished = contexts.unfinished_file(tmp_path, "unet")
    (kept,) = json.loads(unfinished.read_text())["tables"]
    assert kept["rows"] == [["jaxvision", 1.5]]
    assert kept["measured"]["command"] == "python benchmarks/accelerator.py --sections unet"
    assert not contexts.is_done(tmp_path, "unet", True, kept["measured"])
    monkeypatch.setattr(contexts.importlib.util, "find_spec", lambda name: None)
    assert context.torch(table) is None
    context.finish()
    assert contexts.is_done(tmp_path, "unet", True, kept["measured"])
    assert not unfinished.exists()
    (kept,) = json.loads((tmp_path / "accelerator_unet.json").read_text())["tables"]
    assert kept["note"] == " torch is not installed."


def test_results_lie_where_they_are_asked_for(accelerator, tmp_path) -> None:
    Settings = accelerator.Settings
    assert Settings().where == accelerator.WORK
    assert Settings(quick=True).where == accelerator.WORK / "toy"
    assert Settings(folder=tmp_path, quick=True).where == tmp_path
    assert Settings(save=True).where == accelerator.FOLDER
    with pytest.raises(SystemExit, match="--quick"):
        Settings(save=True, quick=True).sized()


def test_sections_are_functions_of_their_files(accelerator) -> None:
    assert {*accelerator.SECTIONS} == {*accelerator.Settings().sections}
    for name, section in accelerator.SECTIONS.items():
        text = (BENCHMARKS / "sections" / f"{section.module}.py").read_text()
        assert f"\ndef {name}(context: Context) -> None:" in text


def test_all_sections_fit_into_the_budget(accelerator) -> None:
    needed = sum(each.seconds + each.torch_seconds for each in accelerator.SECTIONS.values())
    assert needed <= accelerator.Settings().budget_seconds + 50
    assert accelerator.Settings().budget_seconds < 480


@pytest.mark.parametrize(
    ("kind", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA L4", 121),
        ("Tesla T4", 65),
        ("NVIDIA L40S", None),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("cpu", None),
    ],
)
def test_peaks_are_those_of_known_devices(load, kind, teraflops) -> None:
    peaks = load("sections.peaks")
    if teraflops is None:
        assert peaks.peak_of(kind) is None
        assert peaks.utilization(1e12, 1.0, kind) is None
        assert peaks.said(kind).startswith(f"The peak of {kind!r} is not known")
    else:
        assert peaks.peak_of(kind).flops == teraflops * 1e12
        assert peaks.utilization(teraflops * 1e11, 0.2, kind) == pytest.approx(0.5)


def test_the_largest_batch_that_fits_is_taken(load) -> None:
    timing = load("sections.timing")

    def make(batch):
        if batch > 64:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")
        return -batch

    assert timing.of_largest((256, 128, 64, 32), make) == (64, -64)
    with pytest.raises(RuntimeError, match="RESOURCE_EXHAUSTED"):
        timing.of_largest((256, 128), make)
    with pytest.raises(ZeroDivisionError):
        timing.of_largest((256, 128), lambda batch: batch / 0)
    assert timing.batches_for(80 * 2**30, 256)[:2] == (256, 128)
    assert timing.batches_for(40 * 2**30, 256)[0] == 128
    assert timing.batches_for(None, 16)[0] == 2


def test_a_step_is_timed_by_windows_that_are_waited_for(load) -> None:
    timing = load("sections.timing")
    said: list[str] = []
    calls = timing.Calls(lambda: said.append("call"), lambda: said.append("wait"), 0.0)
    assert timing.seconds_per_call(calls, toy=True) > 0
    assert said == ["call", "wait"]
    said.clear()
    assert timing.seconds_per_call(calls, windows=2) > 0
    assert said[:8] == ["call"] * 3 + ["wait"] + ["call"] * 3 + ["wait"]
    assert said.count("call") == 6 + 2 * 1000
    assert said.count("wait") == 4


@pytest.mark.slow
def test_toys_run_to_the_end_and_are_not_run_again(tmp_path) -> None:
    def run() -> str:
        done = subprocess.run(
            [sys.executable, str(BENCHMARKS / "accelerator.py"), "--toy", "--folder",
             str(tmp_path), "--sections", "unet", "ppo", "lowerings"],
            capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert run().count("done in") == 3
    for name in ("unet", "ppo", "lowerings"):
        content = json.loads((tmp_path / f"accelerator_{name}.json").read_text())
        assert content["toy"]
        assert all(table["rows"] for table in content["tables"])
    assert run().count("done before") == 3
