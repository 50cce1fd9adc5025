"""Refines the masks of a trained segmenter by a dense CRF, and says whether that helped.

    python experiments/refine.py runs/fcn
    python experiments/refine.py runs/fcn --appearance.spatial 20 --appearance.color 30

Pixels that are near, or near and of a similar color, vote for the same class (Kraehenbuehl and
Koltun, arXiv:1210.5644). It works for images and for volumes. The scores of both are printed, and
go to evaluations/DATA-refined.json in the run's folder, pictures to refined/.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Annotated, Any

import jax
import tyro
from common import script
from common.flags import UNNAMED
from common.restored import load_for

from jaxvision import ops, plots, train
from jaxvision.files import file_name, write_json
from jaxvision.metrics import score_table


@dataclasses.dataclass(frozen=True)
class Smoothness:
    """How near pixels vote, whatever their color."""

    spatial: float = 2.0
    """Their distance, as the standard deviation of a Gaussian in pixels."""
    weight: float = 3.0
    """How much their votes count; 0 leaves them out."""


@dataclasses.dataclass(frozen=True)
class Appearance:
    """How near pixels of a similar color vote."""

    spatial: float = 10.0
    """Their distance, as the standard deviation of a Gaussian in pixels."""
    color: float = 18.0
    """The difference of their colors, as a standard deviation in levels of 255."""
    weight: float = 10.0
    """How much their votes count; 0 leaves them out."""


@dataclasses.dataclass(frozen=True)
class Crf:
    """A dense CRF over pixels; chosen for FCN-8s on the validation scenes of `shapes`."""

    smoothness: Smoothness = dataclasses.field(default_factory=Smoothness)
    """Votes of near pixels."""
    appearance: Appearance = dataclasses.field(default_factory=Appearance)
    """Votes of near pixels of a similar color."""
    num_steps: int = 5
    """Steps of the mean-field approximation."""

    def make(self) -> Callable[..., jax.Array]:
        """The refinement: a function of logits and images."""
        near, similar = self.smoothness, self.appearance
        chosen: list[Any] = []
        with script.checking():
            if near.weight:
                chosen.append(ops.GaussianKernel(near.spatial, near.weight))
            if similar.weight:
                color = similar.color / 255
                chosen.append(ops.BilateralKernel(similar.spatial, color, similar.weight))
        return functools.partial(ops.dense_crf, kernels=tuple(chosen), num_steps=self.num_steps)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a refinement."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder that the training left."""
    split: str | None = None
    """What to evaluate on; None takes what the run was evaluated on."""
    crf: Annotated[Crf, UNNAMED] = dataclasses.field(default_factory=Crf)
    batch_size: int = 16
    """Images at once."""
    num_resamples: int = 1000
    """Bootstrap draws for the intervals."""
    figures: bool = True
    """Whether to draw figures."""


def main(settings: Settings) -> dict[str, Any]:
    """Evaluates without and with the refinement, and compares."""
    train.start()
    if settings.figures:
        plots.require_matplotlib()
    run_dir = pathlib.Path(settings.run_dir).expanduser()
    trained = train.restore(run_dir)
    if not isinstance(trained, train.segmentation.TrainedSegmenter):
        raise SystemExit(f"{run_dir} is not the run of a segmenter")
    refine = settings.crf.make()
    dataset = load_for(trained, split=settings.split)
    plain, refined = (
        trained.predict(dataset, batch_size=settings.batch_size, refine=each)
        for each in (None, refine)
    )
    content = {}
    for name, predictions in (("plain", plain), ("refined", refined)):
        scores = trained.evaluate(predictions, num_resamples=settings.num_resamples)
        print(f"\n{name}\n{score_table(scores)}")
        content[name] = {key: score._asdict() for key, score in scores.items()}
    words, numbers = trained.compare(refined, plain, num_resamples=settings.num_resamples)
    print(f"\nrefined against plain: {words}")
    content["comparison"] = numbers
    place = file_name(f"{dataset.name}/{dataset.split}-refined")
    (run_dir / "evaluations").mkdir(exist_ok=True)
    write_json(
        run_dir / "evaluations" / f"{place}.json",
        {"settings": dataclasses.asdict(settings), **content},
    )
    if settings.figures:
        for path in train.segmentation.draw(
            run_dir / "refined",
            refined,
            dataset,
            trained.class_names,
            remark="refined by a dense CRF",
        ):
            print(path)
    return content


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
