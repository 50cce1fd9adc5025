"""Explains what in an image, or an observation, made a trained model decide as it did.

    python experiments/explain.py runs/lenet photo.png other.jpg
    python experiments/explain.py runs/unet scan.png --target tumor
    python experiments/explain.py runs/lenet --dataset digits
    python experiments/explain.py resnet18.pth cat.jpg --model resnet18 --explainers grad_cam rise
    python experiments/explain.py runs/ppo/seed0

MODEL is the run folder of any task, a file of weights from torchvision or timm, or a repository of
timm on the Hugging Face hub. An IMAGE may be a folder, which stands for all images in it. Only
segmenters of volumes, and agents that learn a table, cannot be explained.

Each image gets a page: the image, its most probable classes, and a map for each explainer. Below a
map stands what its method promises and by how much the map misses that. Maps explain the logit of
one class, or another score that the model decides by; those of models of pixels, the mean of a
score over the pixels that are outlined. Pages and explanations.json, with the same facts, go into
figures/explanations of the run folder.

An agent needs no IMAGE: it plays an episode, and some of its observations are explained. A page of
stacked frames has maps that add up all of them; vectors have bars instead of maps.

With --dataset, there is a table of how good the explainers are on the first images of a data set,
and one page with the maps of a few of them.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NoReturn

from common import script
from common.data import Data
from common.explainers import Explainer, attempted, chosen, compiled
from common.image_files import decoded, found, stems_of
from common.observations import episode, picture_of
from common.restored import load_for
from common.subjects import Decision, Example, Opened, open_model
from common.survey import survey

import jax
import numpy as np
import tyro

from jaxvision import data, explain, plots, train
from jaxvision.files import file_name, write_json
from jaxvision.train.agents import TrainedAgent

SHOWN = (
    "saliency",
    "integrated_gradients",
    "guided_backprop",
    "lrp_z_plus",
    "grad_cam",
    "occlusion",
)
OF_VECTORS = (
    "saliency",
    "gradient_x_input",
    "integrated_gradients",
    "deeplift",
    "lrp_epsilon",
    "occlusion",
)
"""The explainers of vectors, without those that need convolutions."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is explained, and how."""

    start: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A run folder; a .safetensors or .pth file with weights of --model; or timm/NAME, a repository
    on the Hugging Face hub."""
    images: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE...")]
    """Image files of any size, or folders of images. They are resized and cropped like the images
    of the training."""
    explainers: tuple[str, ...] | None = None
    """The explainers, by the names of their functions in jaxvision.explain; those of LRP end in
    their rule: lrp_epsilon, lrp_gamma, lrp_alpha_beta, lrp_z_plus. None takes six."""
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
    observations: int = 4
    """How many observations of an episode are explained, evenly spaced, if an agent is given
    without images."""
    episode_seed: int = 0
    """Random seed of that episode."""
    agent_seed: int | None = None
    """Which seed's agent to explain, if MODEL has several that were trained together."""
    seed: int = 0
    """Seed of explainers that draw random numbers."""
    step: int | None = None
    """Step of the checkpoint to use; None takes the newest checkpoint."""


def main(settings: Settings) -> int:
    """Writes a page for every image; returns the number of images that cannot be explained."""
    train.start()
    plots.require_matplotlib()
    for name in ("top", "count", "observations"):
        if getattr(settings, name) < 1:
            raise SystemExit(f"--{name} must be at least 1, got {getattr(settings, name)}")
    if settings.explainers is not None and not settings.explainers:
        raise SystemExit("--explainers needs one explainer or more")
    chosen(settings.explainers or ())  # an unknown one ends the script before a model is opened
    if settings.dataset is not None and settings.images:
        raise SystemExit("name images or a --dataset, not both: a data set gets a summary")
    nothing = settings.dataset is None and not settings.images
    if nothing and not pathlib.Path(settings.start).expanduser().is_dir():  # no run of an agent
        refuse_nothing(settings)
    opened = open_model(
        settings.start,
        model={"name": settings.model, "num_classes": settings.num_classes},
        model_options=settings.model_options,
        step=settings.step,
        agent_seed=settings.agent_seed,
    )
    if isinstance(opened.trained, TrainedAgent):
        check_agent(settings, opened)
    elif nothing:
        refuse_nothing(settings)
    explainers = chosen(settings.explainers or (SHOWN if opened.preprocessing else OF_VECTORS))
    decision = opened.decision(settings.decision)
    if settings.dataset is not None:
        return summarize(settings, opened, decision, explainers)
    others = [f"'{name}'" for name in opened.decisions]
    if settings.decision is None and len(others) > 1:
        print(f"the decision is {others[0]}; --decision takes {', '.join(others[1:])} too")
    paths = found(settings.images)
    names: list[str] = []
    if paths:
        examples = of_files(opened, paths, names)
    else:
        examples = episode(opened, count=settings.observations, seed=settings.episode_seed)
    pages = Pages(settings, opened, decision, explainers)
    with script.checking():
        for example in examples:
            pages.write(example)
    pages.close()
    return len(paths) - len(names)


