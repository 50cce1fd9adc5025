"""Summary of the explanations of a classifier over a data set."""

import pathlib
from collections.abc import Mapping

from common.explainers import LOWERS, RAISES, Explainer, attempted, maps_sheet
from common.explanations import maps_of, measure
from common.subjects import Decision

import jax
import numpy as np

from jaxvision import data, metrics, plots
from jaxvision.files import write_json

SHOWN = 6
"""Number of images in the figure."""
COLUMNS = {
    "deletion": "deletion",
    "insertion": "insertion",
    "faithfulness": "faithfulness",
    "sensitivity_n": "sensitivity-n",
}
LEGEND = """
95% intervals of the mean over the images. The logit of the most probable class is explained.
deletion: area under its probability while the most relevant pixels are hidden; small is good
insertion: area under its probability while they are inserted into the blurred image; large is good
faithfulness, sensitivity-n: correlation of the relevance of random subsets of pixels (25%; 1 and
10% of all) with the fall of the logit when they are hidden; 1 is perfect
largest error: by how much a map misses what its method promises, relative to the logit"""


def survey(
    decision: Decision,
    explainers: Mapping[str, Explainer],
    dataset: data.Dataset,
    *,
    count: int,
    seed: int,
    folder: pathlib.Path,
) -> None:
    """Measures explainers on the first images of a data set; writes summary.json and summary.png.

    The explained class is the most probable one. Explainers that cannot explain the model are left
    out, and say why.
    """
    images = np.stack([dataset[row]["image"] for row in range(min(count, len(dataset)))])
    images = images.astype(np.float32) / (255 if images.dtype == np.uint8 else 1)
    logits = np.asarray(jax.jit(decision.subject.f)(images))
    classes = logits.argmax(axis=1)
    key = jax.random.key(seed)
    map_key, _ = jax.random.split(key)  # as in `measure`
    print(f"{dataset.name}/{dataset.split}: {len(images)} images")
    head = "".join(f"{title:>24}" for title in COLUMNS.values())
    print(f"{'explainer':22}{head}{'largest error':>16}{'ms per image':>14}")
    content, maps = {}, {}
    for name, explainer in explainers.items():
        made = attempted(name, maps_of, decision.subject, explainer, images, classes, map_key)
        if made is None:
            continue
        values = measure(decision.subject, made.map, images, classes, key=key)
        scores = {each: _mean(values[each]) for each in COLUMNS}
        largest, milliseconds = float(made.error.max()), 1000 * made.seconds
        cells = "".join(f"{_cell(score):>24}" for score in scores.values())
        print(f"{explainer.title:22}{cells}{largest:16.2g}{milliseconds:14.3g}", flush=True)
        content[name] = {
            **{
                each: {"value": s.value, "low": s.low, "high": s.high} for each, s in scores.items()
            },
            "largest_error": largest,
            "milliseconds": milliseconds,
        }
        maps[explainer.title] = made.map[:SHOWN]
    if not content:
        raise SystemExit("no explainer can explain this model")
    print(LEGEND)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "summary.json", {"images": len(images), "explainers": content})
    names = [str(decision.names[index]) for index in classes]
    title = f"{dataset.name}/{dataset.split}: maps of the logit of the most probable class"
    legend = {"raises the logit": RAISES, "lowers the logit": LOWERS}
    figure = maps_sheet(images[:SHOWN], names, maps, title=title, legend=legend)
    plots.save(figure, folder / "summary.png")
    for file in ("summary.json", "summary.png"):
        print(folder / file)


def _mean(values: np.ndarray) -> metrics.Score:
    """The mean of the values that are defined."""
    known = values[np.isfinite(values)]
    return metrics.mean_score(known) if len(known) else metrics.Score(float("nan"))


def _cell(score: metrics.Score) -> str:
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"
