"""Work before the first training step: checks, a table of classes, a picture of a batch."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from common import script

import jax
import numpy as np

from jaxvision import checks, data, train
from jaxvision.train.run.record import check_settings, make_record, read_record

_MOST_CLASSES = 20


def begin(settings: Any, loss_fn: Any, train_data: data.Dataset) -> data.Batches:
    """Checks settings before anything compiles or is written, and returns the batches to train on.

    `settings` has the groups `run`, `data` and `optimization`; see `train_model`.
    """
    run, optimization = settings.run, settings.optimization
    with script.checking(TypeError):
        for name in ("log_every", "eval_every", "checkpoint_every"):
            if getattr(run, name) is not None:
                checks.check_count(name, getattr(run, name), of="steps")
        if run.patience is not None:
            checks.check_count("patience", run.patience, of="evaluations")
        parts = optimization.accumulate_steps
        if optimization.batch_size % parts:
            raise ValueError(
                f"--accumulate-steps {parts} must divide --batch-size {optimization.batch_size}"
            )
        if hasattr(loss_fn, "check"):
            loss_fn.check(train_data.sample_batch())
        return train_data.batches(
            optimization.batch_size, seed=run.seed, num_workers=settings.data.num_workers
        )


def check_folder(
    run_dir: str, settings: Any, step: Any, batches: data.Batches, may_differ: Sequence[str]
) -> int:
    """Checks, before a file is written, that a folder holds no run with other settings.

    `fit` checks the same, from the same arguments. Returns the newest step of the run in the
    folder; 0 if there is none.
    """
    folder = pathlib.Path(run_dir).expanduser()
    checkpointer = train.Checkpointer(folder / "checkpoints")
    latest = checkpointer.latest()
    if latest is not None:
        where = f"the record of step {latest} in {folder}"
        before = read_record(checkpointer.extra(latest).get("record"), where)
        check_settings(before, make_record(settings, step, batches), folder, may_differ)
    return latest or 0


def introduce(run: Any, loss_fn: Any, train_data: data.Dataset, eval_data: data.Dataset) -> None:
    """Prints the classes of the data, and draws a batch into the run's folder."""
    if jax.process_index() == 0:
        print(counts_table({"training": train_data, "evaluation": eval_data}), end="")
        if run.figures and hasattr(loss_fn, "inputs"):
            picture(run, loss_fn.inputs, train_data)


def counts_table(datasets: Mapping[str, data.Dataset]) -> str:
    """Formats the number of examples, or the share of pixels, of each class as a table.

    `datasets` are named by their purpose. Classes are counted only where no image has to be read.
    """
    lines = [
        f"{what} data: {each.name}/{each.split}, {len(each):,} images"
        for what, each in datasets.items()
    ]
    first = next(iter(datasets.values()))
    field = next((name for name in ("label", "mask") if name in first.fields), None)
    if field is not None and all(data.counts_are_known(d, field) for d in datasets.values()):
        names = first.fields[field].names
        counts = [data.class_counts(each, field) for each in datasets.values()]
        if 0 < len(names) == len(counts[0]) and len({len(each) for each in counts}) == 1:
            lines += _rows(field, names, [*datasets], counts)
    return "\n".join(lines) + "\n"


def _rows(
    field: str, names: Sequence[str], columns: Sequence[str], counts: Sequence[np.ndarray]
) -> list[str]:
    """A row per class; if there are many, only those with the most and the fewest examples."""
    order = np.argsort(-counts[0], kind="stable")
    half = _MOST_CLASSES // 2
    shown = [*range(len(names))]
    if len(names) > _MOST_CLASSES:
        shown = [*order[:half], -1, *order[-half:]]
    unit = "images" if field == "label" else "pixels"
    width = min(max(len(name) for name in [*names, "class"]), 30)
    rows = [f"  {'class':{width}}" + "".join(f"  {column + ' ' + unit:>18}" for column in columns)]
    for index in shown:
        if index < 0:
            rows.append(f"  ... ({len(names) - 2 * half} classes between these)")
            continue
        cells = "".join(f"  {_cell(each, index, field):>18}" for each in counts)
        rows.append(f"  {names[index][:width]:{width}}{cells}")
    return rows


def _cell(counts: np.ndarray, index: int, field: str) -> str:
    if field == "label":
        return f"{counts[index]:,}"
    return f"{counts[index] / max(counts.sum(), 1):.1%}"


def picture(run: Any, inputs: train.Inputs, train_data: data.Dataset) -> None:
    """Draws some training images as the model will see them, in the run's folder."""
    path = train.draw_batch(pathlib.Path(run.run_dir).expanduser(), train_data, inputs, run.seed)
    if path is not None:
        print(f"  images as the model sees them: {path}")
