"""How many images per second the input pipeline gives, next to a plain Python loop.

    python benchmarks/input_pipeline.py
    python benchmarks/input_pipeline.py --batch-size 32 --num-photos 1000 --side 128

The plain loop is what one would write without this package: it shuffles, reads the same records one
by one, decodes each with Pillow and stacks batches. The rows below it are `Dataset.batches(...)`.
Start-up, until the first batch and with decoding for what is kept in memory, stands apart. Rates
are medians over rounds in which the pipelines take turns; each is timed after it has given away
what it had read ahead. Compare on a machine that does nothing else.
"""

import dataclasses
import functools
import io
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tables import Common, Table, launch

from jaxvision import data

READ_AHEAD = 12
"""More batches than any of the pipelines holds ready."""

Pipeline = data.Batches | Generator[dict[str, np.ndarray], None, None]


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the benchmark."""

    batch_size: int = 64
    """Images of a batch."""
    num_photos: int = 500
    """Photographs to generate of each kind."""
    side: int = 256
    """Height and width of the photographs."""
    rounds: int = 5
    """Timings of each pipeline, of which the median counts."""
    seconds: float = 1.0
    """The least time that a timing takes."""

    TOY: ClassVar[Mapping[str, Any]] = {
        "batch_size": 8, "num_photos": 16, "side": 16, "rounds": 1, "seconds": 0.01
    }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Subject:
    """Data to read, by this package and by hand.

    Attributes:
        title: What they are.
        load: Loads them; the argument says whether into memory.
        read: Reads one undecoded example by index.
    """

    title: str
    load: Callable[[bool], data.Dataset]
    read: Callable[[int], dict[str, Any]]


def main(settings: Settings) -> list[Table]:
    """Measures every pipeline on every subject."""
    columns = {"pipeline": "", "images/s": ",.0f", "times plain": ".2f", "start-up s": ".2f"}
    table = Table("pipelines", columns)
    with tempfile.TemporaryDirectory() as folder:
        for subject in make_subjects(pathlib.Path(folder), settings):
            start_up, rates = measure(make_pipelines(subject, settings), settings)
            for name, rate in rates.items():
                ratio = rate / rates["plain Python loop"]
                table.add(f"{subject.title}: {name}", rate, ratio, start_up[name])
    return [table]


def make_subjects(folder: pathlib.Path, settings: Settings) -> Iterator[Subject]:
    """Prepares digits and photographs in a folder."""

    def load_digits(in_memory: bool) -> data.Dataset:
        return data.load("digits", "train", data_dir=folder, in_memory=in_memory)

    load_digits(False)  # prepares the records
    builder = tfds.builder("digits", data_dir=folder)
    records = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
    yield Subject("digits, PNG 8x8", load_digits, records.__getitem__)
    for suffix in ("jpg", "png"):
        root = write_photos(folder / suffix, suffix, settings)
        files = sorted(root.rglob(f"*.{suffix}"))
        yield Subject(
            f"folder, {suffix.upper()} {settings.side}x{settings.side}",
            functools.partial(load_photos, root),
            functools.partial(read_photo, files),
        )


def load_photos(root: pathlib.Path, in_memory: bool) -> data.Dataset:
    return data.load_folder(root, in_memory=in_memory)


def read_photo(files: list[pathlib.Path], index: int) -> dict[str, Any]:
    return {"image": files[index].read_bytes(), "label": 0}


def write_photos(root: pathlib.Path, suffix: str, settings: Settings) -> pathlib.Path:
    """Writes images of two classes that compress about as photographs do."""
    random = np.random.default_rng(0)
    size = (settings.side, settings.side)
    for number in range(settings.num_photos):
        folder = root / ("even", "odd")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        blobs = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize(size)
        pixels = np.asarray(blobs) + random.normal(0, 8, (*size, 3))
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.save(folder / f"{number}.{suffix}", quality=90)
    return root


def make_pipelines(subject: Subject, settings: Settings) -> dict[str, Callable[[], Pipeline]]:
    """What is compared, by name; calling it starts it."""

    def batches(in_memory: bool, num_workers: int) -> Pipeline:
        return subject.load(in_memory).batches(settings.batch_size, num_workers=num_workers)

    return {
        "plain Python loop": lambda: plain_loop(subject, settings.batch_size),
        "in memory": lambda: batches(True, 0),
        "streaming, threads": lambda: batches(False, 0),
        "streaming, 1 worker": lambda: batches(False, 1),
        "streaming, 2 workers": lambda: batches(False, 2),
    }


def plain_loop(subject: Subject, batch_size: int) -> Generator[dict[str, np.ndarray], None, None]:
    """Shuffles, reads, decodes and stacks, for ever."""
    num_examples = len(subject.load(False))
    random = np.random.default_rng(0)
    while True:
        order = random.permutation(num_examples)
        for start in range(0, num_examples - batch_size + 1, batch_size):
            images, labels = [], []
            for index in order[start : start + batch_size].tolist():
                example = subject.read(index)
                images.append(np.asarray(Image.open(io.BytesIO(example["image"]))))
                labels.append(example["label"])
            yield {"image": np.stack(images), "label": np.array(labels)}


def measure(
    makers: dict[str, Callable[[], Pipeline]], settings: Settings
) -> tuple[dict[str, float], dict[str, float]]:
    """Starts every pipeline, then lets them take turns.

    Args:
        makers: What starts them, by name.
        settings: How often and how long to measure.

    Returns:
        Seconds until the first batch, and images per second.
    """
    pipelines, start_up = {}, {}
    for name, make in makers.items():
        start = time.perf_counter()
        pipelines[name] = make()
        next(pipelines[name])
        start_up[name] = time.perf_counter() - start
    rounds = [
        {
            name: images_per_second(pipeline, settings.seconds)
            for name, pipeline in pipelines.items()
        }
        for _ in range(settings.rounds)
    ]
    for pipeline in pipelines.values():
        pipeline.close()
    return start_up, {name: statistics.median(rates[name] for rates in rounds) for name in makers}


def images_per_second(pipeline: Pipeline, seconds: float) -> float:
    for _ in range(READ_AHEAD):
        next(pipeline)
    count = 0
    start = now = time.perf_counter()
    while now - start < seconds:
        count += len(next(pipeline)["image"])
        now = time.perf_counter()
    return count / (now - start)


if __name__ == "__main__":
    launch("input_pipeline", main, Settings, __doc__)
