"""Names of data sets, and messages about those that cannot be opened."""

import contextlib
import re
from collections.abc import Mapping

from jaxvision.data.builders import BUILDERS
from jaxvision.suggest import nearest, unknown

ELSEWHERE: Mapping[str, str] = {
    "celeba": "celeb_a",
    "fashionmnist": "fashion_mnist",
    "flowers102": "oxford_flowers102",
    "ilsvrc2012": "imagenet2012",
    "imagenet": "imagenet2012",
    "imagenet1k": "imagenet2012",
    "pascal_voc": "voc",
    "pets": "oxford_iiit_pet",
    "svhn": "svhn_cropped",
}
"""TFDS's names of data sets by their names in other libraries."""


def base_name(name: str) -> str:
    """Returns the name of a data set without configuration and version.

    >>> base_name("coco/2017:1.1.0")
    'coco'
    """
    return re.split("[/:]", name)[0]


def no_such(name: str, directory: str) -> str:
    """Returns the message that no data set has this name, with the nearest known name."""
    message = unknown("data set", name, _known(), ELSEWHERE)
    return f"{message}; {directory} has none of that name either"


def cannot_open(name: str, error: Exception) -> str:
    """Returns the message that a name, or its configuration or version, is wrong."""
    import tensorflow_datasets as tfds

    base = base_name(name)
    if not re.fullmatch(r"\w+(/[\w.+-]+)?(:[\w.*]+)?", name):
        meant = nearest(base, _known(), ELSEWHERE)
        hint = f"; did you mean {meant!r}?" if meant else ""
        return (
            f"{name!r} is not the name of a data set{hint} (letters, digits and underscores, such "
            "as cifar10 or coco/2017; a folder of images is read by load_folder)"
        )
    config = re.fullmatch(r"\w+/([^:/]+).*", name)
    with contextlib.suppress(Exception):  # unknown to TFDS: its own message follows below
        configs = [*tfds.builder_cls(base).builder_configs]
        if config and config[1] not in configs:
            if configs:
                return unknown(f"configuration of {base}", config[1], configs)
            return f"{base} has no configurations, and {name!r} names one"
    reason = str(error).strip().rpartition('}": ')[2].partition("\n")[0]
    return f"cannot open the data set {name!r}: {reason}"


def _known() -> set[str]:
    import tensorflow_datasets as tfds

    return {*tfds.list_builders(with_community_datasets=False), *BUILDERS}
