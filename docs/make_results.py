"""Writes the tables of what was learned, from results/*.json:  python docs/make_results.py.

Each file is the `summary.json` that an experiment left in its run folder, with a name of its own.
The tables stand in the README and in the pages of their tasks, between `<!-- results: NAME -->`
and `<!-- end of results -->`.
"""

import dataclasses
import json
import pathlib
import re
import sys
from typing import Any

DOCS = pathlib.Path(__file__).parent
PAGES = (DOCS.parent / "README.md", DOCS / "agents.md", DOCS / "guide_segmentation.md")
PLACE = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end of results -->)", flags=re.DOTALL)
MOST_SEEDS = 5
"""Of more seeds than this, a table has only the least and the largest value."""

HEAD = """| what | command | each seed | mean, 95% interval | seconds a seed |
| --- | --- | --- | --- | --- |
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        what: What was learned, and what the numbers are.
        file: The summary, without `.json`.
        score: The name of the score in the summary.
        form: How a value is written, as for `format`.
    """

    what: str
    file: str
    score: str
    form: str = ".4f"


IMAGES = (
    Row("LeNet-5 on `digits`: test accuracy", "demo", "accuracy", ".2%"),
    Row(
        "digit, slant and ink from one LeNet-5, plain sum of the losses: accuracy of the digit",
        "multitask_sum",
        "digit_accuracy",
        ".2%",
    ),
    Row("the same: error of the slant, in degrees", "multitask_sum", "slant_absolute_error", ".2f"),
    Row("the same: error of the ink, of the page", "multitask_sum", "ink_absolute_error", ".2%"),
    Row(
        "the same three with learned weights: accuracy of the digit",
        "multitask_learned",
        "digit_accuracy",
        ".2%",
    ),
    Row(
        "the same: error of the slant, in degrees",
        "multitask_learned",
        "slant_absolute_error",
        ".2f",
    ),
    Row(
        "the same: error of the ink, of the page", "multitask_learned", "ink_absolute_error", ".2%"
    ),
    Row(
        "digits 5 to 9 from ten images of each, LeNet-5 from scratch: accuracy on 646 others",
        "transfer",
        "from scratch",
        ".2%",
    ),
    Row("the same, fine-tuned from the digits 0 to 4", "transfer", "fine-tuned", ".2%"),
    Row("the same: gain", "transfer", "gain", "+.2%"),
    Row("the gain where the ten are augmented", "transfer_augmented", "gain", "+.2%"),
)
MASKS = (
    Row("small U-Net: mean IoU of background, circles, squares, triangles", "unet", "mean_iou"),
    Row("the same, averaged over eight flips and rotations", "unet", "dihedral/mean_iou"),
    Row("the same, as it is: IoU of circles", "unet", "iou/circle"),
    Row("the same: IoU of squares", "unet", "iou/square"),
    Row("the same: IoU of triangles", "unet", "iou/triangle"),
    Row("the same: F1 of outlines, within a pixel", "unet", "boundary_f1"),
    Row("a linear model of each pixel: mean IoU", "pixel_linear", "mean_iou"),
    Row("a single 3x3 convolution: mean IoU", "pixel_linear3x3", "mean_iou"),
)
DECODERS = tuple(
    row
    for what, file in (
        ("FCN-8s", "decoder_fcn8s"),
        ("SegNet", "decoder_segnet"),
        ("U-Net", "decoder_unet"),
        ("FPN", "decoder_fpn"),
        ("DeepLabV3+", "decoder_deeplabv3_plus"),
    )
    for row in (
        Row(f"{what}: mean IoU", file, "mean_iou"),
        Row("the same, refined by a dense CRF", file, "refined/mean_iou"),
    )
)
VOLUMES = tuple(
    row
    for what, file in (("3D U-Net", "volumes_unet3d"), ("DeepMedic", "volumes_deepmedic"))
    for row in (
        Row(f"{what}: mean IoU", file, "mean_iou"),
        Row("the same: IoU of balls", file, "iou/ball"),
        Row("the same: IoU of tubes", file, "iou/tube"),
        Row("the same, refined by a dense CRF: mean IoU", file, "refined/mean_iou"),
    )
)
IMAGE_MODELS = (
    Row("variational autoencoder: bits per dimension, by 1,000 codes", "vae", "bits_per_dimension"),
    Row("the same: evidence lower bound, in nats per image", "vae", "elbo", ".2f"),
    Row("GAN: Fréchet distance, of that between two halves of the digits", "gan", "frechet_ratio"),
    Row("the same: classes of which there are 5% or more", "gan", "modes", ".0f"),
    Row("the same: share of the rarest class", "gan", "rarest_share", ".1%"),
    Row("the same: samples nearer to a digit than 99% of digits are", "gan", "copies", ".1%"),
)
AGENTS = tuple(
    Row(what, file, "return", ".1f")
    for what, file in (
        ("CartPole-v1, DQN, from 500,000 steps", "dqn_cartpole"),
        ("CartPole-v1, PPO, from 496,640 steps", "ppo_cartpole"),
        ("CartPole-v1, REINFORCE with a learned baseline, from 1,600 episodes", "reinforce"),
        ("Acrobot-v1, PPO, from 496,640 steps", "ppo_acrobot"),
        ("Catch, DQN, from 200,000 steps", "dqn_catch"),
        ("Catch, PPO, from 120,000 steps", "ppo_catch"),
    )
)
TABLES = {
    "images": IMAGES,
    "masks": MASKS,
    "decoders": DECODERS,
    "volumes": VOLUMES,
    "generated": IMAGE_MODELS,
    "agents": AGENTS,
}


