"""Runs of the tasks of samples/, and of some of train/: `sample_runs.py NAME RUN_DIR [SECONDS]`.

Their data are made here. SECONDS slows every step down, so that a kill can come at any.
"""

import pathlib
import sys
import time
from typing import Any

import jax
import numpy as np
import optax
from samples import captioner, gan, segmenter

from jaxvision import data, losses, models, train

NUM_STEPS = {
    "segmenter": 60,
    "gan": 20,
    "captioner": 60,
    "segmentation": 60,
    "fixations": 60,
    "autoencoding": 60,
    "vae": 60,
    "dcgan": 20,
}


def squares(count: int, seed: int) -> data.Dataset:
    """Bright squares on noise, and where they are."""
    random = np.random.default_rng(seed)
    masks = np.zeros((count, 16, 16), np.uint8)
    for mask, (y, x) in zip(masks, random.integers(0, 8, (count, 2)), strict=True):
        mask[y : y + 8, x : x + 8] = 1
    noise = random.normal(size=(count, 16, 16, 1))
    images = (64 + 96 * masks[..., None] + 24 * noise).clip(0, 255).astype(np.uint8)
    return data.from_arrays({"image": images, "mask": masks}, name="squares")


def looked_at(count: int, seed: int) -> data.Dataset:
    """The same squares, and where people look."""
    images = squares(count, seed)
    look = data.with_fixations(count=10)
    examples = [
        look({**images[i], "objects/masks": images[i]["mask"][None] > 0}) for i in range(count)
    ]
    names = ("image", "fixation_density", "fixations")
    arrays = {name: np.stack([each[name] for each in examples]) for name in names}
    return data.from_arrays(arrays, name="squares")


def pictures(count: int, seed: int) -> data.Dataset:
    """Dark and bright images, and what is to be said of them."""
    words = ("<pad>", "<start>", "<end>", "a", "dark", "bright", "picture")
    bright = np.random.default_rng(seed).integers(0, 2, count)
    images = np.broadcast_to(60 + 120 * bright[:, None, None, None], (count, 4, 4, 1))
    tokens = np.array([[1, 3, 4, 6, 2, 0], [1, 3, 5, 6, 2, 0]])[bright]
    arrays = {"image": images.astype(np.uint8), "tokens": tokens}
    fields = {"tokens": data.Field("tokens", words)}
    return data.from_arrays(arrays, name="pictures", fields=fields)


def circle(count: int, seed: int) -> data.Dataset:
    """Points on a circle."""
    angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, count)
    points = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    return data.from_arrays({"point": points}, name="circle")


def make(name: str) -> tuple[Any, Any, data.Dataset, dict[str, Any]]:
    """A step, a state, data, and what else `fit` takes."""
    key = jax.random.key(0)
    if name == "gan":
        step = gan.Gan()
        return step, step.init(key), circle(64, 0), {}
    tx = optax.adam(1e-2)
    if name in ("autoencoding", "vae", "dcgan"):
        return generative(name, key, tx)
    if name in ("segmentation", "fixations"):
        model = models.ClassicUNet(
            num_classes=2 if name == "segmentation" else 1,
            in_channels=1,
            channels=(4, 8),
            padded=True,
            norm="batch",
            dropout=0.1,
        )
        augment = data.augment.chain(data.augment.random_flip(), data.augment.random_rotation(20))
        inputs = train.Inputs((0.4,), (0.2,), augment)
        if name == "segmentation":
            both = losses.Sum((losses.pixel_cross_entropy, 1.0), (losses.soft_dice, 0.5))
            loss = train.segmentation.make_loss_fn(model, loss=both, inputs=inputs)
        else:
            loss = train.fixations.make_loss_fn(model, inputs=inputs)
        draw = squares if name == "segmentation" else looked_at
        learned, held_out = draw(64, 0), draw(20, 1)
    elif name == "segmenter":
        backbone = models.create_model("lenet5", in_channels=1)
        model = segmenter.TinySegmenter(backbone=backbone, num_classes=2)
        augment = data.augment.random_flip()
        loss = segmenter.SegmentationLoss(model, train.Inputs((0.4,), (0.2,), augment))
        learned, held_out = squares(64, 0), squares(20, 1)
    else:
        model = captioner.TinyCaptioner(vocabulary=7)
        loss = captioner.CaptionLoss(model)
        learned, held_out = pictures(64, 0), pictures(20, 1)
    batch = learned.sample_batch()
    inputs = (batch["tokens"], train.image_input(batch)) if "tokens" in batch else batch
    state = train.init_state(key, model, tx, inputs)
    step = train.make_train_step(loss, tx, ema_decay=0.9)
    return step, state, learned, {"evaluate": loss, "eval_data": held_out}


def generative(
    name: str, key: jax.Array, tx: optax.GradientTransformation
) -> tuple[Any, Any, data.Dataset, dict[str, Any]]:
    """The same for models that make images."""
    learned, held_out = squares(64, 0), squares(20, 1)
    inputs = train.Inputs((0.5,), (0.5,), data.augment.random_flip())
    if name == "dcgan":
        generator = models.DCGANGenerator(shape=(16, 16, 1), noise_size=4, channels=(8, 4))
        critic = models.DCGANCritic(channels=(4, 8), spectral=True)
        options: dict[str, Any] = {"critic_steps": 2, "r1": 0.1, "ema_decay": 0.9}
        step = train.gan.make_step(generator, critic, tx, tx, inputs=inputs, **options)
        return step, step.init(key), learned, {}
    loss: Any
    if name == "vae":
        model: Any = models.VariationalAutoencoder(
            encoder=models.ConvEncoder(channels=(4, 8), norm="batch"),
            decoder=models.ConvDecoder(shape=(16, 16, 2), channels=(8, 4)),
            latent_size=3,
        )
        likelihood = losses.variational.DiscretizedLogistic()
        loss = train.vae.make_loss_fn(
            model, likelihood=likelihood, free_nats=0.1, warmup_steps=30, inputs=inputs
        )
    else:
        model = models.Autoencoder(
            encoder=models.ConvEncoder(channels=(4, 8)),
            decoder=models.ConvDecoder(shape=(16, 16, 1), channels=(8, 4)),
            latent_size=8,
            code_activation="sigmoid",
        )
        loss = train.autoencoding.make_loss_fn(
            model, noise=0.1, masking=0.1, sparsity=0.01, contraction=0.01, inputs=inputs
        )
    state = train.init_state(key, model, tx, learned.sample_batch())
    step = train.make_train_step(loss, tx, ema_decay=0.9)
    return step, state, learned, {"evaluate": train.make_eval_fn(loss), "eval_data": held_out}


def fit(
    name: str, run_dir: pathlib.Path | None, *, devices: int = 2, num_steps: int | None = None
) -> train.FitResult:
    step, state, dataset, options = make(name)
    return train.fit(
        train.parallelize(step, train.data_mesh(jax.devices()[:devices])),
        state,
        dataset.batches(24, seed=1),
        num_steps=num_steps or NUM_STEPS[name],
        log_every=5,
        checkpoint_every=5,
        eval_every=20,
        run_dir=run_dir,
        **options,
    )


def main(name: str, run_dir: str, seconds: float) -> None:
    jax.config.update("jax_num_cpu_devices", 8)  # as in the tests, whose run is compared
    train.start()
    if seconds:
        draw = data.Batches.__next__

        def slow(batches: data.Batches) -> dict[str, np.ndarray]:
            time.sleep(seconds)
            return draw(batches)

        data.Batches.__next__ = slow  # type: ignore[method-assign]
    fit(name, pathlib.Path(run_dir))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
