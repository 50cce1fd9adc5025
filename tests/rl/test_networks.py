import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import rl
from jaxvision.rl.networks import encode


@pytest.mark.parametrize(
    ("height", "width"), quick.only([(40, 40), (37, 52), (84, 84), (43, 36)], 37, slow=[84])
)
def test_every_pixel_is_seen(height, width):
    """A player who does not see the edge does not see his paddle."""
    torso = rl.ConvTorso(hidden_size=16)
    images = np.random.default_rng(0).random((1, height, width, 2), np.float32)

    @quick.jit
    def gradient(key, images):
        variables = torso.init(key, images)
        return jax.grad(lambda x: jnp.sum(torso.apply(variables, x) ** 2))(images)

    assert (np.abs(gradient(jax.random.key(1), images)).sum((0, 3)) > 0).all()


def test_the_network_of_dqn_has_its_parameters():
    """1,684,128 weights and biases up to the hidden layer, for four frames of 84 by 84."""
    shapes = jax.eval_shape(rl.ConvTorso().init, jax.random.key(0), np.zeros((1, 84, 84, 4)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 1_684_128


def test_dueling_values_are_those_of_the_state_and_advantages_without_a_mean():
    network = rl.QNetwork(rl.Box(-1.0, 1.0, (3,)), 4, rl.MLP((8,)), outputs=5, dueling=True)
    seen = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    look = quick.jit(
        lambda key, seen: network.init_with_output(key, seen, capture_intermediates=True)
    )
    outputs, kept = jax.device_get(look(jax.random.key(1), seen))
    assert outputs.shape == (6, 4, 5)
    values = kept["intermediates"]["Dense_1"]["__call__"][0]
    np.testing.assert_allclose(outputs.mean(1), values, atol=1e-5)


@pytest.mark.parametrize("critic", [None, rl.MLP((8,))], ids=["shared", "apart"])
def test_actor_and_critic_apart_or_on_one_torso(critic):
    network = rl.ActorCritic(rl.Box(-1.0, 1.0, (3,)), 2, rl.MLP((8,)), critic)
    seen = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)

    @quick.jit
    def look(key, seen):
        def policy(variables):
            return network.apply(variables, seen, method="policy")

        variables = network.init(key, seen)
        return (
            network.apply(variables, seen),
            (policy(variables), network.apply(variables, seen, method="values")),
            jax.grad(lambda variables: policy(variables).sum())(variables)["params"],
        )

    whole, parts, gradient = jax.device_get(look(jax.random.key(1), seen))
    assert set(gradient) == {
        "actor", "policy_head", "value_head", *(["critic"] if critic else [])
    }  # fmt: skip
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient["value_head"]))


def test_what_networks_see():
    @quick.jit
    def encoded(cells, images, numbers):
        return (
            encode(cells, rl.Discrete(3)),
            encode(images, rl.Box(0, 255, (2, 2, 1), jnp.uint8)),
            encode(numbers, rl.Box(0, 9, (1,), jnp.int32)),
            encode(jnp.ones((1, 2), jnp.bfloat16), rl.Box(0, 1, (2,), jnp.bfloat16)),
        )

    cells, images, numbers, half = jax.device_get(
        encoded(np.int32([2, 0]), np.full((1, 2, 2, 1), 51, np.uint8), np.int32([[3]]))
    )
    np.testing.assert_array_equal(cells, [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(images, 0.2, rtol=1e-6)
    assert numbers.dtype == half.dtype == np.float32
    assert float(numbers[0, 0]) == 3


def test_torsos_fit_observations():
    assert isinstance(rl.make_torso(rl.Box(0, 255, (84, 84, 4), jnp.uint8)), rl.ConvTorso)
    assert isinstance(rl.make_torso(rl.Box(0, 255, (10, 5, 1), jnp.uint8)), rl.MLP)
    torso = rl.make_torso(rl.Box(-1.0, 1.0, (4,)), hidden_sizes=(32, 16), activation="relu")
    assert torso.sizes == (32, 16)


@pytest.mark.usefixtures("unchecked")
def test_frames_too_small_for_the_layers():
    with pytest.raises(ValueError, match="a convolution of 8 by 8 cannot fit into 6 by 9 pixels"):
        rl.ConvTorso().init(jax.random.key(0), np.zeros((1, 6, 9, 1)))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rl.MLP((64, 0)), "size of a layer must be a whole number of units, at least 1"),
        (lambda: rl.ConvTorso(((16, 8, 0),)), "stride of a layer must be a whole number"),
        (lambda: rl.ConvTorso(((16, -1, 4),)), "kernel size of a layer must be a whole number"),
        (lambda: rl.ConvTorso(((16, 8),)), r"is channels, kernel size and stride, got \(16, 8\)"),
        (lambda: rl.ConvTorso(hidden_size=0), "hidden_size must be a whole number of units"),
    ],
)
def test_layers_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()
