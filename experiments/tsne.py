"""Embeds images in the plane by t-SNE, and by its predecessors SNE and symmetric SNE.

    python experiments/tsne.py
    python experiments/tsne.py --features runs/classify
    python experiments/tsne.py --methods tsne --dataset mnist --splits test --perplexity 50

The script embeds the pixels of all images; or, with --features, the vectors before the logits of a
classifier. The table has the minimized divergence (KL); how well neighbors are preserved
(trustworthiness, continuity, and the share of the ten nearest neighbors that are kept); and how
often the nearest image in the plane has the same class. Each method has a folder with a run per
seed, and an animation of each run. figures/embeddings.png shows the embedding of each method with
the first seed.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

from common import script
from common.data import Data
from common.generative import labels_of, pixels
from common.learning import Devices
from common.restored import load_for
from common.run import MAY_DIFFER, Run
from common.script import FLAT
from common.seeds import Summary, each_over_seeds, first_runs

import jax
import numpy as np
from jaxtyping import Float32, Int
from PIL import Image

from jaxvision import manifold, metrics, plots, train

Method = Literal["tsne", "symmetric_sne", "sne"]
TITLES: dict[Method, str] = {"tsne": "t-SNE", "symmetric_sne": "symmetric SNE", "sne": "SNE"}
COLUMNS = {
    "KL, nats": "kl",
    "trustworthiness": "trustworthiness",
    "continuity": "continuity",
    "10-NN kept": "neighbors_kept",
    "1-NN class": "accuracy",
}
"""Columns of the table: heading and name of the score."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of embeddings."""

    run: Annotated[Run, FLAT] = dataclasses.field(default_factory=lambda: Run(run_dir="runs/tsne"))
    data: Annotated[Data, FLAT] = dataclasses.field(default_factory=lambda: Data(image_size=None))
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)
    methods: tuple[Method, ...] = get_args(Method)
    """Methods to compare."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds of the initial embedding, one run of each method for each."""
    features: str | None = None
    """Run folder of a classifier whose vectors before the logits are embedded; None embeds
    pixels."""
    splits: tuple[str, ...] = ("train", "validation", "test")
    """Splits whose images are embedded together; --per-class limits the images of each."""
    perplexity: float = 30.0
    """Perplexity: effective number of neighbors of an image, above 1; 5 to 50 is usual."""
    metric: Literal["l2", "l1", "cosine"] = "l2"
    """Distance between images."""
    dof: float = 1.0
    """t-SNE: degrees of freedom of Student's t distribution; fewer separate clusters more."""
    init: Literal["pca", "random"] = "pca"
    """Initial embedding: pca (the first two principal components, scaled down) or random."""
    num_steps: int = 1_000
    """Number of optimization steps of each embedding."""


class Problem(NamedTuple):
    """The images to embed: vectors (pixels or features), classes, images to draw, affinities."""

    name: str
    vectors: Float32[np.ndarray, "images features"]
    labels: Int[np.ndarray, " images"]
    images: np.ndarray
    class_names: tuple[str, ...]
    near: manifold.Affinities


def main(settings: Settings) -> dict[Method, Summary]:
    """Embeds by every method with every seed, prints a table, draws, and keeps summaries."""
    settings.run.begin(settings.devices)
    problem = load(settings)
    found: dict[str, np.ndarray] = {}

    def embed_one(method: Method, chosen: Settings) -> Mapping[str, float]:
        embedding, scores = embed(method, chosen, problem)
        if chosen.run.seed == settings.seeds[0]:
            found[f"{TITLES[method]}: KL {scores['kl']:.3f} nats"] = embedding
        return scores

    summaries = each_over_seeds(settings.methods, settings, embed_one)
    if settings.run.draws:
        draw(settings, problem, found)
    print(f"\n{'':13}" + "".join(f"  {head}" for head in COLUMNS))
    for method, summary in summaries.items():
        cells = (f"  {summary.mean(score):{len(head)}.4f}" for head, score in COLUMNS.items())
        print(f"{TITLES[method]:13}" + "".join(cells))
    what = f"{len(problem.labels):,} images of {problem.name}"
    print(f"{what}, means over the seeds {', '.join(map(str, settings.seeds))}")
    runs = first_runs(settings.methods, settings)
    films = [run / "embedding.gif" for run in runs if (run / "embedding.gif").is_file()]
    figures = [*script.figures_in(pathlib.Path(settings.run.run_dir), *runs), *films]
    then = ("evaluate", settings.features) if settings.features else ("knn",)
    script.ending(figures if settings.run.draws else [], *then)
    return summaries


