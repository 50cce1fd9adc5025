"""Chooses k by cross-validation, and compares k-NN with softmax regression, an MLP and LeNet-5.

    python experiments/knn.py
    python experiments/knn.py --ks 1 3 5 7 9 --metrics l2 --methods knn softmax

k and the distance of k-NN, and the L2 penalty of softmax regression, are those with the best mean
accuracy in cross-validation on the training split, whose folds are drawn with the seed.
knn/seed0/figures/cross_validation.png shows how the accuracy depends on them. All methods learn
from the same training images. Each is measured on the test split once, at the end; during training,
networks are evaluated on the validation split.

The table has two 95% intervals of each accuracy. The interval over seeds is the t interval of the
mean: seeds differ in the folds, the initial parameters and the order of the images. The interval
over images is Wilson's, for the mean accuracy and the number of test images: it shows how much the
accuracy may differ on another test set.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal, TypeVar, get_args

from common import script
from common.data import Data
from common.generative import labels_of, pixels
from common.learning import Devices, Inputs, Model, Optimization
from common.run import Run
from common.run import Settings as TrainSettings
from common.script import FLAT
from common.seeds import Summary, each_over_seeds, first_runs, percents

import classify
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvision import classical, data, metrics, plots, train
from jaxvision.files import write_json

Name = TypeVar("Name", bound=str)
Method = Literal["knn", "softmax", "mlp", "lenet5"]
Points = Float[np.ndarray, "images pixels"]
Classifier = Callable[[Points], Array]
"""A function from points to their classes."""
NAMES: dict[Method, str] = {
    "knn": "k-NN",
    "softmax": "softmax regression",
    "mlp": "MLP",
    "lenet5": "LeNet-5",
}
NETWORKS: tuple[Method, ...] = ("mlp", "lenet5")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the comparison."""

    run: Annotated[Run, FLAT] = dataclasses.field(default_factory=lambda: Run(run_dir="runs/knn"))
    data: Annotated[Data, FLAT] = dataclasses.field(
        default_factory=lambda: Data(image_size=None, eval_split="validation")
    )
    test_split: str = "test"
    """Split on which the methods are compared."""
    methods: tuple[Method, ...] = get_args(Method)
    """Methods to compare."""
    ks: tuple[int, ...] = tuple(range(1, 21))
    """k-NN: numbers of neighbors to choose from."""
    metrics: tuple[Literal["l2", "l1", "cosine"], ...] = ("l2", "l1", "cosine")
    """k-NN: distances to choose from."""
    penalties: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """Softmax regression: weights of the L2 penalty to choose from."""
    num_folds: int = 5
    """Number of folds of the cross-validation."""
    lenet5_size: int = 32
    """Height and width, in pixels, to which images are resized for LeNet-5; at least 16."""
    inputs: Annotated[Inputs, FLAT] = dataclasses.field(
        default_factory=lambda: Inputs(mean=(0.3,), std=(0.35,))
    )
    optimization: Annotated[Optimization, FLAT] = dataclasses.field(default_factory=Optimization)
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; each method is run once with each seed."""


@dataclasses.dataclass(frozen=True)
class Images:
    """Images as vectors of pixels in [0, 1], and their classes."""

    points: Points
    labels: Int[np.ndarray, " images"]
    num_classes: int

    @classmethod
    def of(cls, dataset: data.Dataset) -> "Images":
        """All images of a data set."""
        points = pixels(dataset).reshape(len(dataset), -1)
        return cls(points, labels_of(dataset), dataset.num_classes)


def main(settings: Settings) -> dict[Method, Summary]:
    """Measures every method with every seed, prints a table, and keeps summaries."""
    settings.run.begin(settings.devices)
    settings = dataclasses.replace(
        settings,
        data=settings.data.located(),
        ks=tuple(sorted({*settings.ks})),
        penalties=tuple(sorted({*settings.penalties})),
    )
    # Networks first: they refuse a folder with other settings before anything is written there.
    order = sorted(settings.methods, key=lambda method: method not in NETWORKS)
    found = each_over_seeds(order, settings, lambda method, chosen: fit(chosen, method))
    summaries = {method: found[method] for method in settings.methods}
    print(f"\naccuracy on {settings.data.dataset}/{settings.test_split}, with 95% intervals\n")
    print(
        f"{'method':18}  {'each seed':22}    mean  {'over seeds':18}  {'over images':18}  seconds"
    )
    for method, summary in summaries.items():
        each = ", ".join(f"{value:.2%}" for value in summary.scores["accuracy"])
        mean, count = summary.mean("accuracy"), round(summary.scores["examples"][0])
        over_seeds = percents(summary.interval("accuracy"))
        over_images = percents(metrics.wilson_interval(round(mean * count), count))
        print(
            f"{NAMES[method]:18}  {each:22}  {mean:6.2%}  {over_seeds:18}  {over_images:18}  "
            f"{max(summary.seconds):7.0f}"
        )
    figures = script.figures_in(*first_runs(settings.methods, settings))
    networks = first_runs([each for each in settings.methods if each in NETWORKS], settings)
    then = ("evaluate", networks[-1]) if networks else ("tsne",)
    script.ending(figures if settings.run.draws else [], *then)
    return summaries


def fit(settings: Settings, method: Method) -> dict[str, float]:
    """Trains one method; returns its test accuracy and the chosen options."""
    if method in NETWORKS:
        return fit_network(settings, method)
    train_data, _ = settings.data.load_splits(settings.run.seed)
    learned = Images.of(train_data)
    with script.checking():
        if method == "knn":
            chosen, classify_images = fit_knn(settings, learned)
        else:
            chosen, classify_images = fit_softmax(settings, learned)
    tested = Images.of(settings.data.load(settings.test_split, train_data.class_names))
    right = np.asarray(classify_images(tested.points)) == tested.labels
    return {"accuracy": float(right.mean()), "examples": len(right), **chosen}


def fit_knn(settings: Settings, learned: Images) -> tuple[dict[str, float], Classifier]:
    """Chooses k and the distance; returns k and the classifier."""
    folds = folds_of(settings, learned)
    accuracies = {
        metric: classical.knn_accuracies(
            learned.points, learned.labels, settings.ks, folds, metric=metric
        )
        for metric in settings.metrics
    }
    metric, k = choose(settings, "knn", accuracies, settings.ks)

    def classify_points(points: Points) -> Array:
        return classical.knn_classify(
            points,
            learned.points,
            learned.labels,
            round(k),
            num_classes=learned.num_classes,
            metric=metric,
        )

    return {"k": k}, classify_points


def fit_softmax(settings: Settings, learned: Images) -> tuple[dict[str, float], Classifier]:
    """Chooses the weight of the penalty; returns it and the classifier."""

    def regression(l2: Array, weight: Array | None = None) -> classical.LinearModel:
        return classical.softmax_regression(
            learned.points, learned.labels, num_classes=learned.num_classes, l2=l2, weight=weight
        )

    def score(key: Array, train_weight: Array, test_weight: Array) -> dict[str, Array]:
        def accuracy(l2: Array) -> Array:
            found = regression(l2, train_weight)(learned.points).argmax(axis=1)
            return (test_weight * (found == learned.labels)).sum() / test_weight.sum()

        accuracies = jax.vmap(accuracy)(jnp.asarray(settings.penalties))
        return dict(zip(map(str, settings.penalties), accuracies, strict=True))

    key = jax.random.key(settings.run.seed)
    validated = classical.cross_validate(score, folds_of(settings, learned), key=key)
    accuracies = [validated.scores[str(l2)] for l2 in settings.penalties]
    _, l2 = choose(
        settings, "softmax", {"": np.concatenate(accuracies, axis=1)}, settings.penalties
    )
    model = regression(jnp.asarray(l2))
    return {"penalty": l2}, lambda points: model(points).argmax(axis=1)


def fit_network(settings: Settings, model: str) -> dict[str, float]:
    """Trains a network as classify.py does; returns its test accuracy."""
    size = settings.lenet5_size if model == "lenet5" else settings.data.image_size
    chosen = TrainSettings(
        run=settings.run,
        data=dataclasses.replace(settings.data, image_size=size),
        model=Model(model=model),
        inputs=settings.inputs,
        optimization=settings.optimization,
        devices=settings.devices,
    )
    classify.main(chosen)
    trained = train.restore(settings.run.run_dir)
    tested = chosen.data.load(settings.test_split, trained.run.names("label"))
    scores = trained.evaluate(trained.predict(tested), num_resamples=0)
    return {"accuracy": scores["accuracy"].value, "examples": len(tested)}


def folds_of(settings: Settings, learned: Images) -> Int[np.ndarray, " images"]:
    """The fold of each image, drawn with the seed and stratified by class."""
    seed = settings.run.seed
    return classical.stratified_folds(learned.labels, settings.num_folds, seed=seed)


def choose(
    settings: Settings,
    method: Method,
    accuracies: Mapping[Name, Float[np.ndarray, "folds values"]],
    values: Sequence[float],
) -> tuple[Name, float]:
    """Chooses the value with the best mean accuracy over folds, the first of equally good ones.

    Prints the choice, and writes and draws all accuracies.
    """
    folder = pathlib.Path(settings.run.run_dir)
    means = {name: rows.mean(axis=0) for name, rows in accuracies.items()}
    name = max(means, key=lambda each: means[each].max())
    value, mean = values[int(means[name].argmax())], float(means[name].max())
    what = "k" if method == "knn" else "L2 penalty"
    by_name = f" with the {name} distance" if name else ""
    print(f"{folder}: {what} = {value:g}{by_name}, cross-validated accuracy {mean:.4f}")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / "cross_validation.json",
        {
            "values": list(values),
            "accuracies": {each: rows.tolist() for each, rows in accuracies.items()},
            "chosen": [name, value],
        },
    )
    if settings.run.draws:
        titles = {each: f"{each} distance" if each else "" for each in accuracies}
        figure = plots.validation_curves(
            {titles[each]: rows for each, rows in accuracies.items()},
            values,
            x=what,
            chosen=(titles[name], value),
            log_x=method == "softmax" and values[0] > 0,
            title=f"{NAMES[method]} on {settings.data.dataset}/{settings.data.train_split}, "
            f"{settings.num_folds}-fold cross-validation",
        )
        plots.save(figure, folder / "figures" / "cross_validation.png")
    return name, value


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
