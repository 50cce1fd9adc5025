"""The runner knows all benchmarks, and goes on when one fails."""

import pathlib
import re

import pytest

NO_BENCHMARKS = {"run", "pages"}


BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def run(load):
    return load("run")


def test_every_benchmark_is_known(run) -> None:
    scripts = {
        path.stem
        for path in BENCHMARKS.glob("*.py")
        if '__name__ == "__main__"' in path.read_text()
    }
    assert scripts - NO_BENCHMARKS == {*run.JOBS}


def test_every_benchmark_keeps_its_tables_under_its_name(run) -> None:
    for name in {*run.JOBS} - {"accelerator"}:
        text = (BENCHMARKS / f"{name}.py").read_text()
        assert re.search(rf'launch\("{name}", main, Settings, __doc__', text), name
        assert "TOY: ClassVar" in text, name


def test_what_takes_long_runs_only_when_it_is_chosen(run) -> None:
    assert {*run.JOBS} - {*run.chosen(())} == {"tpu_compile", "accelerator"}
    assert [*run.chosen(("tpu_compile", "rl"))] == ["rl", "tpu_compile"]
    with pytest.raises(SystemExit, match="no benchmark is called convolution; there are"):
        run.chosen(("convolution",))


def test_a_failure_does_not_stop_the_others(run, monkeypatch, tmp_path) -> None:
    (tmp_path / "good.py").write_text(
        "import json, os, pathlib, sys\n"
        "given = [sys.argv[1:], os.environ['GLIBC_TUNABLES'], os.environ['PJRT_NPROC']]\n"
        "pathlib.Path(sys.argv[3], 'good.json').write_text(json.dumps(given))\n"
    )
    (tmp_path / "bad.py").write_text("raise SystemExit(3)\n")
    monkeypatch.setattr(run, "BENCHMARKS", tmp_path)
    one = {"PJRT_NPROC": "1"}
    jobs = {
        "bad": run.Job(),
        "absent": run.Job(needs="no_such_module"),
        "good": run.Job(arguments=("--scaling",), environment=one),
    }
    assert run.run_all(jobs, tmp_path, quick=False) == {
        "bad": "failed with status 3",
        "absent": "left out: no_such_module is not installed",
    }
    text = (tmp_path / "good.json").read_text()
    assert text == (
        f'[["--save", "--folder", "{tmp_path}", "--scaling"], "glibc.malloc.hugetlb=1", "1"]'
    )


def test_a_plan_for_tpus_becomes_a_row(load, unchecked) -> None:
    import jax

    from jaxvision import train

    module = load("tpu_compile")
    mesh = train.data_mesh(jax.devices()[:1])
    step = train.parallelize(lambda state, batch: (state * 2, {}), mesh)
    shape = jax.ShapeDtypeStruct((8, 8), "float32")
    cells = module.cells_of(train.planning.plan(step, shape, shape))
    assert len(cells) == len(module.COLUMNS) - 1
    table = module.Table("programs", module.COLUMNS)
    table.add("twice", *cells)
    assert table.rows[0][:2] == ["twice", 1]
    assert table.rows[0][-1] == ""
