"""Settings of segmentation: images with masks, segmenters, losses of masks."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from common import script
from common.data import Data, Source, or_folder, with_channels
from common.learning import parse_option, say_weights

import numpy as np

from jaxvision import checks, data, losses, models, train
from jaxvision.folders import no_such_folder
from jaxvision.suggest import shortened, unknown

FIELDS = ("image", "mask")
LossName = Literal[
    "pixel_cross_entropy", "pixel_focal", "soft_dice", "soft_jaccard", "tversky", "lovasz_softmax"
]


@dataclasses.dataclass(frozen=True)
class MaskData(Source):
    """The images with masks to train and to evaluate on."""

    dataset: str = "shapes"
    """Name of a data set of TensorFlow Datasets with masks; or path of a folder of images, which
    must contain a slash, as in ./scans. The masks of a folder are in --masks."""
    masks: str | None = None
    """Folder of the masks, if --dataset is a folder of images: PNG files with the names of the
    images. The value of a pixel is the number of its class, or 255 for no class."""
    class_names: tuple[str, ...] | None = None
    """Names of the classes in a folder of masks, from number 0 on."""
    train_split: str = "train"
    """Split to train on. For a folder, a part of its images, such as all[:80%]."""
    eval_split: str = "test"
    """Split to evaluate on, during the training and at its end. For a folder, a part of its images,
    such as all[80%:]."""
    boundary_weights: bool = False
    """Weight pixels in the cross-entropy as in the U-Net paper: pixels between close objects count
    more."""

    def located(self) -> "MaskData":
        """Makes the paths of folders absolute, so that a run can be evaluated from anywhere."""
        dataset = Data(dataset=self.dataset).located().dataset
        if self.masks is None:
            if dataset.startswith("/"):
                raise SystemExit(f"{dataset} is a folder of images: name the folder of --masks too")
            return self
        if not dataset.startswith("/"):
            raise SystemExit(f"--masks needs a folder of images, and {dataset!r} is a data set")
        masks = pathlib.Path(self.masks).expanduser().resolve()
        if not masks.is_dir():
            raise SystemExit(no_such_folder(self.masks, "folder of masks"))
        return dataclasses.replace(self, dataset=dataset, masks=str(masks))

    def load(
        self,
        split: str,
        class_names: Sequence[str] | None = None,
        preprocessing: data.Preprocessing | None = None,
    ) -> data.Dataset:
        """Loads a split, whose classes must be `class_names` if they are given.

        With `preprocessing`, it replaces `image_size`.
        """
        where = self.located()
        keep = weighted_masks if self.boundary_weights else only_masks
        options: dict[str, Any] = {
            "image_size": self.image_size if preprocessing is None else None,
            "preprocessing": preprocessing,
            "corrupt": self.corrupt,
        }
        with script.checking(), or_folder(where.dataset):
            if where.masks is not None:
                loaded = data.load_masks(
                    where.dataset,
                    where.masks,
                    split=split,
                    class_names=self.class_names,
                    channels=self.channels or 3,
                    transform=keep,
                    **options,
                )
            else:
                transform = with_channels(keep, self.channels)
                loaded = data.load(
                    where.dataset, split, self.data_dir, transform=transform, **options
                )
        found = loaded.fields["mask"].names
        if class_names is not None and found != tuple(class_names):
            raise SystemExit(
                f"{where.dataset}/{split} has the classes {', '.join(found)}, and the model tells "
                f"{', '.join(class_names)} apart"
            )
        return loaded

    def load_splits(self) -> tuple[data.Dataset, data.Dataset]:
        """Loads the data to train on and the data to evaluate on."""
        train_data = self.load(self.train_split)
        return train_data, self.load(self.eval_split, train_data.fields["mask"].names)


def only_masks(example: dict[str, Any]) -> dict[str, Any]:
    """The image and the mask of an example, without other fields."""
    if "mask" not in example:
        raise SystemExit(f"the data have no masks: an example has {', '.join(example)}")
    return {name: example[name] for name in FIELDS}


_weighted = data.with_boundary_weights()


def weighted_masks(example: dict[str, Any]) -> dict[str, Any]:
    """The image and the mask of an example, with weights of its pixels."""
    return _weighted(only_masks(example))


@dataclasses.dataclass(frozen=True)
class PixelModel:
    """The model to train, which returns numbers for each pixel."""

    model: str = "classic_unet"
    """Name of the segmenter: a decoder over --backbone (models.list_segmenters(), or fcn32s,
    fcn16s, fcn8s); or a network without backbone: classic_unet, segnet, linear (classifies each
    pixel by its color alone), linear3x3 (one 3x3 convolution); for volumes, unet3d or deepmedic."""
    backbone: str = "resnet18"
    """Name of the registered model that is the backbone of the segmenter;
    experiments/list_models.py lists them."""
    backbone_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """Options of the backbone, as NAME VALUE pairs, such as: channels 16."""
    model_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """Options of the segmenter, as NAME VALUE pairs, such as: upsampling bilinear channels
    64,32,16,8."""
    patch_size: int | None = None
    """Height and width of square patches that are moved into the channels (space to depth), so that
    the model runs at a lower resolution and faster. 1 changes nothing; None takes 2 for
    classic_unet, and 1 for others."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the computation. Parameters are always stored in float32."""

    def with_outputs(self, count: int, channels: int, *, auxiliary: bool) -> Any:
        """Makes the model for images with some channels, with `count` outputs for each pixel.

        `auxiliary` is the default of that option, in models in which the scripts turn it on.
        """
        patch_size = self.patch_size
        if patch_size is None:
            patch_size = 2 if self.model == "classic_unet" else 1
        with script.checking(TypeError):
            checks.check_count("patch_size", patch_size)
            pixels = patch_size**2
            model = self._make(count * pixels, channels * pixels, auxiliary)
            if patch_size == 1:
                return model
            return models.PatchedSegmenter(segmenter=model, patch_size=patch_size)

    def _make(self, num_classes: int, channels: int, auxiliary: bool) -> Any:
        dtype = None if self.dtype == "float32" else self.dtype
        if self.model in ALONE:
            module, usual = ALONE[self.model]
            if "auxiliary" in usual:
                usual = {**usual, "auxiliary": auxiliary}
            return module(
                num_classes=num_classes,
                in_channels=channels,
                dtype=dtype,
                **{**usual, **_options(module, self.model_options)},
            )
        backbone = {"in_channels": channels, "dtype": dtype, **self._backbone_options()}
        if self.model in FCN:
            return models.SkipFCN(
                backbone=models.create_model(self.backbone, **backbone),
                num_classes=num_classes,
                finest=FCN[self.model],
                **_options(models.SkipFCN, self.model_options),
            )
        decoder = models.segmentation.DECODERS.get(self.model)
        options = {} if decoder is None else _options(decoder, self.model_options)
        return models.create_segmenter(
            self.model,
            backbone=self.backbone,
            num_classes=num_classes,
            backbone_options=backbone,
            **options,
        )

    def _backbone_options(self) -> dict[str, Any]:
        known = models.describe(models.create_model(self.backbone))
        return {
            name: parse_option(name, text, known.get(name))
            for name, text in self.backbone_options.items()
        }


