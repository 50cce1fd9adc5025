"""Evaluates what a run trained, with nothing but its run folder.

    python experiments/evaluate.py runs/lenet
    python experiments/evaluate.py runs/lenet --compare runs/mlp

Prints every score with a 95% interval, of classifiers those of each class too, and writes
evaluations/DATA.json and figures/DATA/ into the run folder, where DATA names the data set and the
split. evaluations/DATA/mistakes.csv lists what a classifier gets wrong, by file. What is scored,
and how, is the business of the run's task. With --compare, a test says whether two models differ in
more than chance.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

import tyro
from common import script
from common.places import run_folder
from common.restored import load_for

from jaxvision import data, plots, train
from jaxvision.files import file_name, write_csv, write_json
from jaxvision.metrics import ClassScore, Score, class_table, score_table


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of an evaluation."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder that the training left."""
    split: str | None = None
    """What to evaluate on; None takes what the run was evaluated on."""
    dataset: str | None = None
    """Another data set or folder than the run's own."""
    masks: str | None = None
    """The folder of the masks, where `dataset` is a folder of images to segment."""
    data_dir: str | None = None
    """Where TensorFlow Datasets keeps its files; None takes the run's."""
    step: int | None = None
    """Which checkpoint; None takes the newest."""
    best: bool = False
    """Take the checkpoint that the run kept as its best."""
    batch_size: int = 256
    """Images at once."""
    num_resamples: int = 1000
    """Bootstrap draws for the intervals; 0 leaves most of them out."""
    compare: str | None = None
    """Another run folder, evaluated on the same data."""
    figures: bool = True
    """Whether to draw figures."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Predictions of a restored run, in the form of its task."""

    predictions: Any
    dataset: data.Dataset | None
    scores: Mapping[str, Score]
    figures: list[pathlib.Path]


def predict(settings: Settings, run_dir: str) -> tuple[train.Trained, Any, data.Dataset | None]:
    """Restores what a run trained, and applies it to the data."""
    trained = train.restore(run_folder(run_dir), step="best" if settings.best else settings.step)
    dataset = None
    if trained.needs_data:
        dataset = load_for(
            trained,
            split=settings.split,
            dataset=settings.dataset,
            masks=settings.masks,
            data_dir=settings.data_dir,
        )
    with script.asking():
        return trained, trained.predict(dataset, batch_size=settings.batch_size), dataset


def compare(settings: Settings, trained: train.Trained, own: Any) -> dict[str, Any]:
    """Tests whether what another run trained differs from this one."""
    assert settings.compare is not None
    _, others, _ = predict(settings, settings.compare)
    try:
        with script.asking():
            words, numbers = trained.compare(
                own, others, num_resamples=max(settings.num_resamples, 1000)
            )
    except ValueError as error:
        raise SystemExit(
            f"{settings.compare}: {error}; name the --split and --dataset that both share"
        ) from error
    print(f"\n{settings.run_dir} against {settings.compare}\n{words}")
    return {"other": settings.compare, **numbers}


def in_numbers(score: ClassScore) -> dict[str, Any]:
    """The scores of a class as JSON takes them."""
    rates = ("precision", "recall", "f1")
    return {name: getattr(score, name)._asdict() for name in rates} | {"count": score.num_examples}


def write_mistakes(
    trained: train.Trained, predictions: Any, dataset: data.Dataset | None, path: pathlib.Path
) -> None:
    """Writes what was predicted wrongly, the most confident first, where the task can tell."""
    found = None if dataset is None else trained.mistakes(predictions, dataset)
    if found is None or dataset is None:
        return
    place = "index" if dataset.file_names is None else "file"
    path.parent.mkdir(exist_ok=True)
    write_csv(path, (place, "true", "predicted", "probability"), found)
    print(f"\n{len(found)} mistakes: {path}")


def main(settings: Settings) -> Evaluation:
    """Evaluates, prints, and writes the scores and the figures."""
    train.start()
    if settings.figures:
        plots.require_matplotlib()
    run_dir = pathlib.Path(settings.run_dir).expanduser()
    trained, predictions, dataset = predict(settings, settings.run_dir)
    with script.asking():
        scores = trained.evaluate(predictions, num_resamples=settings.num_resamples)
    where = "its environment" if dataset is None else f"{dataset.name}/{dataset.split}"
    count = "" if dataset is None else f"{len(dataset)} images of "
    print(f"{run_dir} on {count}{where}\n{score_table(scores)}")
    content: dict[str, Any] = {
        "data": None if dataset is None else dataset.describe(),
        "scores": {name: score._asdict() for name, score in scores.items()},
    }
    if of_classes := trained.evaluate_classes(predictions):
        print(f"\n{class_table(of_classes)}")
        content["classes"] = {name: in_numbers(score) for name, score in of_classes.items()}
    if settings.compare is not None:
        content["comparison"] = compare(settings, trained, predictions)
    path = run_dir / "evaluations" / f"{file_name(where)}.json"
    path.parent.mkdir(exist_ok=True)
    write_json(path, content)
    write_mistakes(trained, predictions, dataset, path.with_suffix("") / "mistakes.csv")
    paths = trained.draw(predictions, dataset) if settings.figures else []
    for drawn in paths:
        print(drawn)
    return Evaluation(predictions, dataset, scores, paths)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
