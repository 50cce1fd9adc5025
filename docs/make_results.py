"""Writes the tables of results in the documentation:  python docs/make_results.py.

The tables are in the README and in the guides, between `<!-- results: NAME -->` and
`<!-- end of results -->`. Their numbers come from results/*.json, renamed copies of the
`summary.json` that each experiment writes to its run folder.
"""

import dataclasses
import json
import pathlib
import re
import sys
from typing import Any

DOCS = pathlib.Path(__file__).parent
PAGES = (
    DOCS.parent / "README.md",
    DOCS / "agents.md",
    DOCS / "guide_segmentation.md",
    DOCS / "guide_generative.md",
    DOCS / "guide_embeddings.md",
    DOCS / "guide_explanation.md",
)
PLACE = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end of results -->)", flags=re.DOTALL)
MOST_SEEDS = 5
"""If there are more seeds than this, a table shows only the smallest and largest values."""

HEAD = """| result | command | each seed | mean [95% interval] | seconds per seed |
| --- | --- | --- | --- | --- |
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        what: The model and the score, as shown in the table.
        file: The name of the summary, without `.json`.
        score: The name of the score in the summary.
        form: The format specification of values.
    """

    what: str
    file: str
    score: str
    form: str = ".4f"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A table with a row per summary, or per alternative in one summary, and a column per score.

    Attributes:
        lines: The model, as shown in the table, and the name of its summary without `.json`.
            SUMMARY/NAME takes those scores of SUMMARY whose names begin with NAME/.
        columns: The heading of a score, its name in the summaries, and its format specification.
        sort_by: The score whose means order the rows; None keeps the order of the lines.
        largest_first: Whether the row with the largest mean comes first.
    """

    lines: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str, str], ...]
    sort_by: str | None = None
    largest_first: bool = False


IMAGES = (
    Row("LeNet-5 on `digits`: test accuracy", "demo", "accuracy", ".2%"),
    Row(
        "multi-task LeNet-5 (digit, slant, ink), plain sum of the losses: digit accuracy",
        "multitask_sum",
        "digit_accuracy",
        ".2%",
    ),
    Row(
        "same model: mean absolute error of the slant, in degrees",
        "multitask_sum",
        "slant_absolute_error",
        ".2f",
    ),
    Row(
        "same model: mean absolute error of the ink, in percent of the page",
        "multitask_sum",
        "ink_absolute_error",
        ".2%",
    ),
    Row(
        "multi-task LeNet-5, learned loss weights: digit accuracy",
        "multitask_learned",
        "digit_accuracy",
        ".2%",
    ),
    Row(
        "same model: mean absolute error of the slant, in degrees",
        "multitask_learned",
        "slant_absolute_error",
        ".2f",
    ),
    Row(
        "same model: mean absolute error of the ink, in percent of the page",
        "multitask_learned",
        "ink_absolute_error",
        ".2%",
    ),
    Row(
        "digits 5 to 9, ten images of each, LeNet-5 from scratch: accuracy on 646 other images",
        "transfer",
        "from scratch",
        ".2%",
    ),
    Row(
        "same images, LeNet-5 fine-tuned from digits 0 to 4: accuracy",
        "transfer",
        "fine-tuned",
        ".2%",
    ),
    Row("gain of fine-tuning over training from scratch", "transfer", "gain", "+.2%"),
    Row("gain if the ten images of each are augmented", "transfer_augmented", "gain", "+.2%"),
)
MASKS = (
    Row("small U-Net: mean IoU of background, circles, squares, triangles", "unet", "mean_iou"),
    Row(
        "small U-Net, averaged over eight flips and rotations: mean IoU",
        "unet",
        "dihedral/mean_iou",
    ),
    Row("small U-Net, without averaging: IoU of circles", "unet", "iou/circle"),
    Row("small U-Net: IoU of squares", "unet", "iou/square"),
    Row("small U-Net: IoU of triangles", "unet", "iou/triangle"),
    Row("small U-Net: F1 of boundaries, with a tolerance of one pixel", "unet", "boundary_f1"),
    Row("linear classifier of single pixels: mean IoU", "pixel_linear", "mean_iou"),
    Row("single 3x3 convolution: mean IoU", "pixel_linear3x3", "mean_iou"),
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
        Row(f"{what}, refined by a dense CRF: mean IoU", file, "refined/mean_iou"),
    )
)
VOLUMES = tuple(
    row
    for what, file in (("3D U-Net", "volumes_unet3d"), ("DeepMedic", "volumes_deepmedic"))
    for row in (
        Row(f"{what}: mean IoU", file, "mean_iou"),
        Row(f"{what}: IoU of balls", file, "iou/ball"),
        Row(f"{what}: IoU of tubes", file, "iou/tube"),
        Row(f"{what}, refined by a dense CRF: mean IoU", file, "refined/mean_iou"),
    )
)
IMAGE_MODELS = (
    Row(
        "variational autoencoder: bits per dimension, bound with 1,000 codes per image",
        "vae",
        "bits_per_dimension",
    ),
    Row("variational autoencoder: evidence lower bound, in nats per image", "vae", "elbo", ".2f"),
    Row(
        "GAN: Fréchet distance, relative to that between two halves of the digits",
        "game_non_saturating_r1",
        "frechet_ratio",
    ),
    Row(
        "GAN: number of classes with at least 5% of the samples",
        "game_non_saturating_r1",
        "modes",
        ".0f",
    ),
    Row("GAN: share of the rarest class", "game_non_saturating_r1", "rarest_share", ".1%"),
    Row(
        "GAN: samples nearer to a training digit than 99% of these are to each other",
        "game_non_saturating_r1",
        "copies",
        ".1%",
    ),
    Row(
        "VAE on `shapes` in color, 32x32: bits per dimension, bound with 100 codes per image",
        "vae_shapes",
        "bits_per_dimension",
    ),
)
FRECHET = ("Fréchet distance, relative to that between halves of the data", "frechet_ratio", ".3f")
AUTOENCODERS = Comparison(
    (
        ("undercomplete, code of 8", "autoencoder_undercomplete"),
        ("denoising, code of 8", "autoencoder_denoising"),
        ("sparse, code of 64", "autoencoder_sparse"),
        ("contractive, code of 8", "autoencoder_contractive"),
    ),
    (("PSNR in dB", "psnr", ".2f"), ("SSIM", "ssim", ".3f")),
)
VAES = Comparison(
    (
        ("beta 1", "vae"),
        ("conditional", "vae_conditional"),
        ("0.5 free nats per code dimension", "vae_free_nats"),
        ("beta 0.2", "vae_beta_low"),
        ("beta 4", "vae_beta_high"),
        ("beta 20", "vae_collapsed"),
    ),
    (
        ("ELBO, nats per image", "elbo", ".2f"),
        ("bits per dimension, bound with 1,000 codes", "bits_per_dimension", ".3f"),
        ("KL divergence, nats per image", "kl", ".2f"),
        ("active code dimensions, of 16", "active_units", ".1f"),
    ),
)
NAMES_OF_GAMES = {
    "minimax": "minimax",
    "non_saturating": "non-saturating",
    "non_saturating_r1": "non-saturating with R1",
    "least_squares": "least squares",
    "hinge": "hinge",
    "wgan": "WGAN",
    "wgan_gp": "WGAN-GP",
}
GAMES = Comparison(
    tuple((name, f"game_{game}") for game, name in NAMES_OF_GAMES.items()),
    (
        FRECHET,
        ("digits with at least 5% of the samples", "modes", ".1f"),
        ("share of the rarest digit", "rarest_share", ".1%"),
        ("recall", "recall", ".3f"),
    ),
)
PLANE = Comparison(
    tuple((name, f"plane_{game}") for game, name in NAMES_OF_GAMES.items()),
    (("centers found, of 8", "modes", ".1f"), ("samples near a center", "near", ".1%")),
)
MEASURES = (
    FRECHET,
    ("kernel distance", "kernel_distance", ",.2f"),
    ("precision", "precision", ".3f"),
    ("recall", "recall", ".3f"),
    ("density", "density", ".3f"),
    ("coverage", "coverage", ".3f"),
    ("share of the rarest class", "rarest_share", ".1%"),
    ("copies", "copies", ".1%"),
)
NAMES_OF_MODELS = {"autoencoder": "autoencoder", "vae": "variational autoencoder", "gan": "GAN"}
SAMPLES = Comparison(
    tuple((name, f"samples_{model}") for model, name in NAMES_OF_MODELS.items()), MEASURES
)
SHAPES = Comparison(
    tuple((name, f"samples_shapes_{model}") for model, name in NAMES_OF_MODELS.items()), MEASURES
)
CLASSIFIERS = Comparison(
    (
        ("k nearest neighbors", "classifier_knn"),
        ("softmax regression", "classifier_softmax"),
        ("dense network", "classifier_mlp"),
        ("LeNet-5", "classifier_lenet5"),
    ),
    (("test accuracy", "accuracy", ".2%"),),
)
TOYS = Comparison(
    (
        ("XOR quadrants", "toys_xor"),
        ("annulus", "toys_annulus"),
        ("three modes", "toys_three_modes"),
    ),
    (("logistic regression", "linear", ".1%"), ("dense network", "mlp", ".1%")),
)
EMBEDDINGS = Comparison(
    (
        ("t-SNE", "embedding_tsne"),
        ("symmetric SNE", "embedding_symmetric_sne"),
        ("SNE", "embedding_sne"),
    ),
    (
        ("KL divergence, nats", "kl", ".3f"),
        ("trustworthiness", "trustworthiness", ".4f"),
        ("continuity", "continuity", ".4f"),
        ("ten nearest neighbors preserved", "neighbors_kept", ".1%"),
        ("nearest neighbor has the same class", "accuracy", ".1%"),
    ),
)
FIXATIONS = Comparison(
    (
        ("small U-Net", "fixations"),
        ("mean density of the training scenes", "fixations_center_prior"),
        ("distance from the mean color", "fixations_color_contrast"),
        ("spectral residual", "fixations_spectral_residual"),
        ("true density", "fixations_true_density"),
    ),
    (
        ("NSS", "nss", ".3f"),
        ("AUC-Judd", "auc_judd", ".4f"),
        ("CC", "cc", ".4f"),
        ("SIM", "sim", ".4f"),
        ("KL divergence, nats", "kl", "z.4f"),
    ),
)
NAMES_OF_EXPLAINERS = {
    "saliency": "gradient (absolute)",
    "gradient_x_input": "gradient x input",
    "smooth_grad": "SmoothGrad",
    "integrated_gradients": "integrated gradients",
    "expected_gradients": "expected gradients",
    "deeplift": "DeepLIFT",
    "guided_backprop": "guided backprop",
    "deconvnet": "deconvnet",
    "excitation_backprop": "excitation backprop",
    "lrp_epsilon": "LRP-epsilon",
    "lrp_gamma": "LRP-gamma",
    "lrp_alpha_beta": "LRP-alpha-beta",
    "lrp_z_plus": "LRP-z+",
    "cam": "CAM",
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "score_cam": "Score-CAM",
    "occlusion": "occlusion",
    "rise": "RISE",
    "shapley_sampling": "Shapley values",
    "random": "*random map*",
    "center": "*blob in the center*",
}
LINES_OF_EXPLAINERS = tuple(
    (title, f"explainers/{name}") for name, title in NAMES_OF_EXPLAINERS.items()
)
EXPLAINERS = Comparison(
    LINES_OF_EXPLAINERS,
    (
        ("mean rank", "mean_rank", ".1f"),
        ("deletion ↓", "deletion", ".2f"),
        ("insertion ↑", "insertion", ".2f"),
        ("faithfulness ↑", "faithfulness", ".2f"),
        ("sensitivity-n ↑", "sensitivity_n", ".2f"),
        ("pointing game ↑", "pointing_game", ".2f"),
        ("mass ↑", "relevance_mass", ".2f"),
        ("rank ↑", "relevance_rank", ".2f"),
        ("reset: rank correlation ↓", "rank_after_reset", ".2f"),
        ("reset: SSIM ↓", "ssim_after_reset", ".2f"),
        ("milliseconds", "milliseconds", ".1f"),
    ),
    sort_by="mean_rank",
)
TAGS = Comparison(
    LINES_OF_EXPLAINERS,
    (
        ("gain", "tag_gain", ".1%"),
        ("mass on tags that decide", "tag_mass", ".1%"),
        ("mass on tags without effect", "tag_mass_honest", ".1%"),
        ("pointing game", "tag_pointing_game", ".2f"),
    ),
    sort_by="tag_gain",
    largest_first=True,
)
CLEVER_HANS = Comparison(
    (
        ("trained without tags", "explainers/classifier"),
        ("trained with tags on circles", "explainers/clever_hans"),
    ),
    (
        ("circles without a tag", "own_class_untagged", ".1%"),
        ("circles with a tag", "own_class_tagged", ".1%"),
        ("others without a tag", "other_classes_untagged", ".1%"),
        ("others with a tag", "other_classes_tagged", ".1%"),
    ),
)
AGENTS = tuple(
    Row(what, file, "return", ".1f")
    for what, file in (
        ("CartPole-v1, DQN: return after 500,000 steps", "dqn_cartpole"),
        ("CartPole-v1, PPO: return after 496,640 steps", "ppo_cartpole"),
        (
            "CartPole-v1, REINFORCE with a learned baseline: return after 1,600 episodes",
            "reinforce",
        ),
        ("Acrobot-v1, PPO: return after 496,640 steps", "ppo_acrobot"),
        ("Catch, DQN: return after 200,000 steps", "dqn_catch"),
        ("Catch, PPO: return after 120,000 steps", "ppo_catch"),
    )
)
TABLES: dict[str, tuple[Row, ...] | Comparison] = {
    "images": IMAGES,
    "masks": MASKS,
    "classifiers": CLASSIFIERS,
    "toys": TOYS,
    "embeddings": EMBEDDINGS,
    "fixations": FIXATIONS,
    "decoders": DECODERS,
    "volumes": VOLUMES,
    "generated": IMAGE_MODELS,
    "autoencoders": AUTOENCODERS,
    "vaes": VAES,
    "games": GAMES,
    "plane": PLANE,
    "samples": SAMPLES,
    "shapes": SHAPES,
    "agents": AGENTS,
    "explainers": EXPLAINERS,
    "clever_hans": CLEVER_HANS,
    "tags": TAGS,
}


def table(name: str) -> str:
    """Returns a table, followed by a line on the hardware and versions."""
    content = TABLES[name]
    summaries = [read(file) for file in files(content)]
    before = [None, *(summary["command"] for summary in summaries)]
    new = [each["command"] != command for each, command in zip(summaries, before, strict=False)]
    if isinstance(content, Comparison):
        text = compared(content, summaries, new)
    else:
        lines = [
            line(row, summary, with_command=fresh)
            for row, summary, fresh in zip(content, summaries, new, strict=True)
        ]
        text = HEAD + "\n".join(lines) + "\n"
    measured = sorted({_measured(summary) for summary in summaries})
    return text + "\nMeasured on " + "; and on ".join(measured) + ".\n"


def files(content: tuple[Row, ...] | Comparison) -> list[str]:
    """Returns the names of the summaries of a table, row by row."""
    if isinstance(content, Comparison):
        return [place.partition("/")[0] for _, place in content.lines]
    return [row.file for row in content]


def compared(content: Comparison, summaries: list[dict[str, Any]], new: list[bool]) -> str:
    """Returns a table with the mean and the interval of every score, and the commands."""
    is_one_run = len(content.lines) > 1 == len({*files(content)})
    heads = ["", *(head for head, _, _ in content.columns)]
    heads += [] if is_one_run else ["seconds per seed", "command"]
    lines = []
    for (what, place), summary, fresh in zip(content.lines, summaries, new, strict=True):
        scores = _scores_of(summary, place)
        cells = [_spread(scores[score], form) for _, score, form in content.columns]
        if not is_one_run:
            cells += [_seconds(summary["seconds"]), _command(summary) if fresh else "as above"]
        order = 0 if content.sort_by is None else scores[content.sort_by]["mean"]
        lines.append((-order if content.largest_first else order, f"| {what} | {_row(cells)}"))
    lines.sort(key=lambda line: line[0])
    seeds = {len(summary["seeds"]) for summary in summaries}
    counts = " or ".join(map(str, sorted(seeds)))
    told = f"Means over {counts} seeds, with 95% t intervals."
    if is_one_run:
        told += (
            f" {_command(summaries[0])} takes {_seconds(summaries[0]['seconds'])} seconds per seed."
        )
    text = [f"| {_row(heads)}", f"|{' --- |' * len(heads)}", *(line for _, line in lines)]
    return "\n".join(text) + f"\n\n{told}\n"


def _row(cells: list[str]) -> str:
    return f"{' | '.join(cells)} |"


def _scores_of(summary: dict[str, Any], place: str) -> dict[str, Any]:
    """The scores of a line: all of its summary, or those of one alternative in it."""
    scores: dict[str, Any] = summary["scores"]
    _, slash, name = place.partition("/")
    if not slash:
        return scores
    return {
        score.removeprefix(f"{name}/"): value
        for score, value in scores.items()
        if score.startswith(f"{name}/")
    }


def read(file: str) -> dict[str, Any]:
    """Reads a summary."""
    summary: dict[str, Any] = json.loads((DOCS / "results" / f"{file}.json").read_text())
    return summary


def page(path: pathlib.Path) -> str:
    """Returns the text of a page with its tables brought up to date."""
    return PLACE.sub(lambda place: place[1] + table(place[2]) + place[3], path.read_text())


def line(row: Row, summary: dict[str, Any], *, with_command: bool = True) -> str:
    """Formats a row; `with_command=False` writes "as above" in place of the command."""
    score = summary["scores"][row.score]
    each = ", ".join(format(value, row.form) for value in score["values"])
    if len(score["values"]) > MOST_SEEDS:
        least, most = (format(end(score["values"]), row.form) for end in (min, max))
        each = f"{least} to {most}, {len(score['values'])} seeds"
    spread, shown = _spread(score, row.form), _command(summary) if with_command else "as above"
    return f"| {row.what} | {shown} | {each} | {spread} | {_seconds(summary['seconds'])} |"


def _spread(score: dict[str, Any], form: str) -> str:
    """The mean, with its interval if the seeds differ."""
    mean, low, high = (format(value, form) for value in (score["mean"], *score["interval"]))
    return mean if low == high else f"{mean} [{low}, {high}]"


def _command(summary: dict[str, Any]) -> str:
    """The command without its `--run-dir`."""
    without = re.sub(r" --run-dir \S+", "", summary["command"])
    return f"`{without}`"


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
