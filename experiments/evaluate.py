"""Evaluates a trained model from its run folder alone.

    python experiments/evaluate.py runs/lenet
    python experiments/evaluate.py runs/lenet --compare runs/mlp

Prints every score with a 95% interval, for classifiers also the scores of each class. The scores
depend on the task of the run. Writes evaluations/DATA.json and figures/DATA/ into the run folder,
where DATA is the name of the data set and the split; for classifiers also
evaluations/DATA/mistakes.csv, the list of wrong predictions. With --compare, a significance test
compares two models.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

from common import script
from common.places import run_folder
from common.restored import load_for

import tyro

from jaxvision import checks, data, plots, train
from jaxvision.files import file_name, write_csv, write_json
from jaxvision.metrics import ClassScore, Score, class_table, score_table


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of an evaluation."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """Folder of a run, which a training script has written."""
    split: str | None = None
    """Split to evaluate on; None takes the split on which the run was evaluated during training."""
    dataset: str | None = None
    """Data set, or folder (with a slash, as in ./pets), to evaluate on; None takes the run's
    own."""
    masks: str | None = None
    """Folder of masks, if --dataset is a folder of images and the run is a segmenter."""
    data_dir: str | None = None
    """Folder in which TensorFlow Datasets keeps its files; None takes that of the run."""
    step: int | None = None
    """Step of the checkpoint to use; None takes the newest checkpoint."""
    best: bool = False
    """Use the best checkpoint, which the run has kept if it was trained with --keep-best."""
    batch_size: int = 256
    """Number of images that are computed at once."""
    num_resamples: int = 1000
    """Number of bootstrap resamples for the intervals; 0 omits the intervals that need them."""
    compare: str | None = None
    """Folder of another run, to compare with on the same data."""
    figures: bool = True
    """Draw figures (needs matplotlib)."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Predictions of a restored run, and their scores; the types depend on the task."""

    predictions: Any
    dataset: data.Dataset | None
    scores: Mapping[str, Score]
    figures: list[pathlib.Path]


def predict(settings: Settings, run_dir: str) -> tuple[train.Trained, Any, data.Dataset | None]:
    """Restores a run, and applies its model to the data."""
    folder = run_folder(run_dir)
    try:
        trained = train.restore(folder, step="best" if settings.best else settings.step)
    except train.CheckpointError as error:
        if settings.best and "keeps no best" in str(error):
            raise SystemExit(
                f"{run_dir} keeps no best checkpoint: leave out --best, or train it with "
                "--keep-best METRIC, such as accuracy"
            ) from error
        raise
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
    """Tests whether the models of two runs differ."""
    assert settings.compare is not None
    _, others, _ = predict(settings, settings.compare)
    try:
        with script.asking():
            words, numbers = trained.compare(
                own, others, num_resamples=max(settings.num_resamples, 1000)
            )
    except ValueError as error:
        raise SystemExit(
            f"{settings.compare}: {error}; give a --split and --dataset that fit both runs"
        ) from error
    print(f"\n{settings.run_dir} against {settings.compare}\n{words}")
    return {"other": settings.compare, **numbers}


def told(scores: Mapping[str, Score]) -> dict[str, Score]:
    """The scores, with a note in place of each interval of zero width."""
    note = "no interval: all samples agree"
    return {
        name: Score(score.value, note=note) if score.low == score.high else score
        for name, score in scores.items()
    }


def in_numbers(score: ClassScore) -> dict[str, Any]:
    """The scores of a class, for JSON."""
    rates = ("precision", "recall", "f1")
    return {name: getattr(score, name)._asdict() for name in rates} | {"count": score.num_examples}


def write_mistakes(
    trained: train.Trained, predictions: Any, dataset: data.Dataset | None, path: pathlib.Path
) -> None:
    """Writes the wrong predictions, the most confident first, if the task has any."""
    found = None if dataset is None else trained.mistakes(predictions, dataset)
    if found is None or dataset is None:
        return
    place = "index" if dataset.file_names is None else "file"
    path.parent.mkdir(exist_ok=True)
    write_csv(path, (place, "true", "predicted", "probability"), found)
    print(f"\n{len(found)} mistakes: {path}")


def main(settings: Settings) -> Evaluation:
    """Evaluates a run; prints and writes the scores and the figures."""
    if settings.best and settings.step is not None:
        raise SystemExit(f"--best and --step {settings.step} are two checkpoints: give one")
    with script.checking():
        checks.check_count("batch_size", settings.batch_size, of="images")
        checks.check_count("num_resamples", settings.num_resamples, least=0)
        if settings.figures:
            plots.require_matplotlib()
    train.start()
    run_dir = pathlib.Path(settings.run_dir).expanduser()
    trained, predictions, dataset = predict(settings, settings.run_dir)
    with script.asking():
        scores = trained.evaluate(predictions, num_resamples=settings.num_resamples)
    where = "its environment" if dataset is None else f"{dataset.name}/{dataset.split}"
    count = "" if dataset is None else f"{len(dataset)} images of "
    print(f"{run_dir} on {count}{where}\n{score_table(told(scores))}")
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
