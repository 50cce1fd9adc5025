"""Explains what in an image made a trained model decide as it did.

    python experiments/explain.py runs/lenet photo.png other.jpg
    python experiments/explain.py runs/unet scan.png --target tumor
    python experiments/explain.py runs/lenet --dataset digits
    python experiments/explain.py resnet18.pth cat.jpg --model resnet18 --explainers grad_cam rise

MODEL is a run folder, a file of weights from torchvision or timm, or a repository of timm on the
Hugging Face hub. An IMAGE may be a folder, which stands for all images in it.

Each image gets a page: the image, its most probable classes, and a map for each explainer. Below a
map stands what its method promises and by how much the map misses that. Maps explain the logit of
one class; those of a segmenter, its mean over the pixels that have the class. Pages and
explanations.json, with the same facts, go into figures/explanations of the run folder.

With --dataset, there is a table of how good the explainers are on the first images of a data set,
and one page with the maps of a few of them.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from common import script
from common.data import Data
from common.explainers import Explainer, attempted, chosen, compiled
from common.image_files import decoded, found, stems_of
from common.restored import load_for
from common.subjects import Decision, Opened, open_model
from common.survey import survey

import jax
import numpy as np
import tyro

from jaxvision import data, explain, plots, train
from jaxvision.files import file_name, write_json

SHOWN = (
    "saliency",
    "integrated_gradients",
    "guided_backprop",
    "lrp_z_plus",
    "grad_cam",
    "occlusion",
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is explained, and how."""

    start: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A run folder; a .safetensors or .pth file with weights of --model; or timm/NAME, a repository
    on the Hugging Face hub."""
    images: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE...")]
    """Image files of any size, or folders of images. They are resized and cropped like the images
    of the training."""
    explainers: tuple[str, ...] = SHOWN
    """The explainers, by the names of their functions in jaxvision.explain; those of LRP end in
    their rule: lrp_epsilon, lrp_gamma, lrp_alpha_beta, lrp_z_plus."""
    target: str | None = None
    """The class that is explained, by name or number; None takes the most probable one of each
    image, or the largest of its mask."""
    decision: str | None = None
    """The decision that is explained, where a model has several, such as the head of a multi-task
    model; None takes the first."""
    dataset: str | None = None
    """A data set to summarize instead of images: its name, or a folder of images."""
    split: str | None = None
    """Split of --dataset; None takes the split that the run was evaluated on, or test."""
    count: int = 32
    """How many images of --dataset are explained, the first ones."""
    top: int = 5
    """How many classes a page shows."""
    model: str = "resnet50"
    """The model whose weights a file holds."""
    model_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """Options of that model, as NAME VALUE pairs, such as: stem_type deep."""
    num_classes: int = 1000
    """Number of classes in a file of weights."""
    out: str | None = None
    """Folder for pages; None takes figures/explanations in the run folder, or explanations/NAME for
    other models."""
    seed: int = 0
    """Seed of explainers that draw random numbers."""
    step: int | None = None
    """Step of the checkpoint to use; None takes the newest checkpoint."""


def main(settings: Settings) -> int:
    """Writes a page for every image; returns the number of images that cannot be explained."""
    train.start()
    plots.require_matplotlib()
    explainers = chosen(settings.explainers)
    if not explainers:
        raise SystemExit("--explainers needs one explainer or more")
    if settings.top < 1:
        raise SystemExit(f"--top must be at least 1, got {settings.top}")
    if settings.count < 1:
        raise SystemExit(f"--count must be at least 1, got {settings.count}")
    if settings.dataset is not None and settings.images:
        raise SystemExit("name images or a --dataset, not both: a data set gets a summary")
    if settings.dataset is None and not settings.images:
        start = script.command("explain", settings.start)
        raise SystemExit(f"name at least one image, or a folder of images: {start} IMAGE...")
    opened = open_model(
        settings.start,
        model={"name": settings.model, "num_classes": settings.num_classes},
        model_options=settings.model_options,
        step=settings.step,
    )
    decision = opened.decision(settings.decision)
    if settings.dataset is not None:
        return summarize(settings, opened, decision, explainers)
    paths = found(settings.images)
    names: list[str] = []
    pages = Pages(settings, opened, decision, explainers, paths)
    with script.checking():
        for image in decoded(paths, opened.channels, names):
            pages.write(names[-1], data.resize_and_crop(image, opened.preprocessing))
    pages.close()
    return len(paths) - len(names)


def summarize(
    settings: Settings, opened: Opened, decision: Decision, explainers: Mapping[str, Explainer]
) -> int:
    """Measures the explainers on a data set."""
    if decision.per_pixel or not decision.are_logits:
        raise SystemExit("--dataset is for classifiers, and this decision is no class")
    if opened.trained is not None:
        dataset = load_for(opened.trained, split=settings.split, dataset=settings.dataset)
    else:
        place = Data(dataset=settings.dataset or "", channels=3)
        dataset = place.load(settings.split or "test", None, opened.preprocessing)
    folder = pathlib.Path(settings.out).expanduser() if settings.out else opened.folder
    survey(
        decision,
        explainers,
        dataset,
        count=settings.count,
        seed=settings.seed,
        folder=folder / file_name(f"{dataset.name}/{dataset.split}"),
    )
    return 0


class Pages:
    """Writer of a page per image, and at the end of explanations.json."""

    def __init__(
        self,
        settings: Settings,
        opened: Opened,
        decision: Decision,
        explainers: Mapping[str, Explainer],
        paths: Sequence[str],
    ) -> None:
        self.settings, self.opened, self.decision = settings, opened, decision
        self.folder = pathlib.Path(settings.out).expanduser() if settings.out else opened.folder
        self.titles = {name: each.title for name, each in explainers.items()}
        subject = decision.subject
        self.score = jax.jit(subject.f)
        self.run = {
            name: compiled(each, subject, decision.target_of) for name, each in explainers.items()
        }
        self.stems = stems_of(paths)
        self.content: dict[str, Any] = {}

    def write(self, file: str, image: np.ndarray) -> None:
        """Explains an image and draws its page."""
        pixels = image.astype(np.float32)[None] / 255
        outputs = self.score(pixels)
        scores = self.decision.scores(outputs)
        number = self.decision.choose(scores, self.settings.target)
        target = self.decision.names[number]
        order = np.argsort(-scores, kind="stable")[: self.settings.top]
        best = {self.decision.names[index]: float(scores[index]) for index in order}
        print(f"{file}: {', '.join(f'{name} {value:.3g}' for name, value in best.items())}")
        maps = dict(self.maps(pixels, self.decision.given(outputs, number)))
        for name, made in maps.items():
            print(f"  {self.titles[name]}: {certificate(made)}")
        figure = plots.attributions(
            image,
            [np.asarray(made.map[0]) for made in maps.values()],
            [self.titles[name] for name in maps],
            [certificate(made) for made in maps.values()],
            scores=best,
            scores_title=self.decision.measure,
            title=f"{pathlib.Path(file).name}: why {self.opened.name} says {target} "
            f"({self.decision.measure} {scores[number]:.3g})",
        )
        path = self.folder / f"{self.stems[file]}.png"
        plots.save(figure, path)
        print(f"  {path}")
        self.content[file] = {
            "target": target,
            self.decision.measure: best,
            "maps": {name: facts(made) for name, made in maps.items()},
        }

    def maps(self, pixels: np.ndarray, given: Any) -> Iterator[tuple[str, explain.Attribution]]:
        """The maps of all explainers that can explain this model; the others say why not."""
        for name in [*self.run]:
            key = jax.random.key(self.settings.seed)
            made = attempted(name, self.run[name], pixels, given, key)
            if made is None:
                del self.run[name]
            else:
                yield name, made
        if not self.run:
            raise SystemExit("no explainer can explain this model")

    def close(self) -> None:
        """Writes explanations.json."""
        if self.content:
            path = self.folder / "explanations.json"
            write_json(path, self.content)
            print(path)


def certificate(made: explain.Attribution) -> str:
    """What a map promises, and whether the map keeps that."""
    promise, error = made.axiom.partition(":")[0], float(made.error[0])
    if promise == "none":
        return "no axiom to check"
    if made.holds[0]:
        return f"{promise} kept within {error:.2g} of the score"
    return f"{promise} MISSED by {error:.2g} of the score; {made.tolerance:g} is allowed"


def facts(made: explain.Attribution) -> dict[str, Any]:
    """The certificate of a map as JSON-able facts."""
    return {
        "axiom": made.axiom,
        "error": float(made.error[0]),
        "tolerance": made.tolerance,
        "holds": bool(made.holds[0]),
    }


if __name__ == "__main__":
    sys.exit(1 if script.start(main, Settings, __doc__) else 0)
