"""Ranks all explainers by how good their maps are, and by whether they find a planted shortcut.

    python experiments/explainers.py
    python experiments/explainers.py --explainers saliency grad_cam lrp_gamma --seeds 0

For every seed, a segmenter learns the masks of `shapes`: without masks, a classifier would need
very long to tell shapes apart. Its backbone is a ResNet-18 of stride 8 with 8 channels in the first
stage, unless --backbone or --backbone-options is given. A classifier is fine-tuned from that
backbone. All explainers are measured on the first test images that the classifier gets right, for
the logit of their class (see common/explanations.py). The first table ranks them: for each measure
and seed, the best explainer has rank 1, and the mean rank is the average over all measures. A
random map and a blob in the center are ranked too: an explainer must be better than these.

Another classifier is fine-tuned on images in which one class has a pink tag in a random corner. It
learns the tag instead of the class, as the horse Clever Hans watched its master instead of
calculating. The second table shows which explainers reveal that: the share of the positive
relevance that lies on the tag, for this classifier and for the first one, which never saw a tag.
The gain is the difference of both shares.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

from common import scenes, script
from common.augmentation import Augmentation
from common.explainers import EXPLAINERS, Explainer, Subject, chosen
from common.explanations import Options, located, maps_of, measure
from common.learning import Inputs, Optimization
from common.masks import Segmenter
from common.run import Run
from common.script import FLAT
from common.seeds import Summary, in_brackets, over_seeds
from common.tags import Tag, draw

import jax
import jax.numpy as jnp
import numpy as np
import segment
from scipy.stats import rankdata

from jaxvision import checks, data, explain, plots, train

Classifier = train.classification.TrainedClassifier
SEGMENTER_FIELDS = dataclasses.fields(segment.Settings)

MEASURES = {
    "deletion": -1,
    "insertion": 1,
    "faithfulness": 1,
    "sensitivity_n": 1,
    "pointing_game": 1,
    "relevance_mass": 1,
    "relevance_rank": 1,
    "rank_after_reset": -1,
    "ssim_after_reset": -1,
}
"""Measures that are ranked: 1 where large values are good, -1 where small ones are."""


def _random(of: Subject, images: Any, target: explain.Target, key: Any) -> explain.Attribution:
    """Relevance that depends on nothing."""
    del of, target
    return _without_axiom(jax.random.uniform(key, (*images.shape[:3], 1)))


def _center(of: Subject, images: Any, target: explain.Target, key: Any) -> explain.Attribution:
    """A Gaussian blob in the center, with a deviation of a quarter of the image."""
    del of, target, key
    down, across = (jnp.square(jnp.linspace(-2, 2, length)) for length in images.shape[1:3])
    blob = jnp.exp(-(down[:, None] + across[None, :]) / 2)
    return _without_axiom(jnp.broadcast_to(blob[..., None], (*images.shape[:3], 1)))


def _without_axiom(maps: Any) -> explain.Attribution:
    return explain.Attribution(maps, jnp.zeros(len(maps)), "none: it explains nothing", 0.0)


CONTROLS: Mapping[str, Explainer] = {
    "random": Explainer("random map", _random),
    "center": Explainer("blob in the center", _center),
}
"""Maps that say nothing about the model."""


@dataclasses.dataclass(frozen=True)
class Settings(segment.Settings):
    """Settings of the comparison, with those of segment.py for the segmenter of every seed."""

    run: Annotated[Run, FLAT] = dataclasses.field(
        default_factory=lambda: Run(run_dir="runs/explainers")
    )
    model: Annotated[Segmenter, FLAT] = dataclasses.field(
        default_factory=lambda: Segmenter(model="fcn")
    )
    inputs: Annotated[Inputs, FLAT] = dataclasses.field(
        default_factory=lambda: Inputs(
            mean=(0.5,),
            std=(0.25,),
            augmentation=Augmentation(flip=True, vertical_flip=True, diagonal_flip=True),
        )
    )
    optimization: Annotated[Optimization, FLAT] = dataclasses.field(
        default_factory=lambda: Optimization(batch_size=16, num_steps=3_000, learning_rate=4e-3)
    )
    classifier: Optimization = dataclasses.field(
        default_factory=lambda: Optimization(batch_size=64, num_steps=400, learning_rate=2e-3)
    )
    """Fine-tuning of the classifiers."""
    tag: Tag = dataclasses.field(default_factory=Tag)
    """The tag in the training images of one class, for the second classifier."""
    explainers: tuple[str, ...] = tuple(EXPLAINERS)
    """Names of the explainers; common/explainers.py has all."""
    images: int = 16
    """Number of test images on which explainers are measured."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds; everything is repeated with each."""


