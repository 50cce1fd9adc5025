"""A trained segmenter, from its run folder."""

import json
import pathlib
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
import quick

from jaxvision import data, models, train
from jaxvision.train import segmentation

MODEL = models.PixelClassifier(num_classes=3)
NAMES = ("night", "day", "fire")
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 10, 14, 2), dtype=np.uint8)


def brightness(images: np.ndarray) -> np.ndarray:
    """The class of a pixel by its first channel."""
    return (images[..., 0] // 86).astype(np.uint8)


def arrays() -> data.Dataset:
    fields = {"mask": data.Field("mask", NAMES)}
    return data.from_arrays(
        {"image": IMAGES, "mask": brightness(IMAGES)}, name="sky", split="test", fields=fields
    )


def fit(folder: pathlib.Path, model: Any, dataset: data.Dataset, steps: int) -> None:
    optimizer = optax.adam(0.3)
    loss_fn = segmentation.make_loss_fn(model, inputs=train.Inputs((0.5,), (0.25,)))
    state = train.init_state(jax.random.key(0), model, optimizer, dataset.sample_batch())
    step = train.make_train_step(loss_fn, optimizer)
    batches = dataset.batches(8)
    train.fit(step, state, batches, num_steps=steps, run_dir=folder, checkpoint_every=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run that learned the brightness of pixels."""
    run = tmp_path_factory.mktemp("runs") / "sky"
    fit(run, MODEL, arrays(), 30)
    return run


def test_it_predicts_scores_and_draws(folder: pathlib.Path) -> None:
    trained = train.restore(folder)
    assert isinstance(trained, segmentation.TrainedSegmenter)
    assert trained.class_names == NAMES
    predictions = trained.predict(arrays(), batch_size=5)
    pixels = (IMAGES / 255 - 0.5) / 0.25
    head = trained.variables["params"]["head"]
    logits = pixels @ np.asarray(head["kernel"]).reshape(2, 3) + np.asarray(head["bias"])
    np.testing.assert_array_equal(predictions.classes, logits.argmax(-1))
    np.testing.assert_array_equal(predictions.labels, brightness(IMAGES))
    scores = trained.evaluate(predictions, num_resamples=20)
    assert {"mean_iou", "boundary_f1", "hausdorff_95", "iou/fire", "dice/night"} < {*scores}
    assert scores["pixel_accuracy"].value == (predictions.classes == predictions.labels).mean()
    files = trained.draw(predictions, arrays())
    assert [file.name for file in files] == [
        "learning_curves.png",
        "confusion_matrix.png",
        "masks.png",
    ]
    assert all(file.is_file() for file in files)
    (*_, words) = trained.in_words(predictions, top=1)
    shares = np.bincount(predictions.classes[-1].ravel(), minlength=3) / 140
    assert words == f"{NAMES[shares.argmax()]} {shares.max():.1%}"
    unlabelled = trained.predict(data.from_arrays({"image": IMAGES}, name="sky"))
    assert (unlabelled.labels == 255).all()
    assert [file.name for file in trained.draw(unlabelled, arrays())] == ["learning_curves.png"]


def test_two_segmenters_are_compared(folder: pathlib.Path) -> None:
    first, last = (train.restore(folder, step=step) for step in (28, 30))
    own, other = (each.predict(arrays()) for each in (last, first))
    words, numbers = last.compare(own, other, num_resamples=50)
    a, b = (last.evaluate(each, num_resamples=0)["mean_iou"].value for each in (own, other))
    assert numbers["difference"] == pytest.approx(a - b, abs=1e-12)
    assert words.startswith(f"mean IoU {a:.4f} against {b:.4f}: difference {a - b:+.4f}")
    with pytest.raises(ValueError, match="was evaluated on other images"):
        last.compare(own, other._replace(labels=other.labels[::-1]))


def test_images_of_any_size_are_answered(folder: pathlib.Path) -> None:
    """By the same classes as those of the training, tile by tile."""
    trained = train.restore(folder)
    images = [IMAGES[0], np.tile(IMAGES[0], (3, 2, 1))[:25, :17]]
    first, second = trained.answers(images, top=2, tile=12, overlap=4)
    expected = trained.predict(arrays()).classes[0]
    np.testing.assert_array_equal(first.mask, expected)
    np.testing.assert_array_equal(second.mask, np.tile(expected, (3, 2))[:25, :17])
    content = json.loads(json.dumps(second.content))
    pixels = [each["pixels"] for each in content["classes"]]
    assert pixels == np.bincount(second.mask.ravel(), minlength=3).tolist()
    assert first.words == trained.in_words(trained.predict(arrays()), top=2)[0]
    with pytest.raises(TypeError, match="tiles"):
        next(trained.answers(images, tiles=3))


def test_an_image_is_resized_as_in_the_training(tmp_path: pathlib.Path) -> None:
    source = data.from_source(
        [{"image": image, "mask": brightness(image)} for image in IMAGES],
        name="sky",
        split="all",
        image_size=5,
        fields={"mask": data.Field("mask", NAMES)},
    )
    fit(tmp_path / "run", MODEL, source, 2)
    trained = train.restore(tmp_path / "run")
    (answer,) = trained.answers([IMAGES[0]])
    assert answer.mask.shape == (10, 14)
    half = data.resize_and_crop(IMAGES[0], data.Preprocessing((5, 7)))
    expected = trained.predict(data.from_arrays({"image": half[None]})).classes[0]
    np.testing.assert_array_equal(answer.mask, expected.repeat(2, 0).repeat(2, 1))


def test_volumes_are_segmented(tmp_path: pathlib.Path) -> None:
    @models.register_module
    class Voxels(nn.Module, kw_only=True):
        num_classes: int

        @nn.compact
        def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
            return nn.Dense(self.num_classes, name="head")(x)

    volumes = IMAGES.reshape(2, 3, 10, 14, 2)
    fields = {"image": "volume", "mask": data.Field("mask", NAMES)}
    dataset = data.from_arrays(
        {"image": volumes, "mask": brightness(volumes)}, name="sky", fields=fields
    )
    fit(tmp_path / "run", Voxels(num_classes=3), dataset, 2)
    trained = train.restore(tmp_path / "run")
    predictions = trained.predict(dataset)
    assert predictions.classes.shape == (2, 3, 10, 14)
    assert 0 < trained.evaluate(predictions, num_resamples=0)["pixel_accuracy"].value < 1
    assert trained.draw(predictions, dataset)[-1].name == "masks.png"
    with pytest.raises(NotImplementedError, match="this one was trained on volumes"):
        next(trained.answers([IMAGES[0]]))


def test_its_backbone_can_be_taken() -> None:
    trained = segmentation.TrainedSegmenter.__new__(segmentation.TrainedSegmenter)
    trained.model = models.create_segmenter(
        "unet", backbone=models.create_model("lenet5", in_channels=2), num_classes=3
    )
    images = np.zeros((1, 32, 32, 2), np.float32)
    trained.variables = quick.jit(trained.model.init)(jax.random.key(0), images)
    given, variables = trained.backbone()
    assert given == trained.model.backbone
    assert variables["params"] is trained.variables["params"]["backbone"]
