"""Autoencoders: PCA's residual, each kind of penalty, noise, and restored runs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick
from sklearn.datasets import load_iris

from jaxvision import data, losses, models, train


def linear(shape, latent_size, **options) -> models.Autoencoder:
    return models.Autoencoder(
        encoder=models.DenseEncoder(hidden_sizes=()),
        decoder=models.DenseDecoder(shape=shape, hidden_sizes=()),
        latent_size=latent_size,
        **options,
    )


def test_a_linear_autoencoder_reaches_the_residual_of_pca() -> None:
    """Two numbers of four of iris: 0.101364 per flower, the two smallest variances together."""
    flowers = load_iris().data.astype(np.float32)
    values = np.linalg.svd(flowers - flowers.mean(0), compute_uv=False)
    residual = (values[2:] ** 2).sum() / len(flowers)
    assert residual == pytest.approx(0.101364, abs=1e-6)
    batch = {"image": flowers.reshape(-1, 1, 1, 4)}
    model = linear((1, 1, 4), 2)
    loss_fn = train.autoencoding.make_loss_fn(model)
    schedule = optax.cosine_decay_schedule(0.03, 8_000)
    tx = optax.adam(schedule)
    step = train.make_train_step(loss_fn, tx)

    def run():
        state = train.init_state(jax.random.key(0), model, tx, batch)
        state, _ = jax.lax.scan(lambda state, _: step(state, batch), state, length=8_000)
        return loss_fn.evaluate(state, batch)["loss"]

    total, count = jax.jit(run)()
    assert 4 * total / count == pytest.approx(residual, abs=1e-4)


def batch(rows: int = 6) -> dict:
    random = np.random.default_rng(0)
    return {
        "image": random.uniform(size=(rows, 3, 3, 1)).astype(np.float32),
        "weight": np.float32([1] * (rows - 1) + [0]),
    }


def test_penalties_are_added_to_the_squared_error() -> None:
    model = linear((3, 3, 1), 4, code_activation="sigmoid")
    rows = batch()
    kinds = {
        "plain": {},
        "l1": {"l1": 0.1},
        "sparse": {"sparsity": 0.2, "activity": 0.1},
        "contractive": {"contraction": 0.3},
    }
    made = {name: train.autoencoding.make_loss_fn(model, **each) for name, each in kinds.items()}

    def each():
        params = model.init(jax.random.key(0), rows["image"])["params"]
        found = {name: loss(params, {}, rows, jax.random.key(1))[0] for name, loss in made.items()}
        _, (_, measured) = made["l1"](params, {}, rows, jax.random.key(1))
        encode = lambda x: model.apply({"params": params}, x, method="encode")  # noqa: E731
        images = jnp.asarray(rows["image"][:5])
        codes = encode(images)
        penalties = {
            "plain": 0.0,
            "l1": 0.1 * losses.activation_l1(codes).mean(),
            "sparse": 0.2 * losses.sparsity_divergence(codes, 0.1),
            "contractive": 0.3 * losses.jacobian_norm(encode, images).mean(),
        }
        return found, penalties, measured

    found, penalties, measured = quick.jit(each)()
    for name, penalty in penalties.items():
        np.testing.assert_allclose(found[name] - found["plain"], penalty, rtol=1e-4, atol=1e-7)
    assert measured["loss"][1] == 5
    np.testing.assert_allclose(measured["penalty"][0] / 5, penalties["l1"], rtol=1e-5)


def test_noise_is_for_the_encoder_alone() -> None:
    model = linear((3, 3, 1), 2)
    loss_fn = train.autoencoding.make_loss_fn(model, noise=0.5, masking=0.25)
    images = jnp.ones((400, 3, 3, 1))
    seen = loss_fn.corrupt(jax.random.key(0), images)
    hidden = float((seen == 0).mean())
    assert hidden == pytest.approx(0.25, abs=0.03)
    assert float(seen[seen != 0].std()) == pytest.approx(0.5, abs=0.05)
    evaluated = jax.eval_shape(
        lambda: loss_fn.evaluate(
            {"params": model.init(jax.random.key(0), images)["params"], "model_state": {}},
            {"image": images},
        )
    )
    assert sorted(evaluated) == ["denoising_loss", "loss"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": -1}, "noise must be finite and not negative, got -1"),
        ({"masking": 1}, r"masking must be in \[0, 1\), got 1"),
        ({"sparsity": 0.1}, 'make the model with code_activation="sigmoid", not "identity"'),
    ],
)
def test_options_that_are_not_allowed(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        train.autoencoding.make_loss_fn(linear((3, 3, 1), 2), **options)


def test_models_of_another_kind(unchecked) -> None:
    variational = models.VariationalAutoencoder(
        encoder=models.DenseEncoder(),
        decoder=models.DenseDecoder(shape=(3, 3, 1)),
        latent_size=2,
    )
    message = r"must be a models.Autoencoder, such as .* got VariationalAutoencoder\("
    with pytest.raises(TypeError, match=message):
        train.autoencoding.make_loss_fn(variational)


def test_a_run_comes_back_and_draws(tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1)).astype(np.uint8)
    dataset = data.from_arrays(
        {"image": images, "label": np.arange(12) % 3}, name="noise", split="test"
    )
    model = models.Autoencoder(
        encoder=models.DenseEncoder(hidden_sizes=(6,)),
        decoder=models.DenseDecoder(shape=(8, 8, 1), hidden_sizes=(6,)),
        latent_size=3,
    )
    inputs = train.Inputs((0.4,), (0.3,))
    loss_fn = train.autoencoding.make_loss_fn(model, noise=0.2, inputs=inputs)
    tx = optax.adam(1e-3)
    state = train.init_state(jax.random.key(0), model, tx, dataset.sample_batch())
    step = train.make_train_step(loss_fn, tx)
    train.fit(step, state, dataset.batches(8), num_steps=2, run_dir=tmp_path)
    trained = train.restore(tmp_path)
    assert (trained.loss.noise, trained.loss.inputs.mean) == (0.2, (0.4,))
    predictions = trained.predict(dataset)
    np.testing.assert_allclose(predictions.images, images / 255, atol=1e-6)
    assert predictions.codes.shape == (12, 3)
    scores = trained.evaluate(predictions)
    error = np.square(predictions.reconstructions - images / 255).mean()
    assert scores["squared_error"].value == pytest.approx(error, rel=1e-5)
    assert {"psnr", "ssim", "seen_psnr", "seen_ssim"} <= scores.keys()
    worse = predictions._replace(reconstructions=1 - predictions.images)
    words, numbers = trained.compare(predictions, worse)
    assert words.startswith(f"squared error {error:.5f} against")
    assert numbers["interval"][1] < 0
    with pytest.raises(ValueError, match="on other images"):
        trained.compare(predictions, worse._replace(indices=worse.indices[::-1]))
    names = {path.name for path in trained.draw(predictions, dataset)}
    assert names == {
        "learning_curves.png",
        "filters.png",
        "samples.png",
        "reconstructions.png",
        "codes.png",
    }
    drawn = trained.sample(jax.random.key(0), 5, predictions.codes)
    assert drawn.shape == (5, 8, 8, 1)
    assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1
