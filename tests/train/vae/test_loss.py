"""The loss of variational autoencoders: values of pythae, warm-up, free nats, classes, errors."""

import json
import math

import jax
import jax.numpy as jnp
import make_generative as fixture
import numpy as np
import optax
import pytest
import quick

from jaxvision import data, models, train
from jaxvision.losses import variational

FOUND = json.loads(fixture.PATH.read_text())["pythae"]


def tiny(numbers: int = 1, **options) -> models.VariationalAutoencoder:
    return models.VariationalAutoencoder(
        encoder=models.DenseEncoder(hidden_sizes=()),
        decoder=models.DenseDecoder(shape=(4, 3, numbers), hidden_sizes=()),
        **{"latent_size": fixture.LATENTS, **options},
    )


def batch(rows: int = 6, **more) -> dict:
    random = np.random.default_rng(0)
    return {"image": random.integers(0, 256, (rows, 4, 3, 1)).astype(np.uint8), **more}


def begin(loss_fn, rows):
    return train.init_state(jax.random.key(0), loss_fn.model, optax.sgd(0.1), rows)


def test_values_are_pythaes_on_shared_weights() -> None:
    given = {name: jnp.asarray(value, jnp.float32) for name, value in fixture.weights().items()}
    params = {
        "code": {"kernel": given["encode"], "bias": jnp.zeros(2 * fixture.LATENTS)},
        "decoder": {"head": {"kernel": given["decode"], "bias": jnp.zeros(12)}},
    }
    model = tiny()

    def bounds():
        variables = {"params": params}
        mean, log_variance = model.apply(variables, given["images"], method="encode")
        codes = mean + jnp.exp(log_variance / 2) * given["noise"]
        outputs = model.apply(variables, codes, method="decode")
        pair = given["images"], mean, log_variance
        return (
            variational.elbo(variational.Bernoulli(), outputs, *pair),
            variational.elbo(variational.Gaussian(scale=1.0), jax.nn.sigmoid(outputs), *pair),
        )

    of_bernoulli, of_gaussian = quick.jit(bounds)()
    np.testing.assert_allclose(-of_bernoulli.nats.mean(), FOUND["bce"]["loss"], rtol=1e-6)
    np.testing.assert_allclose(of_bernoulli.kl.sum(1).mean(), FOUND["bce"]["kl"], rtol=1e-6)
    constant = 6 * math.log(2 * math.pi)  # pythae leaves it out
    np.testing.assert_allclose(
        -of_gaussian.log_likelihood.mean() - constant, FOUND["mse"]["reconstruction"], rtol=1e-5
    )


def test_the_loss_is_minus_the_bound_and_padding_does_not_count() -> None:
    loss_fn = train.vae.make_loss_fn(tiny(2), likelihood=variational.DiscretizedLogistic())
    rows = batch(weight=np.float32([1, 1, 1, 1, 0, 0]))
    state = begin(loss_fn, rows)

    def several(rows):
        key = jax.random.key(1)
        loss, (_, measured) = loss_fn(state.params, {}, rows, key, context=state.step)
        return loss, measured, loss_fn.measure(state, rows)

    loss, measured, evaluated = quick.jit(several)(rows)
    bound, count = measured["elbo"]
    assert count == 4
    np.testing.assert_allclose(loss, -bound / count, rtol=1e-5)
    np.testing.assert_allclose(bound, measured["log_likelihood"][0] - measured["kl"][0], rtol=1e-5)
    hidden = {**rows, "image": rows["image"].copy()}
    hidden["image"][4:] = 255
    again = quick.jit(several)(hidden)
    np.testing.assert_allclose(again[0], loss, rtol=1e-6)
    np.testing.assert_allclose(again[2]["elbo"], evaluated["elbo"], rtol=1e-6)
    numbers = loss_fn.summarize(jax.device_get(evaluated))
    assert numbers["bits_per_dimension"] == pytest.approx(numbers["loss"] / 12 / math.log(2))
    assert sorted(numbers) == ["active_units", "bits_per_dimension", "kl", "log_likelihood", "loss"]


def test_warm_up_beta_and_free_nats() -> None:
    likelihood = variational.Bernoulli()
    plain, options = tiny(), {"likelihood": likelihood}
    losses = {
        "plain": train.vae.make_loss_fn(plain, **options),
        "beta": train.vae.make_loss_fn(plain, beta=3.0, **options),
        "warm": train.vae.make_loss_fn(plain, warmup_steps=4, **options),
        "free": train.vae.make_loss_fn(plain, free_nats=100.0, **options),
    }
    rows = batch()
    state = begin(losses["plain"], rows)

    def each(rows):
        key = jax.random.key(1)
        found = {
            name: loss(state.params, {}, rows, key, context=jnp.int32(1))[0]
            for name, loss in losses.items()
        }
        _, (_, measured) = losses["plain"](state.params, {}, rows, key, context=state.step)
        return found, measured

    found, measured = quick.jit(each)(rows)
    kl, likely = (float(measured[name][0]) / 6 for name in ("kl", "log_likelihood"))
    assert float(found["plain"]) == pytest.approx(kl - likely, rel=1e-5)
    assert float(found["beta"]) == pytest.approx(3 * kl - likely, rel=1e-5)
    assert float(found["warm"]) == pytest.approx(kl / 2 - likely, rel=1e-5)  # the second of four
    assert float(found["free"]) == pytest.approx(300 - likely, rel=1e-5)


