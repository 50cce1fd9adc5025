"""Bounds of a linear Gaussian model, whose log-probabilities and posteriors are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxvision import models, train
from jaxvision.losses import variational

SCALE = 0.3
RANDOM = np.random.default_rng(0)
CENTER = RANDOM.uniform(0.3, 0.7, 6)
# Orthogonal rows: the posterior of a code is then a product of one normal per latent.
ROWS = np.linalg.qr(RANDOM.normal(size=(6, 2)))[0].T * [[0.4], [0.7]]
IMAGES = RANDOM.uniform(size=(5, 3, 2, 1)).astype(np.float32)
VARIANCE = 1 / (1 + np.square(ROWS).sum(axis=1) / SCALE**2)
LOG_P = scipy.stats.multivariate_normal(CENTER, ROWS.T @ ROWS + SCALE**2 * np.eye(6)).logpdf(
    IMAGES.reshape(5, 6)
)


def predicted(samples: int, *, shift: float = 0.0, wider: float = 1.0) -> train.vae.Predictions:
    """Predictions of a model whose posteriors are `shift` beside the true ones, and `wider`."""
    model = models.VariationalAutoencoder(
        encoder=models.DenseEncoder(hidden_sizes=()),
        decoder=models.DenseDecoder(shape=(3, 2, 1), hidden_sizes=()),
        latent_size=2,
    )
    encode = ROWS.T * VARIANCE / SCALE**2
    code = {
        "kernel": np.concatenate([encode, np.zeros((6, 2))], axis=1),
        "bias": np.concatenate([shift - CENTER @ encode, np.log(wider * VARIANCE)]),
    }
    head = {"kernel": ROWS, "bias": CENTER}
    params = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float32), {"code": code, "decoder": {"head": head}}
    )
    loss = train.vae.make_loss_fn(model, likelihood=variational.Gaussian(scale=SCALE))
    return train.vae.predict(loss, {"params": params}, [{"image": IMAGES}], samples=samples)


def test_with_the_true_posterior_one_code_gives_the_log_probability() -> None:
    found = predicted(1)
    np.testing.assert_allclose(found.bound, LOG_P, atol=1e-4)
    means = (IMAGES.reshape(5, 6) - CENTER) @ ROWS.T * VARIANCE / SCALE**2
    np.testing.assert_allclose(found.means, means, atol=1e-5)
    np.testing.assert_allclose(
        found.reconstructions.reshape(5, 6), means @ ROWS + CENTER, atol=1e-5
    )


def test_with_another_posterior_many_codes_give_the_log_probability() -> None:
    """The lower bound misses it by the divergence of the posteriors, which is known too."""
    shift, wider = 0.25, 1.5
    found = predicted(4000, shift=shift, wider=wider)
    np.testing.assert_allclose(found.bound, LOG_P, atol=0.03)
    divergence = (wider - 1 - np.log(wider) + shift**2 / VARIANCE).sum() / 2
    assert divergence > 0.3
    np.testing.assert_allclose(found.elbo, LOG_P - divergence, atol=0.05)


def test_no_codes() -> None:
    with pytest.raises(ValueError, match="samples must be a whole number, at least 1, got 0"):
        predicted(0)
