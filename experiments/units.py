"""Draws what the units of a trained classifier see.

    python experiments/units.py runs/lenet
    python experiments/units.py runs/resnet --strides 8 16 --patches 6 --smoothness 50

Into `figures/units` of the run go:

- `filters.png`: the filters of the first layer, where that is a convolution of the images;
- `patches_S.png`: for channels of the map of stride S, the parts of the images to which they
  respond most, cropped by their exact receptive field, and below each the projection of the
  response back to its pixels by a deconvolutional network (gray is 0);
- `classes.png`: an image for each class that raises its logit;
- `neighbors.png`: images, each followed by those with the most similar features.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from common import script
from common.places import run_folder
from common.restored import load_for

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxvision import classical, data, explain, plots, train

Function = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which run, and what to draw of it."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder that the training of a classifier left."""
    split: str | None = None
    """Where patches and neighbors are sought; None takes what the run was evaluated on."""
    strides: tuple[int, ...] = ()
    """The maps whose channels are shown, by their stride; without any, all but those whose units
    see the whole image."""
    channels: int = 8
    """How many channels of each map are shown, evenly over all."""
    patches: int = 8
    """How many patches of each channel are shown."""
    classes: int = 20
    """How many classes are shown, the first ones."""
    steps: int = 256
    """Steps of the optimization of the images of classes."""
    smoothness: float = 20.0
    """Weight of the total variation per pixel in the images of classes."""
    neighbors: int = 7
    """How many neighbors of an image are shown."""
    seed: int = 0
    """Seed of the first images of classes."""
    batch_size: int = 256
    """Images at once."""
    step: int | None = None
    """Which checkpoint; None takes the newest."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained classifier as functions of images in [0, 1]."""

    trained: Any
    name: str
    shape: tuple[int, int, int]

    def maps(self, stride: int) -> Function:
        """The function from images to the map of a stride."""
        return lambda images: self._features(images)[stride]

    def strides(self) -> list[int]:
        """The strides of all maps."""
        image = jax.ShapeDtypeStruct((1, *self.shape), jnp.float32)
        return [*jax.eval_shape(self._features, image)]

    def _features(self, images: Any) -> Any:
        inputs = self.trained.inputs.evaluate({"image": images})["image"]
        return self.trained.model.apply(self.trained.variables, inputs, method="features")


def main(settings: Settings) -> list[pathlib.Path]:
    """Draws all figures, and prints their files."""
    train.start()
    plots.require_matplotlib()
    for option in ("channels", "patches", "classes", "neighbors"):
        if getattr(settings, option) < 1:
            raise SystemExit(f"--{option} must be at least 1, got {getattr(settings, option)}")
    trained: Any = train.restore(run_folder(settings.run_dir), step=settings.step)
    if not hasattr(trained, "embed") or not hasattr(trained, "variables"):
        raise SystemExit(f"{settings.run_dir} is not the run of a classifier")
    images = load_for(trained, split=settings.split)
    height, width, channels = images.image_shape
    name = pathlib.Path(settings.run_dir).name
    subject = Subject(trained, name, (height, width, channels))
    folder = trained.run.folder / "figures" / "units"
    paths = []
    for what, figure in figures(settings, subject, images):
        paths.append(folder / f"{what}.png")
        plots.save(figure, paths[-1])
        print(paths[-1])
    return paths


def figures(
    settings: Settings, subject: Subject, images: data.Dataset
) -> Iterator[tuple[str, Any]]:
    """Makes the figures one by one, each with its name."""
    kernel = first_kernel(subject)
    if kernel is not None:
        titles = [f"filter {index}" for index in range(kernel.shape[3])]
        title = f"First-layer filters of {subject.name} (weights of 0 are gray)"
        yield "filters", plots.image_grid(explain.filter_images(kernel), titles, title=title)
    known = subject.strides()
    unknown = [stride for stride in settings.strides if stride not in known]
    if unknown:
        raise SystemExit(f"the model has no map of stride {unknown[0]}, but of {known}")
    for stride in settings.strides or known:
        figure = patches(settings, subject, images, stride)
        if figure is not None:
            yield f"patches_{stride}", figure
    yield "classes", classes(settings, subject)
    yield "neighbors", neighbors(settings, subject, images)


