"""The data of a restored run."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from common.data import Data, ImageData
from common.fixations import FixationData
from common.masks import MaskData

from jaxvision import data, train


def load_for(trained: train.Trained, *, split: str | None, **given: Any) -> data.Dataset:
    """Loads images as in the training of a run, whether a script or Python code made the run.

    `split` None takes the split that the run was evaluated on. Values in `given` that are not None
    replace settings of `Data`, `MaskData` or `FixationData`.
    """
    record, folder = trained.record, trained.run.folder
    fields = record.data.get("fields") or {}
    with_masks = "mask" in fields
    settings = MaskData if with_masks else FixationData if "fixation_density" in fields else Data
    if settings is Data and "label" not in fields:
        settings = ImageData
    given = {name: value for name, value in given.items() if value is not None}
    if "masks" in given and not with_masks:
        raise SystemExit(f"--masks is for runs of segmenters, and {folder} is not one")
    saved = record.settings.get("data")
    known: dict[str, Any] = dict(saved) if isinstance(saved, Mapping) else {}
    names = {field.name for field in dataclasses.fields(settings)}
    names -= {"image_size", "num_workers", "boundary_weights"}
    if "dataset" in given:
        names -= {"masks"}  # they belong to the images of the training
    known = {name: value for name, value in known.items() if name in names} | given
    shape = record.data.get("image_shape")
    if shape is None:
        raise SystemExit(f"{folder} is not a run on images: read it with train.restore in Python")
    chosen: Any = settings(
        **{"dataset": record.data.get("name", ""), **known, "channels": shape[-1]}
    )
    held_out = known.get("validation") is not None and not split and "dataset" not in given
    wanted = chosen.train_split if held_out else split or chosen.eval_split
    class_names = trained.run.names("mask" if with_masks else "label") or None
    try:
        dataset: data.Dataset = chosen.load(wanted, class_names, trained.preprocessing)
    except data.DatasetError as error:
        if "dataset" in known:
            raise
        raise SystemExit(
            f"{folder} was trained on data called {chosen.dataset!r}, which cannot be loaded by "
            f"that name ({error}); name the data with --dataset"
        ) from None
    if held_out:
        learned, dataset = chosen.hold_out(dataset, record.settings["run"]["seed"])
        count = record.data["num_examples"]
        if chosen.per_class is None and len(learned) != count:
            raise SystemExit(
                f"{folder} was trained on {count} images, but {learned.name}/{wanted} now has "
                f"{len(learned)} without the held-out ones: the data have changed, so that the run "
                "may have seen images that are held out now; name a --split or a --dataset"
            )
    return dataset