@dataclasses.dataclass(frozen=True)
class Segmenter(PixelModel):
    """The model to train."""

    num_classes: int | None = None
    """Number of classes; None takes the number of class names in the data."""

    def make(self, dataset: data.Dataset) -> Any:
        """Makes the model for the images and classes of a data set."""
        names = dataset.fields["mask"].names
        if self.num_classes is None and not names:
            raise SystemExit("the data do not name their classes: give --num-classes")
        num_classes = len(names) if self.num_classes is None else self.num_classes
        if num_classes < max(len(names), 1):
            raise SystemExit(
                f"--num-classes must be at least {max(len(names), 1)}, got {num_classes}"
                + (f": the data have the classes {shortened(names)}" if names else "")
            )
        return self.with_outputs(num_classes, dataset.image_shape[-1], auxiliary=True)


ALONE: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "classic_unet": (
        models.ClassicUNet,
        {
            "channels": (24, 48, 96, 192, 192),
            "padded": True,
            "norm": "batch",
            "dropout": 0.0,
            "auxiliary": True,
        },
    ),
    "segnet": (models.SegNet, {}),
    "linear": (models.PixelClassifier, {}),
    "linear3x3": (models.PixelClassifier, {"kernel_size": 3}),
    "unet3d": (models.UNet3D, {}),
    "deepmedic": (models.DeepMedic, {}),
}
"""Models without a backbone, with their default options in the scripts."""

