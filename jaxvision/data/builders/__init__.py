"""Builders that prepare TFDS data sets without TensorFlow."""

import importlib
from collections.abc import Mapping
from typing import Any

BUILDERS: Mapping[str, str] = {
    "cifar10": "cifar:Cifar10",
    "cifar100": "cifar:Cifar100",
    "digits": "digits:Digits",
    "emnist": "mnist:EMNIST",
    "fashion_mnist": "mnist:FashionMNIST",
    "kmnist": "mnist:KMNIST",
    "mnist": "mnist:MNIST",
    "shapes": "shapes:Shapes",
    "volumes": "volumes:Volumes",
}
"""Module and class of each builder by the name of its data set."""


def own_builder(name: str) -> type[Any] | None:
    """Returns the builder class of a data set, or None if TFDS itself prepares it.

    >>> own_builder("mnist").__name__, own_builder("imagenet2012")
    ('MNIST', None)
    """
    if name not in BUILDERS:
        return None
    module, _, attribute = BUILDERS[name].partition(":")
    found: type[Any] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found
