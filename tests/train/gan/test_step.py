"""The step of two networks: what moves, what each sees, penalties, classes, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick

from jaxvision import losses, models, train

GENERATOR = models.DCGANGenerator(shape=(8, 8, 1), noise_size=3, channels=(4,))
CRITIC = models.DCGANCritic(channels=(4,))
ROWS = {"image": np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1)).astype(np.uint8)}


def make(generator=GENERATOR, critic=CRITIC, rate=0.01, **options) -> train.gan.GANStep:
    return train.gan.make_step(generator, critic, optax.sgd(rate), optax.sgd(rate), **options)


def begin(step: train.gan.GANStep) -> train.gan.GANState:
    return step.prepare(step.init(jax.random.key(0)))


def test_the_critic_learns_as_often_as_it_is_told() -> None:
    step = make(critic_steps=4, ema_decay=0.5)

    def run():
        state = begin(step)
        return state, *step(state, ROWS)

    before, after, measured = quick.jit(run)()
    assert int(after.critic.step) == 4
    assert int(after.generator.step) == 1
    assert measured["critic_loss"][1] == 8  # all rows
    assert measured["generator_loss"][1] == 2  # those of the last of the critic's steps
    for old, new in ((before.generator, after.generator), (before.critic, after.critic)):
        moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), old.params, new.params)
        assert all(jax.tree.leaves(moved))
    statistics = jax.tree.leaves(after.generator.model_state["batch_stats"])
    assert any(np.any(np.asarray(leaf) != 0) for leaf in statistics)
    assert after.critic.ema_params is None
    assert after.generator.ema_params is not None


@pytest.mark.parametrize("game", sorted(train.gan.GAMES))
def test_losses_are_those_of_the_game(game) -> None:
    """With learning rates of 0, both networks say after the step what they said in it."""
    step = make(game=game, rate=0.0, generator=GENERATOR.clone(norm=None))

    def run():
        state = begin(step)
        _, measured = step(state, ROWS)
        judge = lambda x: CRITIC.apply({"params": state.critic.params}, x)  # noqa: E731
        real = judge((jnp.asarray(ROWS["image"]) / 255 - 0.5) / 0.5)
        return measured, real

    measured, real = quick.jit(run)()
    np.testing.assert_allclose(measured["real_score"][0], real.sum(), rtol=1e-4)
    loss = getattr(losses.adversarial, game)()
    # The mean score of the generated images is near that of each: both are near 0 at the start.
    fake = jnp.full(8, measured["fake_score"][0] / 8)
    np.testing.assert_allclose(
        measured["critic_loss"][0] / 8, loss.critic(real, fake).mean(), atol=1e-3
    )
    np.testing.assert_allclose(
        measured["generator_loss"][0] / 8, loss.generator(fake).mean(), atol=1e-2
    )


def test_penalties_are_added_and_measured() -> None:
    def run(**options):
        step = make(rate=0.0, **options)
        return step(begin(step), ROWS)[1]

    plain, penalized = quick.jit(lambda: [run(), run(r1=10, gradient_penalty=2)])()
    difference = penalized["critic_loss"][0] - plain["critic_loss"][0]
    added = 10 * penalized["r1"][0] + 2 * penalized["gradient_penalty"][0]
    np.testing.assert_allclose(difference, added, rtol=1e-3)
    assert penalized["gradient_penalty"][0] > 0
    assert "r1" not in plain


def test_clipping_keeps_the_critics_parameters_in_a_box() -> None:
    of_critic = optax.chain(optax.adam(0.1), train.gan.clip_parameters(0.02))
    step = train.gan.make_step(
        GENERATOR, CRITIC, optax.sgd(0.1), of_critic, game="wasserstein", critic_steps=2
    )
    after = quick.jit(lambda: step(begin(step), ROWS)[0])()
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(after.critic.params))
    assert largest == pytest.approx(0.02, abs=1e-6)


def test_padding_does_not_count() -> None:
    step = make(rate=0.0, generator=GENERATOR.clone(norm=None))
    weight = np.float32([1, 1, 1, 0, 0, 1, 1, 1])

    def run(images):
        return step(begin(step), {"image": images, "weight": weight})[1]

    compiled = quick.jit(run)
    hidden = np.where(weight[:, None, None, None] == 0, 255, ROWS["image"]).astype(np.uint8)
    first, second = compiled(ROWS["image"]), compiled(hidden)
    assert first["critic_loss"][1] == 6
    np.testing.assert_allclose(first["critic_loss"][0], second["critic_loss"][0], rtol=1e-6)


def test_classes_go_to_both_networks() -> None:
    networks = [each.clone(num_classes=3) for each in (GENERATOR, CRITIC)]
    step = make(*networks, critic_steps=2)
    rows = {**ROWS, "label": np.arange(8) % 3}
    after, _ = quick.jit(lambda: step(begin(step), rows))()
    assert int(after.critic.step) == 2
    with pytest.raises(ValueError, match="networks with classes need 'label' in a batch"):
        jax.eval_shape(lambda: step(begin(step), ROWS))


def test_a_batch_that_does_not_divide() -> None:
    step = make(critic_steps=3)
    with pytest.raises(ValueError, match="a batch of 8 rows does not divide into 3 equal parts"):
        jax.eval_shape(lambda: step(begin(step), ROWS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"game": "wassertein"}, "unknown game 'wassertein'; did you mean 'wasserstein'"),
        ({"critic_steps": 0}, "critic_steps must be a whole number, at least 1, got 0"),
        ({"r1": -1}, "r1 must not be negative, got -1"),
        ({"critic": CRITIC.clone(num_classes=2)}, "same num_classes, got None and 2"),
    ],
)
def test_options_that_are_not_allowed(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_noise() -> None:
    noise = train.gan.draw_noise(jax.random.key(0), (4000,), truncation=0.7)
    assert 0.69 < float(jnp.abs(noise).max()) <= 0.7
    assert float(train.gan.draw_noise(jax.random.key(0), (4000,)).std()) == pytest.approx(
        1, abs=0.05
    )
    with pytest.raises(ValueError, match="truncation must be positive, got 0"):
        train.gan.draw_noise(jax.random.key(0), (4,), truncation=0)
    with pytest.raises(ValueError, match="limit must be positive, got 0"):
        train.gan.clip_parameters(0)
