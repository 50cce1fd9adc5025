"""Multi-task learning: predicts a digit's class, its slant and its amount of ink at once.

    python experiments/multitask.py

A LeNet-5 with three heads is trained twice per seed: with the plain sum of the losses, and with
learned weights of the losses, by task uncertainty (Kendall, Gal and Cipolla, arXiv:1705.07115). The
slant is in degrees and the ink is a share of the page: the losses differ by orders of magnitude, so
that a model trained with their plain sum does not learn the ink.
"""

import dataclasses
import pathlib

from common import script
from common.seeds import Summary, over_seeds

import jax
import numpy as np
import optax

from jaxvision import data, metrics, models, train
from jaxvision.train import multitask

HEADS = {"digit": 10, "slant": 1, "ink": 1}
TASKS = {
    "digit": multitask.Task("label", "classification"),
    "slant": multitask.Task("slant", "regression"),
    "ink": multitask.Task("ink", "regression"),
}
SCORES = ("digit_accuracy", "slant_absolute_error", "ink_absolute_error")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the comparison."""

    run_dir: str = "runs/multitask"
    """Folder to write to, with two run folders per seed."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds, two runs for each."""
    model: str = "lenet5"
    """Name of a registered model, whose backbone the tasks share."""
    num_steps: int = 1_000
    """Training steps of each run."""
    batch_size: int = 128
    """Number of images in a training step."""
    learning_rate: float = 2e-3
    """Highest learning rate, reached at the end of the warmup."""
    faster_weights: float = 25.0
    """Factor of the learning rate for the log variances, from which the weights are computed."""


def load(split: str) -> data.Dataset:
    """Digits with their slant in degrees and their ink as a share of the page."""
    digits = data.load("digits", split, image_size=32)
    images = np.stack([digits[i]["image"] for i in range(len(digits))])
    ink = images[..., 0] / 255.0
    total = ink.sum(axis=(1, 2))
    rows, columns = np.mgrid[: ink.shape[1], : ink.shape[2]]

    def average(values: np.ndarray) -> np.ndarray:
        return (ink * values).sum(axis=(1, 2)) / total

    down = rows - average(rows)[:, None, None]
    right = columns - average(columns)[:, None, None]
    slant = np.degrees(np.arctan2(-average(down * right), average(down**2)))
    return data.from_arrays(
        {
            "image": images,
            "label": np.asarray([digits[i]["label"] for i in range(len(digits))]),
            "slant": slant.astype(np.float32),
            "ink": (total / ink[0].size).astype(np.float32),
        },
        name="digits",
        split=split,
    )


def fit(settings: Settings, seed: int, learned_weights: bool) -> dict[str, float]:
    """Trains one model; returns its test scores."""
    train_data, test_data = load("train"), load("test")
    backbone = models.create_model(settings.model, in_channels=1)
    model = models.MultiHead(backbone=backbone, heads=HEADS, learned_weights=learned_weights)
    loss_fn = multitask.make_loss_fn(model, TASKS, inputs=train.Inputs((0.3,), (0.35,)))
    schedule = train.create_schedule(
        "cosine", settings.learning_rate, settings.num_steps, warmup_steps=settings.num_steps // 20
    )
    optimizer = train.create_optimizer("adamw", schedule, weight_decay=1e-2, clip_norm=1.0)
    if learned_weights:  # the log variances start at 0, far from their final values
        optimizer = optax.chain(
            optimizer,
            optax.masked(
                optax.scale(settings.faster_weights),
                lambda params: train.select(params, ["head_weights"]),
            ),
        )
    state = train.init_state(jax.random.key(seed), model, optimizer, train_data.sample_batch())
    name = "learned" if learned_weights else "sum"
    result = train.fit(
        train.make_train_step(loss_fn, optimizer),
        state,
        train_data.batches(settings.batch_size, seed=seed),
        num_steps=settings.num_steps,
        evaluate=train.make_eval_fn(loss_fn),
        eval_data=test_data,
        run_dir=pathlib.Path(settings.run_dir) / f"seed{seed}" / name,
        settings={**dataclasses.asdict(settings), "seed": seed},
        settings_may_differ=("run_dir", "seeds"),
    )
    return result.metrics


def run(settings: Settings) -> dict[str, Summary]:
    """Trains every seed both ways, prints a table, and returns the scores of both."""
    train.start()
    summaries = {}
    for name, learned_weights in (("sum", False), ("learned", True)):

        def train_one(seed: int, learned_weights: bool = learned_weights) -> dict[str, float]:
            result = fit(settings, seed, learned_weights)
            return {score: result[score] for score in SCORES}

        folder = pathlib.Path(settings.run_dir) / name
        summaries[name] = over_seeds(settings.seeds, train_one, folder)
        summaries[name].save(folder, settings)
    test_data = load("test")
    spread = [
        np.std([test_data[i][name] for i in range(len(test_data))]) for name in ("slant", "ink")
    ]
    print("weights  seed   digit accuracy   slant, degrees   ink, of the page   (mean errors)")
    for name, summary in summaries.items():
        for seed, *row in zip(summary.seeds, *summary.scores.values(), strict=True):
            print(f"{name:7}  {seed:4d}  {row[0]:15.2%}  {row[1]:15.2f}  {row[2]:16.2%}")
    for name, summary in summaries.items():
        accuracy, slant, ink = (summary.mean(score) for score in SCORES)
        print(f"{name:7}  mean  {accuracy:15.2%}  {slant:15.2f}  {ink:16.2%}")
    print(f"spread of the test digits (std)       {spread[0]:15.2f}  {spread[1]:16.2%}")
    if len(settings.seeds) > 1:
        plain, learned = (np.asarray(each.scores[SCORES[2]]) for each in summaries.values())
        low, high = metrics.t_interval(plain - learned)
        print(
            f"\nLearned weights lower the error of the ink by [{low:.2%}, {high:.2%}] of the page "
            "(95%, over seeds)"
        )
    return summaries


if __name__ == "__main__":
    script.start(run, Settings, __doc__)