def load(settings: Settings) -> Problem:
    """Loads images, and computes their vectors and the affinities of these."""
    usual, seed = Settings().data, settings.run.seed
    others = {"train_split", "eval_split", "validation"}
    settings.data.refuse(usual, sorted(others), "--splits names the images to embed")
    if settings.features is None:
        parts = [settings.data.few(settings.data.load(name), seed) for name in settings.splits]
        images = np.concatenate([pixels(part) for part in parts])
        vectors = images.reshape(len(images), -1)
    else:
        names = {field.name for field in dataclasses.fields(usual)} - {*others, "per_class"}
        settings.data.refuse(usual, sorted(names), f"the data are those of {settings.features}")
        classifier = train.restore(settings.features)
        if not isinstance(classifier, train.classification.TrainedClassifier):
            raise SystemExit(f"{settings.features} is not the run of a classifier")
        parts = [
            settings.data.few(load_for(classifier, split=name), seed) for name in settings.splits
        ]
        images = np.concatenate([pixels(part) for part in parts])
        vectors = np.concatenate([classifier.embed(part).vectors for part in parts])
    labels = np.concatenate([labels_of(part) for part in parts])
    with script.checking():
        near = manifold.affinities(vectors, settings.perplexity, metric=settings.metric)
    return Problem(parts[0].name, vectors, labels, images, parts[0].class_names, near)


def embed(
    method: Method, settings: Settings, problem: Problem
) -> tuple[np.ndarray, dict[str, float]]:
    """Learns one embedding in a run folder; returns it and its scores."""
    count, run = len(problem.vectors), settings.run
    step, schedule = steps_of(method, settings, count)

    def picture(number: int, state: manifold.EmbeddingState) -> dict[str, Any]:
        title = f"{TITLES[method]}, step {number}"
        return {"embedding": plots.embeddings({title: state.embedding}, problem.labels)}

    with script.checking():
        state = manifold.init_embedding(
            jax.random.key(run.seed), problem.vectors, init=settings.init
        )
        shared = manifold.make_problem(problem.near, step, schedule=schedule)
    result = train.fit(
        settings.devices.parallelize(step),
        state,
        train.constant(shared),
        num_steps=settings.num_steps,
        on_evaluation=picture if run.draws else None,
        eval_every=run.eval_every or max(1, settings.num_steps // 40),
        checkpoint_every=run.checkpoint_every,
        log_every=run.log_every or max(step.measure_every, settings.num_steps // 100),
        run_dir=run.run_dir,
        settings=settings,
        settings_may_differ=(*MAY_DIFFER, "methods"),
    )
    folder = pathlib.Path(run.run_dir)
    if run.draws:
        film(folder)
        curve = plots.learning_curves(
            result.history, title=f"{TITLES[method]}: divergence, in nats"
        )
        plots.save(curve, folder / "figures" / "kl.png")
    embedding = np.asarray(result.state.embedding)
    kl = jax.jit(step.divergence)(result.state.embedding, shared)
    return embedding, {"kl": float(kl), **scores_of(problem, embedding)}


def steps_of(
    method: Method, settings: Settings, count: int
) -> tuple[manifold.EmbeddingStep, manifold.Schedule]:
    """The optimization step of a method, and its schedule."""
    with script.checking():
        if method == "tsne":
            step = manifold.EmbeddingStep(manifold.Student(settings.dof))
            return step, manifold.make_schedule(count)
        step = manifold.EmbeddingStep(manifold.Gaussian(), by_point=method == "sne")
        return step, manifold.sne_schedule(count)


def scores_of(problem: Problem, embedding: np.ndarray) -> dict[str, float]:
    """Scores of an embedding: how well it preserves neighbors, and keeps classes together."""
    nearest, _ = metrics.nearest(embedding, embedding, skip_self=True)
    return {
        "trustworthiness": metrics.trustworthiness(problem.vectors, embedding),
        "continuity": metrics.continuity(problem.vectors, embedding),
        "neighbors_kept": metrics.neighbor_preservation(problem.vectors, embedding),
        "accuracy": float((problem.labels[nearest] == problem.labels).mean()),
    }


def film(folder: pathlib.Path) -> None:
    """Makes an animation of the pictures of a run."""
    paths = sorted((folder / "pictures" / "embedding").glob("*.png"))
    frames = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    if frames:
        plots.save_gif(np.stack(frames), folder / "embedding.gif", frames_per_second=8)


def draw(settings: Settings, problem: Problem, found: Mapping[str, np.ndarray]) -> None:
    """Draws the embedding of each method, with images at their points."""
    what = "pixels" if settings.features is None else f"features of {settings.features}"
    figure = plots.embeddings(
        found,
        problem.labels,
        problem.class_names,
        images=problem.images,
        title=f"{len(problem.vectors):,} images of {problem.name} by their {what}",
    )
    plots.save(figure, pathlib.Path(settings.run.run_dir) / "figures" / "embeddings.png")


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
