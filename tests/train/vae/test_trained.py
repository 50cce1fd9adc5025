"""A restored variational autoencoder: bounds, samples, paths, what is filled in, figures."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick

from jaxvision import data, models, train
from jaxvision.losses import variational


def dataset(rows: int = 16) -> data.Dataset:
    """Images whose two halves are equal, bright or dark."""
    random = np.random.default_rng(0)
    bright = random.integers(0, 2, rows)
    images = 40 + 160 * bright[:, None, None, None] + random.integers(0, 20, (rows, 4, 4, 1))
    arrays = {"image": images.astype(np.uint8), "label": bright}
    return data.from_arrays(arrays, name="halves", split="test")


@pytest.fixture(
    scope="module", params=[None, pytest.param(2, marks=pytest.mark.slow)], ids=["plain", "classes"]
)
def trained(request, tmp_path_factory) -> train.vae.TrainedVAE:
    model = models.VariationalAutoencoder(
        encoder=models.DenseEncoder(hidden_sizes=(8,)),
        decoder=models.DenseDecoder(shape=(4, 4, 1), hidden_sizes=(8,)),
        latent_size=2,
        num_classes=request.param,
    )
    likelihood = variational.Gaussian(scale=0.1, levels=256)
    loss_fn = train.vae.make_loss_fn(
        model, likelihood=likelihood, beta=0.5, inputs=train.Inputs((0.5,), (0.25,))
    )
    tx = optax.adam(0.02)
    state = train.init_state(jax.random.key(0), model, tx, dataset().sample_batch())
    folder = tmp_path_factory.mktemp("vae")
    step = train.make_train_step(loss_fn, tx)
    train.fit(step, state, dataset().batches(16), num_steps=150, run_dir=folder)
    return train.restore(folder)


def test_it_comes_back(trained) -> None:
    assert trained.loss.likelihood == variational.Gaussian(scale=0.1, levels=256)
    assert (trained.loss.beta, trained.loss.inputs.std) == (0.5, (0.25,))


def test_bounds_and_scores(trained) -> None:
    one, many = (trained.predict(dataset(), samples=count) for count in (1, 200))
    np.testing.assert_allclose(one.elbo.mean(), many.elbo.mean(), rtol=0.2)
    assert many.bound.mean() > many.elbo.mean()
    assert many.reconstructions.shape == (16, 4, 4, 1)
    error = np.abs(many.reconstructions * 255 - dataset().examples["image"]).mean()
    assert error < 30
    scores = trained.evaluate(many)
    bits = -many.bound.mean() / 16 / math.log(2)
    assert scores["bits_per_dimension"].value == pytest.approx(bits, rel=1e-5)
    assert scores["elbo"].low < scores["elbo"].value < scores["elbo"].high
    words, numbers = trained.compare(many, one)
    assert "nats per image" in words
    assert numbers["difference"] == pytest.approx(many.bound.mean() - one.bound.mean(), rel=1e-3)
    assert len(trained.in_words(many)) == 16


def test_bounds_of_several_codes_grow_towards_the_log_probability(trained) -> None:
    bounds = [trained.predict(dataset(), samples=count).bound.mean() for count in (1, 10, 300)]
    assert bounds[0] < bounds[1] + 0.5
    assert bounds[1] < bounds[2] + 0.1


def test_samples_paths_and_traversals(trained) -> None:
    labels = None if trained.model.num_classes is None else np.array([0, 1, 0])
    samples = trained.sample(jax.random.key(0), 3, labels)
    assert samples.shape == (3, 4, 4, 1)
    assert 0 <= float(samples.min()) <= float(samples.max()) <= 1
    noisy = trained.sample(jax.random.key(0), 3, labels, observed=True)
    assert float(jnp.abs(noisy - samples).std()) > 0.03
    images = dataset().examples["image"][:3]
    between = trained.interpolate(images, images[::-1], 5, labels)
    mean, _ = trained.encode(images, labels)
    np.testing.assert_allclose(between[0], trained.decode(mean, labels), atol=1e-5)
    moved = trained.traverse(images, -1, (-1.0, 1.0), labels)
    assert moved.shape == (2, 3, 4, 4, 1)
    with pytest.raises(ValueError, match="one of the 2 dimensions of a code, got 2"):
        trained.traverse(images, 2, labels=labels)


def test_a_hidden_half_is_filled_in(trained) -> None:
    images = dataset().examples["image"]
    labels = None if trained.model.num_classes is None else dataset().examples["label"]
    known = np.zeros(images.shape, bool)
    known[:, :2] = True
    hidden = np.where(known, images, 255 - images).astype(np.uint8)
    found = np.asarray(trained.complete(hidden, known, labels, key=jax.random.key(0), steps=200))
    np.testing.assert_allclose(found[:, :2], images[:, :2] / 255, atol=1e-6)
    assert np.abs(found[:, 2:] - images[:, 2:] / 255).mean() < 0.15


def test_figures(trained) -> None:
    predictions = trained.predict(dataset(), samples=2)
    names = {path.name for path in trained.draw(predictions, dataset())}
    assert names == {
        "codes.png",
        "completed.png",
        "interpolations.png",
        "learning_curves.png",
        "reconstructions.png",
        "samples.png",
        "traversals.png",
    }


def test_a_collapsed_posterior_is_said() -> None:
    predictions = train.vae.Predictions(
        elbo=np.zeros(3, np.float32),
        bound=np.zeros(3, np.float32),
        kl=np.zeros((3, 2), np.float32),
        means=np.full((3, 2), 0.5, np.float32),
        reconstructions=np.zeros((3, 2, 2, 1), np.float32),
        labels=np.zeros(3, int),
        indices=np.arange(3),
        samples=1,
    )
    score = train.vae.TrainedVAE.evaluate(object.__new__(train.vae.TrainedVAE), predictions)
    assert score["active_units"].value == 0
    assert "collapsed" in score["active_units"].note


def test_the_code_of_what_is_known() -> None:
    """A linear decoder: the most probable code is that of ridge regression."""
    random = np.random.default_rng(0)
    matrix = random.normal(size=(2, 6)).astype(np.float32)
    images = random.normal(size=(3, 6)).astype(np.float32)
    known = np.ones((3, 6), bool)
    known[:, 4:] = False
    likelihood = variational.Gaussian(scale=0.5)
    found = quick.jit(
        lambda: train.vae.complete(
            lambda codes: codes @ matrix,
            likelihood,
            jnp.asarray(images),
            jnp.asarray(known),
            jnp.zeros((3, 2)),
            steps=800,
        )
    )()
    seen = matrix[:, :4]
    expected = np.linalg.solve(seen @ seen.T + 0.25 * np.eye(2), seen @ images[:, :4].T).T
    np.testing.assert_allclose(found, expected, atol=1e-2)
