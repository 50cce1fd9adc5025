"""Embeds images in the plane by t-SNE, and by what it came from beside it.

    python experiments/tsne.py
    python experiments/tsne.py --features runs/classify
    python experiments/tsne.py --methods tsne --dataset mnist --eval-split test --perplexity 50

What is embedded are the pixels of all images; or the vectors before the logits of a classifier,
where `--features` names the folder of its run. The table has the divergence that was minimized;
how well neighbors are kept (trustworthiness, continuity, and the share of the ten nearest); and how
often the nearest image in the plane is of the same class. Each method has a folder with a run per
seed, and a film of it. `figures/embeddings.png` shows what each method made, with the first seed.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

import jax
import numpy as np
from common import script
from common.data import Data
from common.generative import labels_of, pixels
from common.learning import Devices
from common.restored import load_for
from common.run import MAY_DIFFER, Run
from common.script import FLAT
from common.seeds import Summary, each_over_seeds
from jaxtyping import Float32, Int
from PIL import Image

from jaxvision import manifold, metrics, plots, train

Method = Literal["tsne", "symmetric_sne", "sne"]
TITLES: dict[Method, str] = {"tsne": "t-SNE", "symmetric_sne": "symmetric SNE", "sne": "SNE"}
COLUMNS = (
    ("KL, nats", "kl", ".4f"),
    ("trustworthiness", "trustworthiness", ".4f"),
    ("continuity", "continuity", ".4f"),
    ("10-NN kept", "neighbors_kept", ".4f"),
    ("1-NN class", "accuracy", ".4f"),
)
"""What the table has: the head of a column, the name of a score, and how it is written."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of embeddings."""

    run: Annotated[Run, FLAT] = dataclasses.field(default_factory=lambda: Run(run_dir="runs/tsne"))
    data: Annotated[Data, FLAT] = dataclasses.field(default_factory=lambda: Data(image_size=None))
    devices: Annotated[Devices, FLAT] = dataclasses.field(default_factory=Devices)
    methods: tuple[Method, ...] = get_args(Method)
    """What to embed by."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Which seeds to draw the beginning with."""
    features: str | None = None
    """The run of a classifier whose vectors are embedded; None embeds pixels."""
    splits: tuple[str, ...] = ("train", "validation", "test")
    """The splits whose images are embedded together."""
    perplexity: float = 30.0
    """How many neighbors an image has, in effect."""
    metric: Literal["l2", "l1", "cosine"] = "l2"
    """The distance of images."""
    dof: float = 1.0
    """The degrees of freedom of the similarity in t-SNE."""
    init: Literal["pca", "random"] = "pca"
    """Where embeddings begin."""
    num_steps: int = 1_000
    """How many steps each embedding has."""


class Problem(NamedTuple):
    """What is embedded.

    Attributes:
        vectors: Pixels or features, one row per image.
        labels: The classes of the images.
        images: The images, to be drawn.
        class_names: The names of the classes.
        near: How near images are to each other.
    """

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
    print(f"\n{'':14}" + "".join(f"{head:>18}" for head, _, _ in COLUMNS))
    for method, summary in summaries.items():
        cells = (format(summary.mean(score), form) for _, score, form in COLUMNS)
        print(f"{TITLES[method]:14}" + "".join(f"{cell:>18}" for cell in cells))
    print(f"means over the seeds {', '.join(map(str, settings.seeds))}")
    return summaries


def load(settings: Settings) -> Problem:
    """Loads images, computes their vectors, and how near these are to each other."""
    if settings.features is None:
        parts = [settings.data.load(split) for split in settings.splits]
        images = np.concatenate([pixels(part) for part in parts])
        vectors = images.reshape(len(images), -1)
    else:
        classifier = train.restore(settings.features)
        if not isinstance(classifier, train.classification.TrainedClassifier):
            raise SystemExit(f"{settings.features} is not the run of a classifier")
        parts = [load_for(classifier, split=split) for split in settings.splits]
        images = np.concatenate([pixels(part) for part in parts])
        vectors = np.concatenate([classifier.embed(part).vectors for part in parts])
    labels = np.concatenate([labels_of(part) for part in parts])
    with script.checking():
        near = manifold.affinities(vectors, settings.perplexity, metric=settings.metric)
    return Problem(vectors, labels, images, parts[0].class_names, near)


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
        log_every=run.log_every,
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
    """The step of a method, and how it is run."""
    with script.checking():
        if method == "tsne":
            step = manifold.EmbeddingStep(manifold.Student(settings.dof))
            return step, manifold.make_schedule(count)
        step = manifold.EmbeddingStep(manifold.Gaussian(), by_point=method == "sne")
        return step, manifold.sne_schedule(count)


def scores_of(problem: Problem, embedding: np.ndarray) -> dict[str, float]:
    """How well an embedding keeps neighbors, and classes together."""
    nearest, _ = metrics.nearest(embedding, embedding, skip_self=True)
    return {
        "trustworthiness": metrics.trustworthiness(problem.vectors, embedding),
        "continuity": metrics.continuity(problem.vectors, embedding),
        "neighbors_kept": metrics.neighbor_preservation(problem.vectors, embedding),
        "accuracy": float((problem.labels[nearest] == problem.labels).mean()),
    }


def film(folder: pathlib.Path) -> None:
    """Makes a film of the pictures of a run."""
    paths = sorted((folder / "pictures" / "embedding").glob("*.png"))
    frames = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    if frames:
        plots.save_gif(np.stack(frames), folder / "embedding.gif", frames_per_second=8)


def draw(settings: Settings, problem: Problem, found: Mapping[str, np.ndarray]) -> None:
    """Draws what each method made, with images at their points."""
    what = "pixels" if settings.features is None else f"features of {settings.features}"
    figure = plots.embeddings(
        found,
        problem.labels,
        problem.class_names,
        images=problem.images,
        title=f"{len(problem.vectors):,} images of {settings.data.dataset} by their {what}",
    )
    plots.save(figure, pathlib.Path(settings.run.run_dir) / "figures" / "embeddings.png")


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
