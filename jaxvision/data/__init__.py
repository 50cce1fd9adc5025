"""Data sets, batches and augmentation."""

from jaxvision._preprocessing import IMAGENET, Preprocessing
from jaxvision.data import augment
from jaxvision.data.batches import Batches
from jaxvision.data.counting import class_counts, counts_are_known
from jaxvision.data.dataset import Dataset, from_arrays, from_source
from jaxvision.data.errors import CorruptImageError, DatasetError, SplitError
from jaxvision.data.fields import Field, Fields, Kind, kind_of
from jaxvision.data.fixations import Observers, draw_fixations, with_fixations
from jaxvision.data.folder import load_folder
from jaxvision.data.image_files import find_images
from jaxvision.data.images import decode_image, preprocess, resize_and_crop, resize_and_crop_batch
from jaxvision.data.loading import load
from jaxvision.data.mask_files import mask_colors, read_mask, write_mask
from jaxvision.data.mask_folder import load_masks
from jaxvision.data.normalization import denormalize, normalize, to_float
from jaxvision.data.pixel_weights import boundary_weights, with_boundary_weights
from jaxvision.data.plan import BatchPlan
from jaxvision.data.prefetch import Prefetch
from jaxvision.data.source import Example, Source
from jaxvision.data.splits import split
from jaxvision.data.subset import subset
from jaxvision.data.unlabeled import load_images

__all__ = [
    "IMAGENET",
    "BatchPlan",
    "Batches",
    "CorruptImageError",
    "Dataset",
    "DatasetError",
    "Example",
    "Field",
    "Fields",
    "Kind",
    "Observers",
    "Prefetch",
    "Preprocessing",
    "Source",
    "SplitError",
    "augment",
    "boundary_weights",
    "class_counts",
    "counts_are_known",
    "decode_image",
    "denormalize",
    "draw_fixations",
    "find_images",
    "from_arrays",
    "from_source",
    "kind_of",
    "load",
    "load_folder",
    "load_images",
    "load_masks",
    "mask_colors",
    "normalize",
    "preprocess",
    "read_mask",
    "resize_and_crop",
    "resize_and_crop_batch",
    "split",
    "subset",
    "to_float",
    "with_boundary_weights",
    "with_fixations",
    "write_mask",
]
