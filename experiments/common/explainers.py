"""All explainers of `jaxvision.explain` by name, with the options that experiments give them."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from jaxvision import explain, plots
from jaxvision.suggest import unknown

Made = TypeVar("Made")
RAISES, LOWERS = "#D55E00", "#0072B2"
"""Colors of positive and negative relevance in `plots.relevance_overlay`."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A function whose decisions are explained.

    Attributes:
        f: Function from images in [0, 1] to logits.
        mean: Mean of each channel, which `f` subtracts; images of this color are the baseline.
        std: Standard deviation of each channel, by which `f` divides afterwards.
        references: Images of the training, baselines of expected gradients; None takes `mean`.
        bounded: Whether inputs are in [0, 1]; those that are not images need not be.
    """

    f: Callable[[Any], Any]
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    references: Any = None
    bounded: bool = True

    @property
    def baseline(self) -> np.ndarray:
        """The color that stands for no information."""
        return np.asarray(self.mean, np.float32)

    @property
    def first_rule(self) -> explain.rules.ZBox | None:
        """The rule of LRP for the first layer, if its inputs have bounds, as those of images."""
        if not self.bounded:
            return None
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        return explain.rules.ZBox((0 - mean) / std, (1 - mean) / std)


Run = Callable[[Subject, Any, explain.Target, Any], explain.Attribution]
"""A function from a subject, images, a target and a random key to maps."""


class Explainer(NamedTuple):
    """An explainer with its options.

    Attributes:
        title: Its name in figures and tables.
        run: The function that makes its maps.
    """

    title: str
    run: Run


def _plain(method: Callable[..., explain.Attribution], **options: Any) -> Run:
    """The run of an explainer that needs neither a baseline nor random numbers."""
    return lambda of, images, target, key: method(of.f, images, target, **options)


def _from_baseline(method: Callable[..., explain.Attribution], **options: Any) -> Run:
    return lambda of, images, target, key: method(
        of.f, images, target, baseline=of.baseline, **options
    )


def _sampled(method: Callable[..., explain.Attribution], **options: Any) -> Run:
    return lambda of, images, target, key: method(
        of.f, images, target, key=key, baseline=of.baseline, **options
    )


def _smooth_grad(of: Subject, images: Any, target: explain.Target, key: Any) -> explain.Attribution:
    return explain.smooth_grad(of.f, images, target, key=key)


def _expected(of: Subject, images: Any, target: explain.Target, key: Any) -> explain.Attribution:
    references = of.references
    if references is None:
        references = np.broadcast_to(of.baseline, (1, *images.shape[1:]))
    return explain.expected_gradients(of.f, images, references, target, key=key)


def _occlusion(of: Subject, images: Any, target: explain.Target, key: Any) -> explain.Attribution:
    """Windows of an eighth of the images, moved by half of that."""
    del key
    if images.ndim == 2:  # numbers are hidden one by one, as pixels of an image of one row
        made = explain.occlusion(
            lambda rows: of.f(rows[:, 0, :, 0]), images[:, None, :, None], target, window=1
        )
        return dataclasses.replace(made, map=made.map[:, 0, :, 0])
    window = tuple(max(1, length // 8) for length in images.shape[1:3])
    stride = tuple(max(1, length // 2) for length in window)
    return explain.occlusion(
        of.f, images, target, window=window, stride=stride, baseline=of.baseline
    )


def _lrp(convolutions: explain.rules.Rule | None) -> Run:
    """LRP with a rule for convolutions; None has the rule epsilon for all layers."""

    def run(of: Subject, images: Any, target: explain.Target, key: Any) -> explain.Attribution:
        del key
        epsilon = explain.rules.Epsilon()
        if convolutions is None:
            return explain.lrp(of.f, images, target, rule=epsilon)
        rule = explain.rules.Composite(epsilon, convolutions=convolutions, first=of.first_rule)
        return explain.lrp(of.f, images, target, rule=rule)

    return run


EXPLAINERS: Mapping[str, Explainer] = {
    "saliency": Explainer("gradient (absolute)", _plain(explain.saliency)),
    "gradient_x_input": Explainer("gradient x input", _plain(explain.gradient_x_input)),
    "smooth_grad": Explainer("SmoothGrad", _smooth_grad),
    "integrated_gradients": Explainer(
        "integrated gradients", _from_baseline(explain.integrated_gradients, max_steps=128)
    ),
    "expected_gradients": Explainer("expected gradients", _expected),
    "deeplift": Explainer("DeepLIFT", _from_baseline(explain.deeplift)),
    "guided_backprop": Explainer("guided backprop", _plain(explain.guided_backprop)),
    "deconvnet": Explainer("deconvnet", _plain(explain.deconvnet)),
    "excitation_backprop": Explainer("excitation backprop", _plain(explain.excitation_backprop)),
    "lrp_epsilon": Explainer("LRP-epsilon", _lrp(None)),
    "lrp_gamma": Explainer("LRP-gamma", _lrp(explain.rules.Gamma())),
    "lrp_alpha_beta": Explainer("LRP-alpha-beta", _lrp(explain.rules.AlphaBeta())),
    "lrp_z_plus": Explainer("LRP-z+", _lrp(explain.rules.ZPlus())),
    "cam": Explainer("CAM", _plain(explain.cam)),
    "grad_cam": Explainer("Grad-CAM", _plain(explain.grad_cam)),
    "grad_cam_plus_plus": Explainer("Grad-CAM++", _plain(explain.grad_cam_plus_plus)),
    "score_cam": Explainer("Score-CAM", _plain(explain.score_cam)),
    "occlusion": Explainer("occlusion", _occlusion),
    "rise": Explainer("RISE", _sampled(explain.rise, masks=1000)),
    "shapley_sampling": Explainer("Shapley values", _sampled(explain.shapley_sampling)),
}
"""All explainers by name. The rules of LRP but epsilon have z-box at the first layer."""


def chosen(names: Sequence[str]) -> dict[str, Explainer]:
    """The explainers with some names; it ends the script where one is unknown."""
    for name in names:
        if name not in EXPLAINERS:
            raise SystemExit(unknown("explainer", name, EXPLAINERS))
    return {name: EXPLAINERS[name] for name in names}


def attempted(name: str, make: Callable[..., Made], *given: Any) -> Made | None:
    """What `make(*given)` makes; None, with a message, if an explainer cannot explain the model."""
    try:
        return make(*given)
    except ValueError as error:  # `explain.ExplainError` is one
        print(f"{name} cannot explain this model: {error}", file=sys.stderr)
        return None


def maps_sheet(
    images: Any,
    names: Sequence[str],
    maps: Mapping[str, Any],
    *,
    note: Callable[[str, int], str] = lambda title, row: title,
    title: str,
    legend: Mapping[str, str],
) -> Any:
    """A figure with a row per image: the image, and its maps.

    `maps` has the maps of all images by the title of their explainer, and `note(title, row)` is
    what stands above a map.
    """
    panels, titles = [], []
    for row, image in enumerate(images):
        panels.append(image)
        titles.append(names[row])
        for each, relevance in maps.items():
            panels.append(plots.relevance_overlay(image, relevance[row]))
            titles.append(note(each, row))
    return plots.image_grid(panels, titles, 1 + len(maps), title=title, legend=legend)


def compiled(
    explainer: Explainer,
    subject: Subject,
    target_of: Callable[[Any], explain.Target] = lambda given: given,
) -> Callable[[Any, Any, Any], explain.Attribution]:
    """The compiled function of images, what `target_of` makes a target of, and a random key."""
    return jax.jit(lambda images, given, key: explainer.run(subject, images, target_of(given), key))
