"""Trained models as subjects of explanations, from a run folder, a file of weights or a hub."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from common import agents, script
from common.explainers import Subject
from common.learning import parse_option
from common.places import kind_of_model, run_folder

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision import data, explain, models, train
from jaxvision.rl.wrappers import frames_in
from jaxvision.suggest import unknown
from jaxvision.train.agents import TrainedAgent
from jaxvision.train.serving import known_names

HIGH = 0.1
"""Share of the pixels, those with the highest scores, whose scores are explained."""


@dataclasses.dataclass(frozen=True)
class Opened:
    """A trained model whose decisions are explained.

    Attributes:
        name: Its name, for titles.
        decisions: Its decisions by name.
        shape: Shape of an input: height, width and channels of an image, or the length of a vector.
        folder: Folder for figures.
        preprocessing: How images of other sizes are resized, and the normalization; None for
            vectors.
        trained: The restored run; None without one.
        frames: Number of images that an input consists of, along its channels; the last is newest.
        number_names: Names of the numbers of a vector.
        bounded: Whether inputs are in [0, 1].
    """

    name: str
    decisions: Mapping[str, train.ScoreFunction]
    shape: tuple[int, ...]
    folder: pathlib.Path
    preprocessing: data.Preprocessing | None = None
    trained: train.Trained | None = None
    frames: int = 1
    number_names: Sequence[str] = ()
    bounded: bool = True

    @property
    def channels(self) -> int:
        """Number of channels of images; 0 for vectors."""
        return self.shape[2] if len(self.shape) == 3 else 0

    def decision(self, name: str | None) -> "Decision":
        """A decision by its name; None takes the first."""
        if name is not None and name not in self.decisions:
            raise SystemExit(unknown("decision", name, self.decisions))
        given = self.decisions[name or next(iter(self.decisions))]
        example = jax.ShapeDtypeStruct((1, *self.shape), jnp.float32)
        shape = jax.eval_shape(given.fn, example).shape
        names = [*given.names] or [f"number {index}" for index in range(shape[-1])]
        how = self.preprocessing
        mean, std = ((0.0,), (1.0,)) if how is None else (how.mean, how.std)
        subject = Subject(given.fn, mean, std, bounded=self.bounded)
        return Decision(subject, names, given.are_logits, len(shape) == 4, given.measure)


class Example(NamedTuple):
    """An input of a model, and how a page shows it.

    Attributes:
        name: The path of its file, or what else it is.
        title: A short name for titles.
        stem: The name of its page, without suffix.
        values: What the model sees: an image in [0, 1], or a vector.
        picture: The image that is shown, gray or RGB; None shows none.
        picture_title: What it shows.
    """

    name: str
    title: str
    stem: str
    values: np.ndarray
    picture: np.ndarray | None
    picture_title: str = "image"


@dataclasses.dataclass(frozen=True)
class Decision:
    """A function of images or vectors, with the names of its scores.

    Attributes:
        subject: The function and the normalization in it.
        names: Name of each score.
        are_logits: Whether the scores are logits of classes.
        per_pixel: Whether each pixel has scores.
        meaning: What a score that is no logit measures.
    """

    subject: Subject
    names: Sequence[str]
    are_logits: bool
    per_pixel: bool
    meaning: str = "score"

    @property
    def measure(self) -> str:
        """What `scores` returns, for titles."""
        if self.are_logits:
            return "share of the pixels" if self.per_pixel else "probability"
        return self.meaning

    def scores(self, outputs: Any) -> np.ndarray:
        """A number for each score of one input.

        For logits, it is the probability of the class, or its share of the pixels; for other
        scores, the score, or its mean over the pixels that `region` has.
        """
        values = np.asarray(outputs[0], np.float64)
        if not self.are_logits:
            numbers = range(len(self.names)) if self.per_pixel else ()
            means = [values[self.region(outputs, each), each].mean() for each in numbers]
            return np.array(means) if self.per_pixel else values
        if not self.per_pixel:
            return np.asarray(jax.nn.softmax(values))
        counts = np.bincount(values.argmax(-1).ravel(), minlength=values.shape[-1])
        return counts / (values.shape[0] * values.shape[1])

    def choose(self, scores: np.ndarray, target: str | None) -> int:
        """The number of a target given by name or number; None takes the highest score.

        Of masks, the first class is taken only if there is no other, since it is the background.
        """
        if target is None:
            has_background = self.per_pixel and self.are_logits and scores[1:].any()
            others = scores[1:] if has_background else scores
            return int(others.argmax()) + len(scores) - len(others)
        if target in self.names:
            return self.names.index(target)
        if target.isdecimal() and int(target) < len(self.names):
            return int(target)
        raise SystemExit(f"{unknown('target', target, self.names)}; its number works too")

    def why(self, run: str, number: int, score: float) -> str:
        """The question that a page answers."""
        if self.are_logits:
            return f"why {run} says {self.names[number]} ({self.measure} {score:.3g})"
        where = ", mean of the outlined pixels" if self.per_pixel else ""
        return f"why {run} gives {self.names[number]!r} {score:.3g} ({self.meaning}{where})"

    def region(self, outputs: Any, number: int) -> np.ndarray:
        """The pixels whose score is explained: those of a class, or a tenth with high scores."""
        values = np.asarray(outputs[0])
        if self.are_logits:
            own: np.ndarray = values.argmax(axis=-1) == number
            return own if own.any() else np.ones_like(own)
        score = values[..., number]
        highest: np.ndarray = score >= np.quantile(score, 1 - HIGH)
        return highest

    def given(self, outputs: Any, number: int) -> Any:
        """What `target_of` makes the target of: the number, and for scores of pixels the region."""
        if not self.per_pixel:
            return jnp.array([number])
        return jnp.array(number), jnp.asarray(self.region(outputs, number))

    def target_of(self, given: Any) -> explain.Target:
        """The target: a score, or for scores of pixels the mean over a region."""
        if not self.per_pixel:
            return given
        number, region = given

        def mean_of_region(outputs: Any) -> Any:
            scores = jnp.take(outputs, number, axis=-1)
            return jnp.sum(scores * region, axis=(1, 2)) / region.sum()

        return mean_of_region


def open_model(
    start: str,
    *,
    model: Mapping[str, Any],
    model_options: Mapping[str, str],
    step: int | None,
    agent_seed: int | None = None,
) -> Opened:
    """Opens a run folder, a file of weights of a model, or a repository of timm.

    `model` has arguments of `models.create_model`, and `model_options` more as they were typed.
    `agent_seed` selects one of several agents that were trained together.
    """
    path = pathlib.Path(start).expanduser()
    kind = kind_of_model(start)
    if kind == "file":
        return _opened_file(path, model, model_options)
    if kind == "repository":
        with script.checking():
            pretrained = models.load_pretrained(start)
        return _classifier(
            path.name,
            pretrained.model,
            pretrained.variables,
            pretrained.preprocessing,
            pretrained.class_names,
        )
    trained = train.restore(run_folder(start), step=step)
    folder = trained.run.folder / "figures" / "explanations"
    if isinstance(trained, TrainedAgent):
        return _opened_agent(agents.one_of(trained, agent_seed, "--agent-seed"), folder)
    if agent_seed is not None:
        raise SystemExit(f"--agent-seed is for runs of agents, and {start} is not one")
    with script.asking():
        decisions = trained.score_functions()
    preprocessing = trained.preprocessing
    if preprocessing is None:
        raise SystemExit(f"{start} is not a run on images")
    shape = (*preprocessing.size, trained.record.data["image_shape"][-1])
    place = trained.run.folder.resolve()
    name = "/".join(place.parts[-2:]) if place.name.startswith("seed") else place.name
    return Opened(name, decisions, shape, folder, preprocessing, trained)


def _opened_agent(agent: TrainedAgent, folder: pathlib.Path) -> Opened:
    """An agent; what it observes is an image, or else a vector."""
    with script.asking():
        decisions = agent.score_functions()
    envs = agent.make_environments(1)
    space, names = envs.observation_space, agent.observation_names
    how = None
    if not names:
        how = data.Preprocessing(space.shape[:2])
    elif len(space.shape) > 1:
        decisions = {key: _of_vectors(each, space.shape) for key, each in decisions.items()}
    return Opened(
        f"the agent of {agent.environment}",
        decisions,
        (len(names),) if names else space.shape,
        folder,
        how,
        agent,
        frames_in(envs),
        names,
        bounded=space.dtype == np.uint8,
    )


def _of_vectors(scores: train.ScoreFunction, shape: tuple[int, ...]) -> train.ScoreFunction:
    """The same scores as a function of flat arrays."""
    return scores._replace(fn=lambda vectors: scores.fn(vectors.reshape(-1, *shape)))


def _opened_file(path: pathlib.Path, base: Mapping[str, Any], options: Mapping[str, str]) -> Opened:
    with script.checking(TypeError):
        known = models.describe(models.create_model(**base))
        given = {key: parse_option(key, text, known.get(key)) for key, text in options.items()}
        model = models.create_model(**base, **given)
        variables = models.load_weights(model, path)
    photos = data.IMAGENET
    size = model.default_image_size
    preprocessing = data.Preprocessing(size, photos.crop, mean=photos.mean, std=photos.std)
    return _classifier(path.stem, model, variables, preprocessing, ())


def _classifier(
    name: str,
    model: models.Model,
    variables: Any,
    preprocessing: data.Preprocessing,
    class_names: Sequence[str],
) -> Opened:
    inputs = train.Inputs(preprocessing.mean, preprocessing.std)

    def logits(images: Any) -> Any:
        return model.apply(variables, inputs.evaluate({"image": images})["image"])

    names = known_names(class_names, model.num_classes)
    decisions = {"class": train.ScoreFunction(logits, names)}
    shape = (*preprocessing.size, 3)
    return Opened(name, decisions, shape, pathlib.Path("explanations", name), preprocessing)