def first_kernel(subject: Subject) -> Any:
    """The kernel of the first convolution, if it is one of images with 1 or 3 channels."""
    channels = subject.shape[2]
    kernels = [
        leaf
        for leaf in jax.tree.leaves(subject.trained.variables["params"])
        if leaf.ndim == 4 and leaf.shape[2] == channels and leaf.shape[0] > 1
    ]
    return kernels[0] if len(kernels) == 1 and channels in (1, 3) else None


def patches(settings: Settings, subject: Subject, images: data.Dataset, stride: int) -> Any:
    """The patches to which channels of a map respond most; None if its units see all."""
    f = subject.maps(stride)
    try:
        grid = explain.field_grid(f, subject.shape)
    except ValueError:
        print(f"stride {stride}: units see the whole image, so that they have no patches")
        return None
    image = jax.ShapeDtypeStruct((1, *subject.shape), jnp.float32)
    width = jax.eval_shape(f, image).shape[3]
    shown = np.unique(np.linspace(0, width - 1, settings.channels).round().astype(int)).tolist()
    found = explain.strongest_patches(
        f,
        images.batches(settings.batch_size, shuffle=False, epochs=1),
        grid,
        channels=shown,
        count=min(settings.patches, len(images)),
    )
    back = explain.project_patches(f, images, found, grid, channels=shown)
    panels, titles = [], []
    for row, channel in enumerate(shown):
        panels += [*found.images[row], *around_gray(back[row])]
        titles += [f"channel {channel}: {response:.2f}" for response in found.responses[row]]
        titles += ["projection"] * len(back[row])
    return plots.image_grid(
        panels,
        titles,
        found.images.shape[1],
        title=f"What channels of {subject.name} respond to most, and how much "
        f"(stride {stride}, {grid.size[0]} x {grid.size[1]} pixels).\n"
        "Below each patch: the response, projected back to the pixels (0 is gray)",
    )


def around_gray(projections: np.ndarray) -> np.ndarray:
    """Projections as images: 0 is gray, and the largest absolute value of each black or white."""
    most = np.abs(projections).max(axis=(1, 2, 3), keepdims=True)
    shown: np.ndarray = 0.5 + 0.5 * projections / np.where(most == 0, 1, most)
    return shown


def classes(settings: Settings, subject: Subject) -> Any:
    """Images that raise the logits of classes."""
    logits = subject.trained.score_functions()["class"].fn
    names = subject.trained.class_names
    image = jax.ShapeDtypeStruct((1, *subject.shape), jnp.float32)
    known = jax.eval_shape(logits, image).shape[1]
    shown = jnp.arange(min(settings.classes, known))

    def make(key: Any) -> explain.Synthesis:
        return explain.maximize(
            logits,
            shown,
            subject.shape,
            key,
            steps=settings.steps,
            smoothness=settings.smoothness,
        )

    made = jax.jit(make)(jax.random.key(settings.seed))
    titles = [str(names[index]) if names else f"class {index}" for index in range(len(shown))]
    title = f"Images that raise the logit of a class of {subject.name}"
    return plots.image_grid(np.asarray(made.images), titles, title=title)


def neighbors(settings: Settings, subject: Subject, images: data.Dataset) -> Any:
    """The first image of some classes, and those whose features have the nearest direction."""
    found = subject.trained.embed(images, batch_size=settings.batch_size)
    count = min(settings.neighbors + 1, len(found.vectors))
    _, queries = np.unique(found.labels, return_index=True)
    queries = queries[:8]
    nearest = classical.nearest_neighbors(
        found.vectors[queries], found.vectors, count, metric="cosine"
    ).indices
    names = subject.trained.class_names
    shown, titles = [], []
    for query, others in zip(queries, np.asarray(nearest), strict=True):
        rows = [query, *(row for row in others if row != query)][:count]
        for place, row in enumerate(rows):
            label = found.labels[row]
            name = str(names[label]) if names and label >= 0 else f"class {label}"
            shown.append(images[int(found.indices[row])]["image"])
            titles.append(f"image: {name}" if place == 0 else name)
    title = f"Images, and those with the most similar features in {subject.name}"
    return plots.image_grid(shown, titles, count, title=title)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
