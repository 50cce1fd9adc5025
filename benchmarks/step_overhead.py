"""What the loop costs: `fit` against a bare jitted loop, on the same step.

    python benchmarks/step_overhead.py

The bare loop is as short as it can be: its batches lie on the device already, and it looks at no
metric. `fit` draws its batches from a data set, copies them, checks every loss, and logs every 50
steps. Rounds are interleaved, and times are differences between a long and a short run, so that
start-up and compilation do not count. The last column is what a run folder adds to a whole run:
settings, metrics, TensorBoard files, and one checkpoint.
"""

import dataclasses
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import numpy as np
from tables import Common, Table, launch

from jaxvision import data, models, train

CASES: dict[str, tuple[str, dict[str, Any], int, int]] = {
    "lenet5": ("lenet5", {}, 128, 32),
    "resnet18": ("resnet18", {"small_images": True}, 32, 32),
    "mlp": ("mlp", {"hidden_sizes": (64,)}, 128, 8),
}


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the benchmark."""

    cases: tuple[str, ...] = ("lenet5", "resnet18", "mlp")
    """Which models: lenet5 at batch 128, resnet18 at batch 32, a tiny mlp whose steps are fused."""
    seconds: float = 2.0
    """The least time that a measured run should take."""
    rounds: int = 5
    """How often to measure each; medians are shown."""

    TOY: ClassVar[Mapping[str, Any]] = {"cases": ("mlp",), "seconds": 0.001, "rounds": 1}


def make(name: str) -> tuple[train.ParallelStep, Callable, data.Dataset, int]:
    """A compiled step, a function that makes its state, and data."""
    model_name, options, batch_size, image_size = CASES[name]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2048, image_size, image_size, 1), np.uint8)
    dataset = data.from_arrays({"image": images, "label": rng.integers(0, 10, 2048)})
    model = models.create_model(model_name, num_classes=10, **options)
    tx = train.create_optimizer("adam", 1e-3)
    step = train.make_train_step(train.classification.make_loss_fn(model), tx)
    parallel = train.parallelize(step, train.data_mesh(jax.devices()[:1]))

    def fresh() -> train.TrainState:
        return train.init_state(jax.random.key(0), model, tx, dataset.sample_batch())

    return parallel, fresh, dataset, batch_size


def seconds(run: Callable[[int], object], num_steps: int) -> float:
    """Seconds of a run."""
    began = time.perf_counter()
    jax.block_until_ready(run(num_steps))
    return time.perf_counter() - began


def per_step(run: Callable[[int], object], num_steps: int) -> float:
    """Seconds of one step: a run of 2 n steps less one of n."""
    return (seconds(run, 2 * num_steps) - seconds(run, num_steps)) / num_steps


def measure(name: str, settings: Settings) -> tuple[float, float, float]:
    """Median seconds per step, bare and by fit, and the seconds that a run folder adds to a run."""
    parallel, fresh, dataset, batch_size = make(name)
    bare_step = jax.jit(parallel.step, donate_argnums=0)
    on_device = [
        jax.device_put(batch) for batch in itertools.islice(dataset.batches(batch_size), 8)
    ]

    def bare(count: int) -> object:
        state = fresh()
        for index in range(count):
            state, _ = bare_step(state, on_device[index % len(on_device)])
        return state

    def fitted(count: int, run_dir: str | None = None) -> object:
        batches = dataset.batches(batch_size)
        result = train.fit(
            parallel,
            fresh(),
            batches,
            num_steps=count,
            log_every=50,
            checkpoint_every=count,
            run_dir=run_dir,
        )
        return result.state

    def kept(count: int) -> object:
        with tempfile.TemporaryDirectory() as folder:
            return fitted(count, folder)

    for way in (bare, fitted, kept):
        way(10)  # compiles
    num_steps = 10
    while num_steps * per_step(bare, num_steps) < settings.seconds:
        num_steps *= 2
    rounds = [
        (
            per_step(bare, num_steps),
            per_step(fitted, num_steps),
            seconds(kept, num_steps) - seconds(fitted, num_steps),
        )
        for _ in range(settings.rounds)
    ]
    bare_time, fit_time, folder_time = (
        statistics.median(times) for times in zip(*rounds, strict=True)
    )
    return bare_time, fit_time, folder_time


COLUMNS = {
    "model": "",
    "batch": "d",
    "bare ms": ".3f",
    "fit ms": ".3f",
    "fit/bare rate": ".3f",
    "run folder adds s": ".2f",
}


def main(settings: Settings) -> list[Table]:
    """Measures every model."""
    table = Table("overhead", COLUMNS, note=f"Medians of {settings.rounds} rounds.")
    for name in settings.cases:
        bare, fitted, folder = measure(name, settings)
        table.add(name, CASES[name][2], 1e3 * bare, 1e3 * fitted, bare / fitted, folder)
    return [table]


if __name__ == "__main__":
    launch("step_overhead", main, Settings, __doc__)