def test_the_step_gives_the_loss_its_number() -> None:
    loss_fn = train.vae.make_loss_fn(tiny(), likelihood=variational.Bernoulli(), warmup_steps=10)
    step = train.make_train_step(loss_fn, optax.sgd(0.0))
    rows = batch()
    early = step.prepare(begin(loss_fn, rows))
    late = early.replace(step=jnp.int32(9))
    run = quick.jit(lambda state: step(state, rows)[1])
    kl = {}
    for name, state in (("early", early), ("late", late)):
        measured = run(state)
        minus = measured["loss"][0] + measured["log_likelihood"][0]
        kl[name] = float(minus / measured["kl"][0])
    assert kl["early"] == pytest.approx(0.1, rel=1e-4)
    assert kl["late"] == pytest.approx(1.0, rel=1e-4)


def test_classes_reach_encoder_and_decoder() -> None:
    loss_fn = train.vae.make_loss_fn(tiny(num_classes=3), likelihood=variational.Bernoulli())
    rows = batch(label=np.array([0, 1, 2, 0, 1, 2]))
    state = begin(loss_fn, rows)

    def both():
        images = jnp.asarray(rows["image"]) / 255
        codes = jnp.zeros((2, fixture.LATENTS))
        variables = {"params": state.params}
        same = loss_fn.model.apply(
            variables, images[:1].repeat(2, 0), jnp.array([0, 1]), method="encode"
        )
        made = loss_fn.model.apply(variables, codes, jnp.array([0, 1]), method="decode")
        return same[0], made

    means, images = quick.jit(both)()
    assert not np.allclose(means[0], means[1])
    assert not np.allclose(images[0], images[1])
    with pytest.raises(ValueError, match="needs 'image' and 'label'; this one has image"):
        loss_fn.measure(state, batch())
    with pytest.raises(ValueError, match="labels are missing: this model has 3 classes"):
        loss_fn.model.apply({"params": state.params}, jnp.zeros((1, 3)), method="decode")


def test_images_are_normalized_for_the_encoder_alone() -> None:
    inputs = train.Inputs((0.5,), (0.25,), data.augment.random_flip())
    loss_fn = train.vae.make_loss_fn(
        tiny(), likelihood=variational.Bernoulli(binarize=True), inputs=inputs
    )
    observed = loss_fn.observe(loss_fn.prepared(batch()), jax.random.key(0))
    assert set(np.unique(observed["image"])) == {0.0, 1.0}
    np.testing.assert_allclose(observed["seen"], (observed["image"] - 0.5) / 0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": -1}, "beta must be finite and not negative, got -1"),
        ({"free_nats": math.inf}, "free_nats must be finite"),
        ({"warmup_steps": -2}, "warmup_steps must be a whole number of steps, at least 0, got -2"),
    ],
)
def test_options_that_are_not_allowed(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        train.vae.make_loss_fn(tiny(), likelihood=variational.Bernoulli(), **options)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (models.DCGANGenerator(shape=(8, 8, 1)), r"got DCGANGenerator\("),
        ("conv", "got 'conv'"),
        (
            models.Autoencoder(
                encoder=models.DenseEncoder(),
                decoder=models.DenseDecoder(shape=(4, 3, 1)),
                latent_size=2,
            ),
            r"such as models.VariationalAutoencoder\(encoder=\.\.\..* got Autoencoder\(",
        ),
    ],
)
def test_models_of_another_kind(model, message, unchecked) -> None:
    with pytest.raises(TypeError, match=f"must be a models.VariationalAutoencoder, .*{message}"):
        train.vae.make_loss_fn(model, likelihood=variational.Bernoulli())


@pytest.mark.parametrize(
    ("likelihood", "message"),
    [
        ("gausian", r"such as Gaussian\(\), got 'gausian'"),
        (
            variational.DiscretizedLogistic,
            r"such as DiscretizedLogistic\(\), got the class Disc",
        ),
        (None, r"such as Bernoulli\(\), got None"),
    ],
)
def test_what_are_no_likelihoods(likelihood, message, unchecked) -> None:
    with pytest.raises(TypeError, match=f"must be one of losses.variational, {message}"):
        train.vae.make_loss_fn(tiny(), likelihood=likelihood)


def test_a_decoder_for_another_likelihood() -> None:
    loss_fn = train.vae.make_loss_fn(tiny(1), likelihood=variational.Gaussian())
    rows = batch()
    with pytest.raises(ValueError, match=r"must give the shape \(6, 4, 3, 2\), and gives"):
        jax.eval_shape(lambda: loss_fn.measure(begin(loss_fn, rows), rows))
