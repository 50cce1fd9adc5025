"""A second run in the folder of a first one."""

import pathlib

from scripts import run_here

PLAIN = ("--model", "mlp", "--image-size", "None", "--num-steps", 2, "--batch-size", 8)


def contents(folder: pathlib.Path) -> dict[pathlib.Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_refused_run_writes_and_prints_nothing(tmp_path: pathlib.Path) -> None:
    run_here("classify", *PLAIN, "--no-figures", "--run-dir", tmp_path)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "batch.png").write_bytes(b"that of the first run")
    before = contents(tmp_path)
    done = run_here("classify", *PLAIN, "--num-steps", 3, "--run-dir", tmp_path, code=1)
    assert "holds a run with other settings" in done.stderr
    assert "add --longer" in done.stderr
    assert done.stdout == ""
    assert contents(tmp_path) == before
    done = run_here("classify", *PLAIN, "--no-figures", "--run-dir", tmp_path)
    assert "to train it longer, add --longer and a --num-steps above 2\n" in done.stdout


def test_networks_refuse_a_folder_before_other_methods_write(tmp_path: pathlib.Path) -> None:
    options = ("--seeds", 0, "--no-figures", "--run-dir", tmp_path, "--per-class", 5, "--ks", 1)
    few = ("--methods", "knn", "mlp", "--num-folds", 2, "--batch-size", 8, "--num-steps")
    done = run_here("knn", *options, *few, 2)
    assert done.stdout.index("\nk-NN ") < done.stdout.index("\nMLP ")
    before = contents(tmp_path)
    run_here("knn", *options, *few, 3, "--metrics", "l1", code=1)
    assert contents(tmp_path) == before