def main(settings: Settings) -> Summary:
    """Trains and measures every seed, prints both tables, and keeps a summary."""
    settings.run.begin(settings.devices)
    if settings.inputs.augmentation.mixup:
        raise SystemExit("--mixup cannot mix masks: class numbers have no average; use --cutmix")
    settings = dataclasses.replace(settings, model=narrow(settings.model))
    chosen(settings.explainers)
    with script.checking():
        checks.check_count("images", settings.images, of="images")
    train_data, test_data = (
        scenes.load(settings.data, split)
        for split in (settings.data.train_split, settings.data.eval_split)
    )
    with script.checking():
        settings.tag.check(train_data.num_classes, *train_data.image_shape[:2])
    folder = pathlib.Path(settings.run.run_dir)

    def of_seed(seed: int) -> dict[str, float]:
        run = dataclasses.replace(settings.run, run_dir=str(folder / f"seed{seed}"), seed=seed)
        return one_seed(dataclasses.replace(settings, run=run), train_data, test_data)

    summary = over_seeds(settings.seeds, of_seed, folder)
    summary.save(folder, settings)
    say(settings, summary)
    return summary


def narrow(model: Segmenter) -> Segmenter:
    """The segmenter, with few channels where neither another backbone nor its options are given."""
    # A default in Settings would become a flag: tyro has one for each key of a dict.
    is_usual = model.backbone == Segmenter.backbone and not model.backbone_options
    return dataclasses.replace(model, backbone_options={"channels": "8"}) if is_usual else model


def one_seed(
    settings: Settings, train_data: data.Dataset, test_data: data.Dataset
) -> dict[str, float]:
    """Trains the networks of a seed, and measures all explainers on them."""

    def run(name: str) -> Run:
        folder = pathlib.Path(settings.run.run_dir, name)
        return dataclasses.replace(settings.run, run_dir=str(folder), figures=False)

    fields = {each.name: getattr(settings, each.name) for each in SEGMENTER_FIELDS}
    start = segment.Settings(**{**fields, "run": run("segmenter")})
    scenes.train_segmenter(start, train_data, test_data)
    tune = functools.partial(scenes.tune_classifier, start, settings.classifier)
    honest = tune(run("classifier"), train_data, test_data)
    taught, tested = (
        settings.tag.plant_in_class(each, settings.run.seed) for each in (train_data, test_data)
    )
    misled = tune(run("clever_hans"), taught, tested, settings.tag)
    scores = {
        f"{name}/{what}": value
        for name, trained in (("classifier", honest), ("clever_hans", misled))
        for what, value in accuracies(settings.tag, trained, test_data).items()
    }
    references = scenes.pixels(train_data)[: settings.images]
    of_objects = ranked(on_objects(settings, honest, test_data, references))
    of_tags = on_tags(settings, misled, honest, test_data, references)
    for name, found in of_objects.items():
        scores |= {f"{name}/{what}": value for what, value in {**found, **of_tags[name]}.items()}
    return scores


def accuracies(tag: Tag, trained: Classifier, test_data: data.Dataset) -> dict[str, float]:
    """Accuracies on the class of the tag and on other classes, with and without the tag."""
    found = {}
    images, labels = scenes.pixels(test_data), scenes.arrays(test_data)["label"]
    for name, shown in (("untagged", images), ("tagged", with_tags(tag, test_data)[0])):
        right = is_right(trained, shown, labels)
        found[f"own_class_{name}"] = float(right[labels == tag.label].mean())
        found[f"other_classes_{name}"] = float(right[labels != tag.label].mean())
    return found


