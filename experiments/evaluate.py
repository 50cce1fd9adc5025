"""Evaluates a trained classifier with nothing but its run folder.

    python experiments/evaluate.py runs/lenet
    python experiments/evaluate.py runs/lenet --compare runs/mlp

Prints every score with a 95% interval, and writes evaluations/DATA.json and figures/DATA/ into the
run folder, where DATA names the data set and the split.
With --compare, McNemar's test says whether two models differ in more than chance.
"""

import dataclasses
import pathlib
from typing import Annotated, Any

import numpy as np
import script
import tyro
from classify import Settings as TrainSettings
from classify import hold_out, load_split

from jaxvision import data, metrics, plots, train
from jaxvision._files import file_name, write_json
from jaxvision.train.classification import Predictions, Score

DATA_SETTINGS = (
    "dataset",
    "data_dir",
    "classes",
    "per_class",
    "corrupt",
    "train_split",
    "eval_split",
    "validation",
    "seed",
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of an evaluation."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder that the training left."""
    split: str | None = None
    """What to evaluate on; None takes what the run was evaluated on."""
    dataset: str | None = None
    """Another data set or folder than the run's own."""
    data_dir: str | None = None
    """Where TensorFlow Datasets keeps its files; None takes the run's."""
    step: int | None = None
    """Which checkpoint; None takes the newest."""
    batch_size: int = 256
    """Images at once."""
    num_resamples: int = 1000
    """Bootstrap draws for the intervals; 0 leaves most of them out."""
    compare: str | None = None
    """Another run folder, evaluated on the same images."""
    figures: bool = True
    """Whether to draw figures."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Predictions of a restored model."""

    predictions: Predictions
    dataset: data.Dataset
    scores: dict[str, Score]
    figures: list[pathlib.Path]


def predict(settings: Settings, run_dir: str) -> tuple[Predictions, data.Dataset]:
    """Restores a run's model and runs it over the data."""
    trained = train.classification.restore(run_dir, step=settings.step)
    saved = trained.settings
    known = {name: saved["settings"][name] for name in DATA_SETTINGS if name in saved["settings"]}
    given = {"dataset": settings.dataset, "data_dir": settings.data_dir}
    known |= {name: value for name, value in given.items() if value is not None}
    # As they were in training, whoever made the run: the size, the channels, the classes.
    fixed = {"dataset": saved["data"]["name"], "channels": trained.channels}
    chosen = TrainSettings(**{**fixed, **known})
    held_out = chosen.validation is not None and not settings.split and not settings.dataset
    split = chosen.train_split if held_out else settings.split or chosen.eval_split
    try:
        dataset = load_split(chosen, split, trained.class_names, trained.preprocessing)
    except data.DatasetError as error:
        if "dataset" in known:
            raise
        raise SystemExit(
            f"{run_dir} was trained on data called {chosen.dataset!r}, which cannot be loaded by "
            f"that name ({error}); name the data with --dataset"
        ) from None
    if held_out:
        learned, dataset = hold_out(chosen, dataset)
        if chosen.per_class is None and len(learned) != saved["data"]["num_examples"]:
            raise SystemExit(
                f"{run_dir} was trained on {saved['data']['num_examples']} images, and without "
                f"those held out {learned.name}/{split} has {len(learned)} now: it has changed, so "
                "that some held out now may have been trained on; name a --split or a --dataset"
            )
    return trained.predict(dataset, batch_size=settings.batch_size), dataset


def table(scores: dict[str, Score]) -> str:
    """Scores with their intervals, a line each."""
    lines = [f"{'score':22}  value   95% interval"]
    for name, score in scores.items():
        interval = "" if np.isnan(score.low) else f"  [{score.low:.4f}, {score.high:.4f}]"
        note = f"  ({score.note})" if score.note else ""
        lines.append(f"{name:22}  {score.value:.4f}{interval}{note}")
    return "\n".join(lines)


def compare(settings: Settings, own: Predictions) -> dict[str, Any]:
    """Tests whether another run's model differs from this one."""
    assert settings.compare is not None
    other, _ = predict(settings, settings.compare)
    if not np.array_equal(own.labels, other.labels):
        raise SystemExit(
            f"{settings.compare} was evaluated on other images; name the --split and --dataset "
            "that both share"
        )
    labels, predictions, others = own.labels, own.classes, other.classes
    test = metrics.mcnemar(labels, predictions, others)
    difference = metrics.paired_bootstrap(
        lambda labels, outputs: float(np.mean(labels == outputs)),
        labels,
        predictions,
        others,
        seed=0,
        num_resamples=max(settings.num_resamples, 1000),
    )
    low, high = difference.interval
    print(
        f"\n{settings.run_dir} against {settings.compare}\n"
        f"accuracy {np.mean(predictions == labels):.4f} against {np.mean(others == labels):.4f}: "
        f"difference {difference.difference:+.4f} [{low:+.4f}, {high:+.4f}]\n"
        f"right where the other is wrong: {test.b} against {test.c}\n"
        f"McNemar's test: exact p = {test.exact_p_value:.4g}"
    )
    return {
        "other": settings.compare,
        "difference": difference.difference,
        "interval": [low, high],
        **dataclasses.asdict(test),
    }


def main(settings: Settings) -> Evaluation:
    """Evaluates, prints, and writes the scores and the figures."""
    train.start()
    if settings.figures:
        plots.require_matplotlib()
    run_dir = pathlib.Path(settings.run_dir).expanduser()
    predictions, dataset = predict(settings, settings.run_dir)
    scores = train.classification.score(predictions, num_resamples=settings.num_resamples)
    print(f"{run_dir} on {len(predictions.labels)} images of {dataset.name}/{dataset.split}")
    print(table(scores))
    content: dict[str, Any] = {
        "data": dataset.describe(),
        "scores": {name: score._asdict() for name, score in scores.items()},
    }
    if settings.compare is not None:
        content["comparison"] = compare(settings, predictions)
    path = run_dir / "evaluations" / f"{file_name(f'{dataset.name}/{dataset.split}')}.json"
    path.parent.mkdir(exist_ok=True)
    write_json(path, content)
    paths = train.classification.draw(run_dir, predictions, dataset) if settings.figures else []
    for path in paths:
        print(path)
    return Evaluation(predictions, dataset, scores, paths)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
