"""Makes pictures of the documentation from run folders:  python docs/make_gallery.py [NAME ...].

Each picture comes from a run in `runs/`, which the command in `PICTURES` makes. Pictures are at
most 900 pixels wide and have few colors, so that they are small enough to be kept with the code.
"""

import argparse
import dataclasses
import io
import json
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.figure
import numpy as np
from PIL import Image

from jaxvision import data, plots, train

DOCS = pathlib.Path(__file__).parent
GALLERY = DOCS / "gallery"
WIDTH = 900
COLORS = 96


def file(path: str) -> Callable[[pathlib.Path], Image.Image]:
    """Takes a picture as a run left it."""
    return lambda run: Image.open(run / path)


def drawn(figure: matplotlib.figure.Figure) -> Image.Image:
    """The picture of a figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return Image.open(buffer)


def classification(run: pathlib.Path) -> Image.Image:
    """The test digits that a classifier is least sure of, with what it takes them for."""
    trained: Any = train.restore(run / "seed0")
    digits = data.load("digits", "test", image_size=32)
    predictions = trained.predict(digits)
    confidence = predictions.probabilities.max(axis=1)
    chosen = np.argsort(confidence)[:14]
    titles = [
        f"{predictions.classes[index]}: {confidence[index]:.0%}"
        + ("" if predictions.classes[index] == predictions.labels[index] else " (wrong)")
        for index in chosen
    ]
    images = [digits[int(index)]["image"] for index in chosen]
    accuracy = (predictions.classes == predictions.labels).mean()
    title = f"{accuracy:.1%} of the test digits are classified right; these are the least certain"
    return drawn(plots.image_grid(images, titles, columns=7, title=title))


def multitask(run: pathlib.Path) -> Image.Image:
    """Test digits with the digit, slant and ink that one network predicts."""
    trained: Any = train.restore(run / "seed0" / "learned")
    digits = data.load("digits", "test", image_size=32)
    answers = trained.predict(digits).outputs
    classes, slant, ink = (np.asarray(answers[name]) for name in ("digit", "slant", "ink"))
    chosen = range(0, 28, 2)
    titles = [
        f"{classes[index].argmax()}\n{round(float(slant[index, 0])):+d}°, {ink[index, 0]:.0%} ink"
        for index in chosen
    ]
    images = [digits[index]["image"] for index in chosen]
    title = "one network predicts digit, slant and ink"
    return drawn(plots.image_grid(images, titles, columns=7, title=title))


def fine_tuning(run: pathlib.Path) -> Image.Image:
    """Accuracies on new digits while they are learned, from scratch and by fine-tuning."""
    histories = [
        [
            {"step": row["step"], "split": split, "accuracy": row["accuracy"]}
            for split, name in (("from scratch", "scratch"), ("fine-tuned", "finetuned"))
            for row in train.read_metrics(seed / name)
            if row["split"] not in ("train", "meta")
        ]
        for seed in sorted(run.glob("seed*"))
    ]
    title = "digits 5 to 9 from ten images of each"
    return drawn(plots.learning_curves_by_seed(histories, title=title))


def masks(name: str) -> Callable[[pathlib.Path], Image.Image]:
    """Four test images of a segmenter with their masks, from the worst to the best."""

    def draw(run: pathlib.Path) -> Image.Image:
        trained: Any = train.restore(run)
        scenes = data.load(name, "test[:40]", transform=_image_and_mask)
        with tempfile.TemporaryDirectory() as folder:
            paths = train.segmentation.draw(
                folder, trained.predict(scenes), scenes, trained.class_names, num_images=4
            )
            (path,) = (path for path in paths if path.name == "masks.png")
            return Image.open(path).copy()

    return draw


def _image_and_mask(example: dict[str, Any]) -> dict[str, Any]:
    return {"image": example["image"], "mask": example["mask"]}


VARIANTS = {
    "game_ttur": "no R1, critic four times as fast",
    "game_non_saturating_r1": "R1",
    "game_conditional": "R1 and classes",
}
"""Titles of GANs by the names of their results."""


def classes(results: Mapping[str, str]) -> Image.Image:
    """The classes of the samples of GANs in `docs/results`."""
    names = [str(digit) for digit in range(10)]
    shares = {}
    for file, title in results.items():
        scores = json.loads((DOCS / "results" / f"{file}.json").read_text())["scores"]
        shares[title] = [scores[f"share/{name}"]["mean"] for name in names]
    digits = data.load("digits", "train")
    expected = np.bincount([digits[index]["label"] for index in range(len(digits))]) / len(digits)
    return drawn(plots.class_shares(shares, names, expected=expected))


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of the documentation.

    Attributes:
        run: The run folder in `runs/`.
        command: The command that makes the run.
        make: Makes the picture from the run folder.
        colors: The number of colors that are kept.
        folder: The folder in `docs/`.
        width: The largest width in pixels.
    """

    run: str
    command: str
    make: Callable[[pathlib.Path], Image.Image]
    colors: int = COLORS
    folder: str = "gallery"
    width: int = WIDTH