def with_tags(tag: Tag, dataset: data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """All images with a tag, in [0, 1], and the pixels of the tags."""
    images = scenes.arrays(dataset)["image"]
    images, masks = tag.plant(images, np.ones(len(images), bool), seed=0)
    return images.astype(np.float32) / 255, masks


def is_right(trained: Classifier, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each image is classified as its label."""
    found: np.ndarray = trained.predict([{"image": images, "label": labels}]).classes == labels
    return found


def first_of(settings: Settings, right: np.ndarray) -> np.ndarray:
    """The rows of the first images for which something is right."""
    rows = np.flatnonzero(right)[: settings.images]
    if not len(rows):
        raise SystemExit(
            "the classifier gets none of the images to explain right: train it longer, with "
            "--optimization.num-steps for the segmenter or --classifier.num-steps"
        )
    return rows


def on_objects(
    settings: Settings, trained: Classifier, test_data: data.Dataset, references: Any
) -> dict[str, dict[str, float]]:
    """The mean of each measure, by explainer, over images that the classifier gets right."""
    images, labels = scenes.pixels(test_data), scenes.arrays(test_data)["label"]
    rows = first_of(settings, is_right(trained, images, labels))
    images, labels = images[rows], labels[rows]
    masks = scenes.objects(test_data, rows)
    network = scenes.network_of(trained)
    subject = network.subject(trained.variables, references)
    key, fresh_key = jax.random.split(jax.random.key(settings.run.seed))
    randomized = network.half_random(trained.variables, fresh_key, images, references)
    found = {}
    for name, explainer in explainers(settings).items():
        values = measure(subject, explainer, images, labels, masks, key=key, randomized=randomized)
        found[name] = {what: average(each) for what, each in values.items()}
        found[name]["milliseconds"] = 1000 * found[name].pop("seconds")
        told = ", ".join(f"{what} {value:.3g}" for what, value in found[name].items())
        print(f"{explainer.title}: {told}", flush=True)
    return found


def on_tags(
    settings: Settings,
    misled: Classifier,
    honest: Classifier,
    test_data: data.Dataset,
    references: Any,
) -> dict[str, dict[str, float]]:
    """How much of the relevance lies on tags, by explainer, and a figure of the maps.

    The images have a tag, and are of the class of the tag. The classifier that was trained with
    tags gets them right. The same maps of the other classifier show how much relevance an explainer
    gives to a tag that has no effect.
    """
    images, masks = with_tags(settings.tag, test_data)
    labels = scenes.arrays(test_data)["label"]
    is_own = labels == settings.tag.label
    rows = first_of(settings, is_own & is_right(misled, images, labels))
    images, masks, labels = images[rows], masks[rows], labels[rows]
    subjects = [
        scenes.network_of(each).subject(each.variables, references) for each in (misled, honest)
    ]
    key = jax.random.key(settings.run.seed)
    found, maps = {}, {}
    for name, explainer in explainers(settings).items():
        maps[name], others = (
            maps_of(each, explainer, images, labels, key).map for each in subjects
        )
        own, other = (
            located(each, masks, tolerance=Options.tolerance) for each in (maps[name], others)
        )
        mass, before = (average(each["relevance_mass"]) for each in (own, other))
        found[name] = {
            "tag_pointing_game": average(own["pointing_game"]),
            "tag_mass": mass,
            "tag_mass_honest": before,
            "tag_gain": mass - before,
        }
        print(f"{explainer.title}: {mass:.1%} on tags, {before:.1%} without effect", flush=True)
    if settings.run.draws:
        order = sorted(settings.explainers, key=lambda name: -found[name]["tag_gain"])
        best_and_worst = order[:3] + order[3:][-3:]
        shown = {EXPLAINERS[name].title: maps[name][:4] for name in best_and_worst}
        path = pathlib.Path(settings.run.run_dir, "figures", "clever_hans.png")
        own_class = test_data.class_names[settings.tag.label]
        plots.save(draw(images[:4], masks[:4], shown, own_class), path)
        print(path)
    return found


def average(values: np.ndarray) -> float:
    """The mean of the values that are defined."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def ranked(measured: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Adds `mean_rank`: the rank among all explainers, from 1 for the best, over all measures.

    Equally good explainers share their mean rank; one whose measure is not defined is the last.
    """
    ranks = []
    for measure_name, sign in MEASURES.items():
        values = np.array([each[measure_name] for each in measured.values()])
        ranks.append(rankdata(np.nan_to_num(-sign * values, nan=np.inf)))
    means = np.mean(ranks, axis=0)
    return {
        name: {**each, "mean_rank": float(mean)}
        for (name, each), mean in zip(measured.items(), means, strict=True)
    }


def explainers(settings: Settings) -> dict[str, Explainer]:
    """The chosen explainers, and the maps that say nothing."""
    return {**chosen(settings.explainers), **CONTROLS}


def say(settings: Settings, summary: Summary) -> None:
    """Prints both tables and the accuracies, over seeds."""
    columns = {"mean_rank": "mean rank", **{name: name.replace("_", " ") for name in MEASURES}}
    columns |= {"error": "error", "milliseconds": "milliseconds"}
    say_table(settings, summary, columns)
    for model, what in (("classifier", "trained without tags"), ("clever_hans", "with tags")):
        print(f"\naccuracy of the classifier {what}")
        for score in summary.scores:
            if score.startswith(f"{model}/"):
                shown = score.partition("/")[2].replace("_", " ")
                interval = in_brackets(summary.interval(score), ".1%")
                print(f"  {shown:22}  {summary.mean(score):6.1%}  {interval}".rstrip())
    columns = {
        "tag_gain": "gain",
        "tag_mass": "mass on tags",
        "tag_mass_honest": "of the other classifier",
        "tag_pointing_game": "pointing game",
    }
    say_table(settings, summary, columns, sign=-1)


def say_table(
    settings: Settings, summary: Summary, columns: Mapping[str, str], sign: int = 1
) -> None:
    """Prints scores of all explainers, in the order of the first one times `sign`."""
    names = explainers(settings)
    first = next(iter(columns))
    print(f"\n{'explainer':22}" + "".join(f"  {head:>24}" for head in columns.values()))
    for name in sorted(names, key=lambda name: sign * summary.mean(f"{name}/{first}")):
        cells = []
        for score in columns:
            form = ".3g" if score in ("error", "milliseconds") else ".2f"
            interval = in_brackets(summary.interval(f"{name}/{score}"), form)
            cells.append(f"{summary.mean(f'{name}/{score}'):{form}} {interval}".strip())
        print(f"{names[name].title:22}" + "".join(f"  {cell:>24}" for cell in cells))


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
