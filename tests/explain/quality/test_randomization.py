import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import models
from jaxvision._trees import by_path
from jaxvision.explain import quality
from jaxvision.explain.quality.randomization import _by_last_use

KEY = jax.random.key(3)
IMAGES = np.random.default_rng(0).normal(size=(2, 6, 5, 2)).astype(np.float32)


class Net(nn.Module):
    """The names of its layers are not in the order of their use."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), name="stem")(x))
        x = x + nn.Conv(4, (1, 1), name="block")(nn.LayerNorm(name="norm")(x))
        return nn.Dense(3, name="head")(x.mean(axis=(1, 2)))


def init(key):
    return Net().init(key, IMAGES)["params"]


@pytest.fixture(scope="module")
def params():
    return quick.numbers(quick.jit(init)(jax.random.key(1)))


def gradient(params):
    score = lambda x: Net().apply({"params": params}, x)[:, 1].sum()  # noqa: E731
    return jax.grad(score)(IMAGES)


def test_layers_are_found_by_their_use_and_replaced_from_the_head_down(params) -> None:
    found = quick.jit(lambda params: quality.model_randomization(gradient, params, init, key=KEY))(
        params
    )
    assert found.layers == ("head", "block", "norm", "stem")
    fresh = quick.numbers(quick.jit(init)(KEY))
    mixed, explain = dict(params), quick.jit(gradient)
    rank_correlation = quick.jit(quality.rank_correlation)
    structural_similarity = quick.jit(quality.structural_similarity)
    original = explain(params)
    for stage, layer in enumerate(found.layers):
        mixed[layer] = fresh[layer]
        maps = explain(mixed)
        np.testing.assert_allclose(found.maps[stage], maps, rtol=1e-4, atol=1e-6)
        ranks, structure = rank_correlation(original, maps), structural_similarity(original, maps)
        np.testing.assert_allclose(found.rank_correlation[stage], ranks, atol=1e-3)
        np.testing.assert_allclose(found.structural_similarity[stage], structure, atol=1e-3)
    assert (np.asarray(found.rank_correlation[-1]) < 0.9).all()


def test_one_at_a_time_and_layers_by_name(params) -> None:
    found = quick.jit(
        lambda params: quality.model_randomization(
            gradient, params, init, key=KEY, cascading=False, signed=True, layers=["head", "stem"]
        )
    )(params)
    fresh = quick.numbers(quick.jit(init)(KEY))
    explain = quick.jit(gradient)
    for stage, layer in enumerate(["head", "stem"]):
        maps = explain({**params, layer: fresh[layer]})
        np.testing.assert_allclose(found.maps[stage], maps, rtol=1e-4, atol=1e-6)
        expected = quality.rank_correlation(explain(params), maps, signed=True)
        np.testing.assert_allclose(found.rank_correlation[stage], expected, atol=1e-3)


def test_a_map_that_ignores_the_parameters_stays_the_same() -> None:
    def explain(params):
        return IMAGES + 0 * params["edges"].sum()

    found = quality.model_randomization(
        explain,
        {"edges": jnp.ones(3)},
        lambda key: {"edges": jax.random.normal(key, (3,))},
        key=KEY,
    )
    np.testing.assert_allclose(found.rank_correlation, 1, rtol=1e-6)
    np.testing.assert_allclose(found.structural_similarity, 1, rtol=1e-6)


def test_the_order_of_use_is_found_inside_calls_loops_and_casts() -> None:
    params = {"a": jnp.ones(2), "b": jnp.ones(2), "c": jnp.ones(2), "unused": jnp.ones(2)}

    @jax.jit
    def inner(x, weights):
        return jax.nn.relu(x @ jnp.diag(weights))

    def explain(params):
        low = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
        x = inner(jnp.ones((3, 2)), low["c"])
        x = jax.lax.map(lambda row: row * low["a"], x)
        return jax.checkpoint(lambda x: x + low["b"])(x)

    assert _by_last_use(explain, params, [*params]) == ["b", "a", "c"]


@pytest.mark.slow
def test_a_residual_network_from_its_head_down() -> None:
    model = models.create_model("resnet18", num_classes=3, small_images=True)
    images = np.ones((1, 8, 8, 3), np.float32)
    variables = jax.eval_shape(model.init, KEY, images)
    params, state = variables["params"], variables["batch_stats"]
    names = [name.rpartition("/")[0] for name in by_path(params)]

    def logits(params):
        statistics = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), state)
        return model.apply({"params": params, "batch_stats": statistics}, images)

    order = _by_last_use(logits, params, names)
    assert sorted(order) == sorted({*names})
    blocks = [f"stage{stage}_block{block}" for stage in (4, 3, 2, 1) for block in (1, 0)]
    found = [*dict.fromkeys(name.split("/")[0] for name in order)]
    assert found == ["head", *blocks, "stem"]


@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({"head": np.ones(3)}, {}, r"head is \(2,\) in params and \(3,\) from init"),
        ({"tail": np.ones(3)}, {}, r"tail is missing in params and \(3,\) from init"),
        ({}, {"layers": ["heat"]}, "unknown layer 'heat'; did you mean 'head'"),
        ({}, {"layers": []}, "no layer to replace"),
    ],
)
def test_what_cannot_be(changed, options, message) -> None:
    params = {"head": np.ones(2)}
    with pytest.raises(ValueError, match=message):
        quality.model_randomization(
            lambda params: IMAGES, params, lambda key: params | changed, key=KEY, **options
        )