FCN = {"fcn32s": 32, "fcn16s": 16, "fcn8s": 8}
"""Finest stride of the FCNs with skip connections."""


def _options(module: Any, given: Mapping[str, str]) -> dict[str, Any]:
    """Parses options of a module from the command line."""
    known = {field.name: field.default for field in dataclasses.fields(module) if field.init}
    for name in given:
        if name not in known:
            fixed = ("parent", "name", "num_classes", "in_channels", "dtype")
            raise ValueError(unknown("option", name, [each for each in known if each not in fixed]))
    return {
        name: parse_option(name, text, _default(known.get(name))) for name, text in given.items()
    }


def _default(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


USUAL_LOSS: Mapping[LossName, float] = {"pixel_cross_entropy": 1.0, "soft_dice": 1.0}
"""Losses and weights if `--loss` is not given."""


@dataclasses.dataclass(frozen=True)
class MaskLoss:
    """The loss of a segmenter."""

    loss: dict[LossName, float] = dataclasses.field(default_factory=dict)
    """Weighted sum of losses, as NAME WEIGHT pairs. The default is pixel_cross_entropy 1 soft_dice
    1."""
    reduce: Literal["sample", "batch"] = "sample"
    """Compute losses for each image and average them (sample), or once over all pixels of the batch
    (batch)."""
    class_weights: tuple[float, ...] | Literal["balanced"] | None = None
    """Weights of the classes in pixel_cross_entropy, one number per class, for imbalanced data.
    balanced takes n / (classes * count), counted in all pixels of the training data: rare classes
    weigh more. None weighs all pixels equally."""
    auxiliary_weight: float = 0.5
    """Weight of the loss of each auxiliary head, in models that have some; the main head's is 1."""

    def make(self, model: Any, inputs: train.Inputs, train_data: data.Dataset) -> Any:
        """Makes the loss function; balanced weights are counted in `train_data`."""
        terms = []
        weights = self._weights(train_data)
        for name, factor in (self.loss or USUAL_LOSS).items():
            loss: Any = getattr(losses, name)
            if name == "pixel_cross_entropy" and weights is not None:
                loss = functools.partial(loss, class_weights=weights)
            terms.append((loss, factor))
        with script.checking():
            return train.segmentation.make_loss_fn(
                model,
                loss=losses.Sum(*terms),
                reduce=self.reduce,
                auxiliary_weight=self.auxiliary_weight,
                inputs=inputs,
            )

    def _weights(self, train_data: data.Dataset) -> np.ndarray | None:
        if self.class_weights is None:
            return None
        if "pixel_cross_entropy" not in (self.loss or USUAL_LOSS):
            raise SystemExit(
                "--class-weights needs pixel_cross_entropy, which --loss does not name"
            )
        if self.class_weights != "balanced":
            return np.array(self.class_weights)
        counts = data.class_counts(train_data, "mask")
        weights = losses.balanced_weights(counts)
        names = train_data.fields["mask"].names or [str(index) for index in range(len(weights))]
        say_weights(names, weights)
        return weights
