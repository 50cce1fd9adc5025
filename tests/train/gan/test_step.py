"""The step of two networks: what moves, what each sees, penalties, classes, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick
import scipy.stats

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


@pytest.mark.filterwarnings("ignore:nothing bounds the slope")
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dcgan", "residual"])
def test_a_step_at_128_pixels(kind) -> None:
    """All parameters move, and the critic sees all of an image."""
    options = {"shape": (128, 128, 3), "noise_size": 4}
    if kind == "dcgan":
        generator = models.DCGANGenerator(channels=(32, 16, 8, 8, 8), **options)
        critic = models.DCGANCritic(channels=(8, 8, 8, 16, 32))
    else:
        generator = models.ResidualGenerator(channels=(8,) * 6, **options)
        critic = models.ResidualCritic(channels=(8,) * 6, halvings=5)
    step = make(generator, critic, rate=0.1)
    images = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3)).astype(np.uint8)

    def run():
        before = begin(step)
        return before, *step(before, {"image": images})

    before, after, measured = jax.jit(run)()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(measured))
    for old, new in ((before.generator, after.generator), (before.critic, after.critic)):
        moved = jax.tree.map(lambda a, b: bool((a != b).any()), old.params, new.params)
        assert all(jax.tree.leaves(moved)), moved
    score = lambda x: critic.apply({"params": after.critic.params}, x).sum()  # noqa: E731
    slope = jax.jit(jax.grad(score))(images[:1] / 255)
    assert (np.abs(slope).max(axis=-1) > 0).mean() > 0.99


def test_each_network_has_its_own_rate() -> None:
    """Two time scales: the network of rate 0 stays, and the other moves as far as its rate says."""
    generator = GENERATOR.clone(norm=None)
    state = begin(make(generator=generator))

    def after(of_generator, of_critic):
        rates = optax.sgd(of_generator), optax.sgd(of_critic)
        return train.gan.make_step(generator, CRITIC, *rates)(state, ROWS)[0]

    def moved(new, old):
        return np.concatenate(
            [np.ravel(leaf) for leaf in jax.tree.leaves(optax.tree.sub(new, old))]
        )

    run = quick.jit(lambda: [after(0.0, 0.1), after(0.1, 0.0), after(0.0, 0.2)])
    of_generator, of_critic = (
        [moved(getattr(each, name).params, getattr(state, name).params) for each in run()]
        for name in ("generator", "critic")
    )
    assert [bool(each.any()) for each in of_generator] == [False, True, False]
    assert [bool(each.any()) for each in of_critic] == [True, False, True]
    np.testing.assert_allclose(of_critic[2], 2 * of_critic[0], rtol=1e-4, atol=1e-7)


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
        ({"r1": -1}, "r1 must be a number, not negative, got -1"),
        ({"gradient_penalty": np.inf}, "gradient_penalty must be a number, not negative, got inf"),
        ({"critic": CRITIC.clone(num_classes=2)}, "same num_classes, got None and 2"),
    ],
)
def test_options_that_are_not_allowed(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ((CRITIC, GENERATOR), r"generator must be a models.Generator, .*got DCGANCritic\("),
        ((GENERATOR, GENERATOR), r"critic must be a models.Critic, .*got DCGANGenerator\("),
        (("dcgan", CRITIC), r"such as models.DCGANGenerator\(shape=\(32, 32, 3\)\), got 'dcgan'"),
    ],
)
def test_what_are_no_networks(networks, message, unchecked) -> None:
    with pytest.raises(TypeError, match=message):
        make(*networks)


def test_batches_that_do_not_fit() -> None:
    step = make()
    with pytest.raises(ValueError, match="a batch needs 'image'; this one has label"):
        jax.eval_shape(lambda: step(begin(step), {"label": np.zeros(8, int)}))
    larger = {"image": np.zeros((8, 16, 16, 1), np.uint8)}
    message = r"have the shape \(16, 16, 1\), and those of the generator \(8, 8, 1\): resize"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: step(begin(step), larger))


def test_a_wasserstein_critic_is_bounded_or_warned_of() -> None:
    def start(of_critic, critic=CRITIC, **options):
        step = train.gan.make_step(
            GENERATOR, critic, optax.sgd(0.1), of_critic, game="wasserstein", **options
        )
        jax.eval_shape(step.init, jax.random.key(0))

    with pytest.warns(UserWarning, match="nothing bounds the slope of the critic"):
        start(optax.sgd(0.1))
    start(optax.chain(optax.adam(0.1), train.gan.clip_parameters(0.02)))
    start(optax.sgd(0.1), critic=CRITIC.clone(spectral=True))
    start(optax.sgd(0.1), gradient_penalty=10)
    start(optax.sgd(0.1), r1=1)


@pytest.mark.parametrize("name", ["gradient_penalty", "r1"])
def test_slopes_of_a_critic_that_mixes_examples_are_warned_of(name) -> None:
    with pytest.warns(UserWarning, match=f"{name} is of the slope at single examples"):
        make(critic=CRITIC.clone(norm="batch"), **{name: 1})
    make(critic=CRITIC.clone(norm="layer"), **{name: 1})
    make(critic=CRITIC.clone(norm="batch"))


def test_clipping_needs_parameters_and_a_limit() -> None:
    clip = train.gan.clip_parameters(0.1)
    with pytest.raises(ValueError, match="give params"):
        clip.update({"w": jnp.zeros(2)}, clip.init({}))
    with pytest.raises(ValueError, match="limit must be positive, got 0"):
        train.gan.clip_parameters(0)


@pytest.mark.parametrize("truncation", [0.3, 0.7, 2.0])
def test_truncated_noise_is_drawn_again(truncation) -> None:
    """Its distribution is scipy's truncated normal; values that are clipped vary more."""
    noise = np.asarray(train.gan.draw_noise(jax.random.key(0), (4000,), truncation=truncation))
    known = scipy.stats.truncnorm(-truncation, truncation)
    assert 0.98 * truncation < np.abs(noise).max() <= truncation
    assert noise.var() == pytest.approx(known.var(), rel=0.05)
    assert scipy.stats.kstest(noise, known.cdf).pvalue > 0.01


def test_noise() -> None:
    assert float(train.gan.draw_noise(jax.random.key(0), (4000,)).std()) == pytest.approx(
        1, abs=0.05
    )
    with pytest.raises(ValueError, match="truncation must be positive, got 0"):
        train.gan.draw_noise(jax.random.key(0), (4,), truncation=0)
