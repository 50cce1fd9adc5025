"""Refines the masks of a trained segmenter by a dense CRF, and tests whether they improve.

    python experiments/refine.py runs/fcn
    python experiments/refine.py runs/fcn --appearance.spatial 20 --appearance.color 30

In a dense CRF (conditional random field), pixels favor the classes of pixels that are near, and of
pixels that are near and have a similar color (Kraehenbuehl and Koltun, arXiv:1210.5644). The script
works for images and volumes. It prints the scores without and with the CRF, and writes them to
evaluations/DATA-refined.json in the run folder, and figures to refined/.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Annotated, Any

from common import script
from common.flags import UNNAMED
from common.restored import load_for

import jax
import tyro

from jaxvision import ops, plots, train
from jaxvision.files import file_name, write_json
from jaxvision.metrics import score_table


@dataclasses.dataclass(frozen=True)
class Smoothness:
    """Smoothness kernel: pixels favor the classes of near pixels."""

    spatial: float = 2.0
    """Standard deviation of the Gaussian of distances, in pixels."""
    weight: float = 3.0
    """Weight of this kernel; 0 leaves it out."""


@dataclasses.dataclass(frozen=True)
class Appearance:
    """Appearance kernel: pixels favor the classes of near pixels of a similar color."""

    spatial: float = 10.0
    """Standard deviation of the Gaussian of distances, in pixels."""
    color: float = 18.0
    """Standard deviation of the Gaussian of color differences, in levels of 0 to 255."""
    weight: float = 10.0
    """Weight of this kernel; 0 leaves it out."""


@dataclasses.dataclass(frozen=True)
class Crf:
    """A dense CRF. The defaults were chosen for FCN-8s on the validation split of `shapes`."""

    smoothness: Smoothness = dataclasses.field(default_factory=Smoothness)
    """Kernel of near pixels."""
    appearance: Appearance = dataclasses.field(default_factory=Appearance)
    """Kernel of near pixels of a similar color."""
    num_steps: int = 5
    """Number of mean-field steps."""

    def make(self) -> Callable[..., jax.Array]:
        """Makes the refinement, a function of logits and images."""
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
    """Folder of a run, which a training script has written."""
    split: str | None = None
    """Split to evaluate on; None takes the split on which the run was evaluated during training."""
    crf: Annotated[Crf, UNNAMED] = dataclasses.field(default_factory=Crf)
    batch_size: int = 16
    """Number of images that are computed at once."""
    num_resamples: int = 1000
    """Number of bootstrap resamples for the intervals."""
    figures: bool = True
    """Draw figures (needs matplotlib)."""


def main(settings: Settings) -> dict[str, Any]:
    """Evaluates without and with the CRF, and compares."""
    train.start()
    if settings.figures:
        with script.checking():
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
