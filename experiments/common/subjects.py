"""Trained models as subjects of explanations, from a run folder, a file of weights or a hub."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from common import script
from common.explainers import Subject
from common.learning import parse_option
from common.places import looks_like_a_folder, run_folder

import jax
import jax.numpy as jnp
import numpy as np

from jaxvision import data, explain, models, train
from jaxvision.folders import no_such_folder
from jaxvision.suggest import unknown


@dataclasses.dataclass(frozen=True)
class Opened:
    """A trained model whose decisions are explained.

    Attributes:
        name: Its name, for titles.
        decisions: Its decisions by name.
        preprocessing: How images of other sizes are resized, and the normalization.
        channels: Number of channels of the images.
        folder: Folder for figures.
        trained: The restored run; None without one.
    """

    name: str
    decisions: Mapping[str, train.ScoreFunction]
    preprocessing: data.Preprocessing
    channels: int
    folder: pathlib.Path
    trained: train.Trained | None = None

    def decision(self, name: str | None) -> "Decision":
        """A decision by its name; None takes the first."""
        if name is not None and name not in self.decisions:
            raise SystemExit(unknown("decision", name, self.decisions))
        scores = self.decisions[name or next(iter(self.decisions))]
        size = (1, *self.preprocessing.size, self.channels)
        shape = jax.eval_shape(scores.fn, jax.ShapeDtypeStruct(size, jnp.float32)).shape
        names = [*scores.names] or [f"number {index}" for index in range(shape[-1])]
        subject = Subject(scores.fn, self.preprocessing.mean, self.preprocessing.std)
        return Decision(subject, names, scores.are_logits, len(shape) == 4)


@dataclasses.dataclass(frozen=True)
class Decision:
    """A function of images, with the names of its scores.

    Attributes:
        subject: The function and the normalization in it.
        names: Name of each score.
        are_logits: Whether the scores are logits of classes.
        per_pixel: Whether each pixel has scores.
    """

    subject: Subject
    names: Sequence[str]
    are_logits: bool
    per_pixel: bool

    @property
    def measure(self) -> str:
        """What `scores` returns, for titles."""
        if self.per_pixel:
            return "share of the pixels"
        return "probability" if self.are_logits else "score"

    def scores(self, outputs: Any) -> np.ndarray:
        """A number for each class of one image: a probability, a share of the pixels or a score."""
        values = np.asarray(outputs[0], np.float64)
        if self.per_pixel:
            return np.bincount(values.argmax(-1).ravel(), minlength=values.shape[-1]) / (
                values.shape[0] * values.shape[1]
            )
        return np.asarray(jax.nn.softmax(values)) if self.are_logits else values

    def choose(self, scores: np.ndarray, target: str | None) -> int:
        """The number of a target given by name or number; None takes the highest score.

        Of masks, the first class is taken only if there is no other, since it is the background.
        """
        if target is None:
            others = scores[1:] if self.per_pixel and scores[1:].any() else scores
            return int(others.argmax()) + len(scores) - len(others)
        if target in self.names:
            return self.names.index(target)
        if target.isdecimal() and int(target) < len(self.names):
            return int(target)
        raise SystemExit(f"{unknown('target', target, self.names)}; its number works too")

    def given(self, outputs: Any, number: int) -> Any:
        """What `target_of` makes the target of: a class, for masks also the pixels that have it."""
        if not self.per_pixel:
            return jnp.array([number])
        own = jnp.argmax(outputs[0], axis=-1) == number
        return jnp.array(number), jnp.where(own.any(), own, True)

    def target_of(self, given: Any) -> explain.Target:
        """The target: the score of a class, or for masks its mean over the pixels that have it."""
        if not self.per_pixel:
            return given
        number, own = given

        def mean_of_own(outputs: Any) -> Any:
            scores = jnp.take(outputs, number, axis=-1)
            return jnp.sum(scores * own, axis=(1, 2)) / own.sum()

        return mean_of_own


def open_model(
    start: str, *, model: Mapping[str, Any], model_options: Mapping[str, str], step: int | None
) -> Opened:
    """Opens a run folder, a file of weights of a model, or a repository of timm.

    `model` has arguments of `models.create_model`, and `model_options` more as they were typed.
    """
    path = pathlib.Path(start).expanduser()
    if path.is_file():
        return _opened_file(path, model, model_options)
    if not path.is_dir() and looks_like_a_folder(start):
        raise SystemExit(no_such_folder(start, "run folder or file of weights"))
    if not path.is_dir() or (path / "config.json").is_file():
        with script.checking():
            pretrained = models.load_pretrained(start)
        return _classifier(
            pathlib.Path(start).name,
            pretrained.model,
            pretrained.variables,
            pretrained.preprocessing,
            pretrained.class_names,
        )
    trained = train.restore(run_folder(start), step=step)
    with script.asking():
        decisions = trained.score_functions()
    preprocessing = trained.preprocessing
    if preprocessing is None:
        raise SystemExit(f"{start} is not a run on images")
    return Opened(
        path.name,
        decisions,
        preprocessing,
        trained.record.data["image_shape"][-1],
        trained.run.folder / "figures" / "explanations",
        trained,
    )


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

    names = class_names or [f"class {index}" for index in range(model.num_classes)]
    decisions = {"class": train.ScoreFunction(logits, names)}
    return Opened(name, decisions, preprocessing, 3, pathlib.Path("explanations", name))
