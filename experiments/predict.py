"""Says what a trained model makes of image files.

python experiments/predict.py runs/lenet photo.png other.jpg
"""

import dataclasses
import pathlib
import sys
from typing import Annotated

import numpy as np
import tyro
from common import script

from jaxvision import data, train


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a prediction."""

    run_dir: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder that the training left."""
    images: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE...")]
    """Image files, of any size: they are resized and cropped as the run's own were."""
    top: int = 3
    """How many classes to show."""
    step: int | None = None
    """Which checkpoint; None takes the newest."""


def main(settings: Settings) -> int:
    """Prints a line for every image; counts those that cannot be read."""
    if settings.top < 1:
        raise SystemExit(f"--top must be at least 1, got {settings.top}")
    if not settings.images:
        raise SystemExit("name at least one image: predict.py RUN_DIR IMAGE...")
    train.start()
    trained = train.restore(settings.run_dir, step=settings.step)
    preprocessing = trained.preprocessing
    if preprocessing is None:
        raise SystemExit(f"{settings.run_dir} is not a run on images")
    channels = trained.record.data["image_shape"][2]
    names, pixels, failed = [], [], 0
    for name in settings.images:
        try:
            image = data.decode_image(pathlib.Path(name), channels=channels)
        except (OSError, data.CorruptImageError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed += 1
            continue
        names.append(name)
        pixels.append(data.resize_and_crop(image, preprocessing))
    if pixels:
        with script.asking():
            predictions = trained.predict(data.from_arrays({"image": np.stack(pixels)}))
            lines = trained.in_words(predictions, top=settings.top)
        for name, line in zip(names, lines, strict=True):
            print(f"{name}: {line}")
    return failed


if __name__ == "__main__":
    sys.exit(1 if script.start(main, Settings, __doc__) else 0)
