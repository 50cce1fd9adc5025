"""A learned CRF: it starts as the one that is not learned, and learns."""

import json

import jax
import jax.numpy as jnp
import make_dense_crf as fixture
import numpy as np
import quick

from jaxvision import models, ops

MODULE = models.DenseCRF(
    appearance_spatial=fixture.BILATERAL["spatial"],
    appearance_color=fixture.BILATERAL["color"],
    appearance_weight=1.0,
    smoothness_spatial=fixture.GAUSSIAN["spatial"],
    smoothness_weight=0.5,
    num_steps=3,
)


def test_it_starts_as_the_potts_model_and_learns():
    logits, image, truth = (jnp.asarray(x[None]) for x in fixture.draw())
    params = {
        "appearance_weight": np.full(4, 1.0, "f"),
        "smoothness_weight": np.full(4, 0.5, "f"),
        "compatibility": 1 - np.eye(4, dtype="f"),
    }

    def loss_of(params):
        log_p = MODULE.apply({"params": params}, logits, image)
        return -jnp.take_along_axis(log_p, truth[..., None], axis=-1).mean()

    def run():
        made = MODULE.init(jax.random.key(0), logits, image)["params"]
        by_hand = ops.dense_crf(
            logits,
            image,
            [
                ops.BilateralKernel(9.0, 0.1, params["appearance_weight"]),
                ops.GaussianKernel(2.0, params["smoothness_weight"]),
            ],
            num_steps=3,
        )

        def step(params, _):
            loss, gradient = jax.value_and_grad(loss_of)(params)
            return jax.tree.map(lambda p, g: p - 2.0 * g, params, gradient), loss

        learned, losses = jax.lax.scan(step, made, length=8)
        return made, by_hand, MODULE.apply({"params": made}, logits, image), learned, losses

    made, by_hand, refined, learned, losses = quick.numbers(quick.jit(run)())
    jax.tree.map(np.testing.assert_array_equal, made, params)
    np.testing.assert_allclose(refined, by_hand, atol=1e-5)
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < 0.9 * losses[0]
    assert all(np.abs(learned[name] - made[name]).max() > 0.01 for name in made)


def test_it_is_made_again():
    for module in (models.DenseCRF(), MODULE.clone(smoothness_spatial=(1.0, 1.0, 2.5))):
        description = json.loads(json.dumps(models.describe(module)))
        assert models.from_description(description) == module