def table(name: str) -> str:
    """A table, and under it on what it was measured."""
    rows = TABLES[name]
    summaries = [read(row.file) for row in rows]
    before = [None, *(summary["command"] for summary in summaries)]
    lines = [
        line(row, summary, with_command=summary["command"] != command)
        for row, summary, command in zip(rows, summaries, before, strict=False)
    ]
    measured = sorted({_measured(summary) for summary in summaries})
    return HEAD + "\n".join(lines) + "\n\nMeasured on " + "; and on ".join(measured) + ".\n"


def read(file: str) -> dict[str, Any]:
    """A summary."""
    summary: dict[str, Any] = json.loads((DOCS / "results" / f"{file}.json").read_text())
    return summary


def page(path: pathlib.Path) -> str:
    """The text of a page with its tables as they should be."""
    return PLACE.sub(lambda place: place[1] + table(place[2]) + place[3], path.read_text())


def line(row: Row, summary: dict[str, Any], *, with_command: bool = True) -> str:
    """A row as it is written.

    The folder that the command wrote to is left out, and the command too where it is that of the
    row above.
    """
    score = summary["scores"][row.score]
    each = ", ".join(format(value, row.form) for value in score["values"])
    if len(score["values"]) > MOST_SEEDS:
        least, most = (format(end(score["values"]), row.form) for end in (min, max))
        each = f"{least} to {most}, {len(score['values'])} seeds"
    mean, low, high = (format(value, row.form) for value in (score["mean"], *score["interval"]))
    spread = mean if low == high else f"{mean} [{low}, {high}]"
    command = re.sub(r" --run-dir \S+", "", summary["command"])
    shown = f"`{command}`" if with_command else "as above"
    return f"| {row.what} | {shown} | {each} | {spread} | {_seconds(summary['seconds'])} |"


def _seconds(seconds: list[float]) -> str:
    least, most = f"{min(seconds):,.0f}", f"{max(seconds):,.0f}"
    return least if least == most else f"{least} to {most}"


def _measured(summary: dict[str, Any]) -> str:
    versions = summary["versions"]
    return (
        f"{summary['hardware']}, Python {versions['python']}, jax {versions['jax']}, "
        f"flax {versions['flax']}, optax {versions['optax']}, {summary['date']}"
    )


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(page(each))
        print(each, file=sys.stderr)