def figure(run: str, path: str, command: str = "", width: int = WIDTH) -> Picture:
    """A figure of a guide, as a run left it."""
    return Picture(run, command or f"{run}.py", file(path), folder="figures", width=width)


CONDITIONAL = "gan.py --conditional --run-dir runs/gan_conditional"
PICTURES = {
    "classification": Picture("demo", "demo.py", classification),
    "fine_tuning": Picture("transfer", "transfer.py", fine_tuning),
    "multitask": Picture("multitask", "multitask.py", multitask),
    "segmentation": Picture("unet", "segment.py --run-dir runs/unet", masks("shapes"), 255),
    "explanation": Picture(
        "explainers",
        "explainers.py --seeds 0; python experiments/explain.py runs/explainers/seed0/classifier "
        "--dataset shapes --count 8",
        file("seed0/classifier/figures/explanations/shapes_test/summary.png"),
        128,
    ),
    "fixations": Picture(
        "fixations",
        "fixations.py",
        file("network/seed0/figures/shapes_test/densities.png"),
    ),
    "volumes": Picture(
        "volumes",
        "segment.py --run-dir runs/volumes --dataset volumes --model unet3d --model-options "
        "channels '(8,16),(16,32),(32,64)' --num-steps 400 --batch-size 4 --eval-every 200",
        masks("volumes"),
    ),
    "autoencoders": Picture(
        "autoencode",
        "autoencode.py",
        file("denoising/seed0/figures/digits_test/reconstructions.png"),
    ),
    "variational_autoencoders": Picture(
        "vae", "vae.py", file("seed0/figures/digits_test/interpolations.png")
    ),
    "adversarial_networks": Picture(
        "gan", "gan.py", file("non_saturating_r1/seed0/figures/samples.png")
    ),
    "embeddings": Picture("tsne", "tsne.py", file("figures/embeddings.png"), 255),
    "classical": Picture("toys", "toys.py", file("figures/boundaries.png")),
    "value_learning": Picture("dqn", "dqn.py", file("learning_curves.png")),
    "policy_gradients": Picture("ppo", "ppo.py", file("learning_curves.png")),
    "tabular": Picture("qlearning", "qlearning.py", file("best.png")),
}
"""Pictures of the pages of tasks."""
FIGURES = {
    "filters": figure("autoencode", "denoising/seed0/figures/filters.png"),
    "codes": figure("vae", "seed0/figures/digits_test/codes.png"),
    "traversals": figure("vae", "seed0/figures/digits_test/traversals.png"),
    "completed": figure("vae", "seed0/figures/digits_test/completed.png"),
    "plane": figure("plane", "figures/fields.png", width=1800),
    "samples": figure("samples", "figures/samples.png"),
    "distances": figure("samples", "figures/distances.png"),
    "closest": figure("samples", "figures/closest_non_saturating_r1.png"),
    "classes": Picture(
        "gan_conditional", CONDITIONAL, lambda _: classes(VARIANTS), folder="figures"
    ),
    "conditional": figure(
        "gan_conditional", "non_saturating_r1/seed0/figures/samples.png", CONDITIONAL
    ),
}
"""Figures of the guides that runs leave."""


def small(picture: Image.Image, colors: int, width: int = WIDTH) -> Image.Image:
    """The picture with fewer pixels and colors."""
    picture = picture.convert("RGB")
    if picture.width > width:
        height = round(picture.height * width / picture.width)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return picture.quantize(colors, dither=Image.Dither.NONE)


def main() -> None:
    """Makes the chosen pictures, and says which runs are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="pictures to make; all if none")
    parser.add_argument("--runs", default="runs", help="the folder of the runs")
    settings = parser.parse_args()
    pictures = {**PICTURES, **FIGURES}
    unknown = set(settings.names) - pictures.keys()
    if unknown:
        raise SystemExit(
            f"no picture is called {', '.join(sorted(unknown))}: {', '.join(pictures)}"
        )
    for name in settings.names or pictures:
        picture = pictures[name]
        run = pathlib.Path(settings.runs) / picture.run
        if not run.is_dir():
            print(f"{name}: there is no {run}; python experiments/{picture.command}")
            continue
        path = DOCS / picture.folder / f"{name}.png"
        small(picture.make(run), picture.colors, picture.width).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
