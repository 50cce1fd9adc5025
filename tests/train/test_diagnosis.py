"""What is said of a batch whose loss is not finite."""

import numpy as np
import pytest

from jaxvision import models, train
from jaxvision.train._diagnosis import GENERAL_ADVICE, diagnose

IMAGES = np.ones((4, 8, 8, 1), np.float32)
LABELS = np.array([0, 1, 2, 2])
NAN = np.where(np.arange(4)[:, None, None, None] == 1, np.nan, IMAGES)


def classification():
    return train.classification.make_loss_fn(
        models.create_model("linear_classifier", num_classes=3)
    )


def multitask():
    backbone = models.create_model("linear_classifier", num_classes=3)
    model = models.MultiHead(backbone=backbone, heads={"digit": 3, "slant": 1})
    tasks = {
        "digit": train.multitask.Task("label", "classification"),
        "slant": train.multitask.Task("slant", "regression", present="has_slant"),
    }
    return train.multitask.make_loss_fn(model, tasks)


SLANT = {"slant": np.array([0.1, np.nan, 0.2, 0.3]), "has_slant": np.array([1, 0, 1, 1])}


@pytest.mark.parametrize(
    ("make", "batch", "sentence"),
    [
        (
            classification,
            {"image": IMAGES, "label": np.array([0, 3, 2, -1])},
            "2 of the 4 rows that count have a 'label' outside the classes 0 to 2, such as 3.",
        ),
        (
            classification,
            {"image": IMAGES, "label": np.array([0, 3, 2, 1]), "weight": np.array([1, 0, 1, 1])},
            GENERAL_ADVICE,
        ),
        (
            classification,
            {"image": NAN, "label": LABELS},
            "1 of the 4 rows that count have numbers in 'image' that are not finite.",
        ),
        (
            classification,
            {"image": NAN, "label": LABELS, "weight": np.array([1.0, 0, 1, 1])},
            GENERAL_ADVICE,
        ),
        (multitask, {"image": IMAGES, "label": LABELS, **SLANT}, GENERAL_ADVICE),
        (
            multitask,
            {"image": IMAGES, "label": LABELS, **SLANT, "has_slant": np.ones(4)},
            "1 of the 4 rows that count have numbers in 'slant' that are not finite.",
        ),
        (
            multitask,
            {"image": IMAGES, "label": np.array([0, 5, 1, 1]), **SLANT},
            "1 of the 4 rows that count have a 'label' outside the classes 0 to 2, such as 5.",
        ),
    ],
)
def test_the_reason_is_found_in_the_batch(make, batch: dict, sentence: str) -> None:
    step = train.make_train_step(make(), train.create_optimizer("sgd", 0.1))
    assert diagnose(step, batch) == sentence


def test_steps_that_say_nothing_of_their_batches() -> None:
    assert diagnose(lambda state, batch: (state, {}), {"x": NAN}) != GENERAL_ADVICE
    assert diagnose(lambda state, batch: (state, {}), None) == GENERAL_ADVICE