def refuse_nothing(settings: Settings) -> NoReturn:
    """Ends the script because it got no image."""
    start = script.command("explain", settings.start)
    raise SystemExit(f"name at least one image, or a folder of images: {start} IMAGE...")


def check_agent(settings: Settings, opened: Opened) -> None:
    """Ends the script if it got anything that an agent does not observe."""
    start = script.command("explain", settings.start)
    instead = f"leave it out, and observations of an episode are explained: {start}"
    if settings.dataset is not None:
        raise SystemExit(f"--dataset has no meaning for {opened.name}: {instead}")
    if settings.images and (opened.frames > 1 or opened.channels not in (1, 3, 4)):
        what = f"{opened.frames} frames" if opened.frames > 1 else f"numbers {opened.shape}"
        raise SystemExit(f"{opened.name} observes {what}, which no image file holds: {instead}")


def of_files(opened: Opened, paths: Sequence[str], names: list[str]) -> Iterator[Example]:
    """The images of files; those that can be read are appended to `names`."""
    how = opened.preprocessing
    assert how is not None
    stems = stems_of(paths)
    for image in decoded(paths, opened.channels, names):
        values = data.resize_and_crop(image, how).astype(np.float32) / 255
        title = pathlib.Path(names[-1]).name
        yield Example(names[-1], title, stems[names[-1]], values, *picture_of(values))


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
    """Writer of a page per example, and at the end of explanations.json."""

    def __init__(
        self,
        settings: Settings,
        opened: Opened,
        decision: Decision,
        explainers: Mapping[str, Explainer],
    ) -> None:
        self.settings, self.opened, self.decision = settings, opened, decision
        self.folder = pathlib.Path(settings.out).expanduser() if settings.out else opened.folder
        self.titles = {name: each.title for name, each in explainers.items()}
        subject = decision.subject
        self.score = jax.jit(subject.f)
        self.run = {
            name: compiled(each, subject, decision.target_of) for name, each in explainers.items()
        }
        self.content: dict[str, Any] = {}

    def write(self, example: Example) -> None:
        """Explains a decision and draws its page."""
        decision, inputs = self.decision, example.values[None]
        outputs = self.score(inputs)
        scores = decision.scores(outputs)
        number = decision.choose(scores, self.settings.target)
        order = np.argsort(-scores, kind="stable")[: self.settings.top]
        best = {decision.names[index]: float(scores[index]) for index in order}
        print(f"{example.name}: {', '.join(f'{name} {value:.3g}' for name, value in best.items())}")
        maps = dict(self.maps(inputs, decision.given(outputs, number)))
        for name, made in maps.items():
            print(f"  {self.titles[name]}: {certificate(made)}")
        why = decision.why(self.opened.name, number, scores[number])
        figure = self.draw(
            example,
            [np.asarray(made.map[0]) for made in maps.values()],
            [self.titles[name] for name in maps],
            [certificate(made) for made in maps.values()],
            decision.region(outputs, number) if decision.per_pixel else None,
            scores=best,
            scores_title=decision.measure,
            title=f"{example.title}: {why}",
        )
        path = self.folder / f"{example.stem}.png"
        plots.save(figure, path)
        print(f"  {path}")
        self.content[example.name] = {
            "target": decision.names[number],
            decision.measure: best,
            "maps": {name: facts(made) for name, made in maps.items()},
        }

    def draw(
        self,
        example: Example,
        maps: list[np.ndarray],
        titles: list[str],
        notes: list[str],
        region: np.ndarray | None,
        **scores: Any,
    ) -> Any:
        """The figure of an image, or of a vector."""
        if example.values.ndim == 1:
            names = self.opened.number_names
            return plots.number_attributions(
                example.values, maps, titles, notes, names=names, image=example.picture, **scores
            )
        assert example.picture is not None
        shown = example.picture_title + ("" if region is None else ", explained pixels outlined")
        return plots.attributions(
            example.picture, maps, titles, notes, region=region, image_title=shown, **scores
        )

    def maps(self, inputs: np.ndarray, given: Any) -> Iterator[tuple[str, explain.Attribution]]:
        """The maps of all explainers that can explain this model; the others say why not."""
        for name in [*self.run]:
            key = jax.random.key(self.settings.seed)
            made = attempted(name, self.run[name], inputs, given, key)
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
