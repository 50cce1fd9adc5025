"""A restored generator and its critic: samples, paths, scores, figures."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvision import data, models, plots, train


def dataset(rows: int = 20) -> data.Dataset:
    random = np.random.default_rng(0)
    arrays = {
        "image": random.integers(0, 256, (rows, 8, 8, 1)).astype(np.uint8),
        "label": np.arange(rows) % 3,
    }
    return data.from_arrays(arrays, name="noise", split="train")


@pytest.fixture(
    scope="module", params=[None, pytest.param(3, marks=pytest.mark.slow)], ids=["plain", "classes"]
)
def trained(request, tmp_path_factory) -> train.gan.TrainedGAN:
    generator = models.DCGANGenerator(
        shape=(8, 8, 1), noise_size=3, channels=(4,), num_classes=request.param
    )
    critic = models.DCGANCritic(channels=(4,), num_classes=request.param)
    tx = optax.adam(1e-3)
    step = train.gan.make_step(generator, critic, tx, tx, game="hinge", ema_decay=0.9)
    folder = tmp_path_factory.mktemp("gan")
    state = step.init(jax.random.key(0))
    train.fit(step, state, dataset().batches(8), num_steps=3, run_dir=folder)
    return train.restore(folder)


def test_samples(trained) -> None:
    classes = trained.generator.num_classes
    labels = None if classes is None else np.arange(300) % 3
    images = trained.sample(jax.random.key(0), 300, labels)
    assert images.shape == (300, 8, 8, 1)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    first = trained.generate(
        jax.random.normal(jax.random.key(0), (300, 3))[:5], None if labels is None else labels[:5]
    )
    np.testing.assert_allclose(images[:5], first, atol=1e-6)
    cut = trained.sample(jax.random.key(0), 300, labels, truncation=0.1)
    if classes is None:
        assert float(jnp.std(cut, axis=0).mean()) < float(jnp.std(images, axis=0).mean())


def test_ways_between_samples(trained) -> None:
    noise = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    of_rows = None if trained.generator.num_classes is None else np.arange(4) % 3
    between = trained.interpolate(*map(jnp.asarray, noise), 5, of_rows)
    assert between.shape == (5, 4, 8, 8, 1)
    np.testing.assert_allclose(
        between[0], trained.generate(jnp.asarray(noise[0]), of_rows), atol=1e-5
    )


def test_scores_and_figures(trained) -> None:
    predictions = trained.predict(dataset())
    np.testing.assert_allclose(predictions.real, dataset().examples["image"] / 255, atol=1e-6)
    assert predictions.fake.shape == predictions.real.shape
    scores = trained.evaluate(predictions)
    assert scores["real_score"].value == pytest.approx(predictions.real_scores.mean(), rel=1e-5)
    assert 0 <= scores["critic_auc"].value <= 1
    assert scores["pixel_frechet_distance"].value > 0
    names = {
        path.name
        for path in trained.draw(
            predictions,
            dataset(),
        )
    }
    assert names == {"interpolations.png", "learning_curves.png", "nearest.png", "samples.png"}


def test_the_averaged_parameters_make_the_images(trained) -> None:
    average = trained.run.state["generator"]["ema_params"]
    assert trained.variables["params"] is average


def test_each_sample_is_drawn_beside_its_nearest_image() -> None:
    """Of known pairs: samples are images of a set, in another order and a little brighter."""
    real = np.random.default_rng(0).uniform(0, 0.9, (7, 4, 3, 1)).astype(np.float32)
    order = [5, 0, 3]
    fake = real[order] + np.float32([0.05, 0.0, 0.1])[:, None, None, None]
    figure = train.gan.nearest(fake, real, title="pairs")
    pairs = [image for pair in zip(fake, real[order], strict=True) for image in pair]
    expected = plots.image_grid(pairs, None, 10)
    for drawn, known in zip(figure.axes, expected.axes, strict=True):
        np.testing.assert_array_equal(drawn.images[0].get_array(), known.images[0].get_array())
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[::2] == ["sample"] * 3
    assert titles[1::2] == ["nearest: 0.05", "nearest: 0.00", "nearest: 0.10"]
    assert len(train.gan.nearest(fake[:1], real[:1]).axes) == 2
