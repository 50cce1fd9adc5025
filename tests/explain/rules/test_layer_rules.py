"""Rules of layers: closed forms, and the maps of zennit and captum."""

import pathlib
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from make_relevance import TARGET, draw, draw_images
from relevance_networks import RULES, SUMS, numbers, plain, residual
from safetensors.numpy import save_file

from jaxvision import models
from jaxvision.explain import excitation_backprop, lrp
from jaxvision.explain.rules import AlphaBeta, Composite, Epsilon, Gamma, ZPlus

MAPS = np.load(pathlib.Path(__file__).parents[2] / "fixtures" / "relevance.npz")
QUICK = ("epsilon", "gamma", "alpha2_beta1", "first_z_box")
SLOW = {*RULES} - {*QUICK}


def relevance_of(f, images, rules):
    """The relevance by several rules, in one program of float64."""
    with jax.enable_x64(True):
        found = quick.jit(lambda x: {k: lrp(f, x, TARGET, rule=rule) for k, rule in rules.items()})(
            images
        )
    return {name: numbers(relevance) for name, relevance in found.items()}


def check(found, expected, rtol=1e-4):
    assert found.error.max() < 1e-9
    np.testing.assert_allclose(found.map, expected, atol=rtol * np.abs(expected).max())


def test_closed_forms():
    """The network of 3, 3 and 1 units of captum's tests."""
    x = np.array([[1.0, 2.0, 3.0]], np.float32)
    first, last = np.full((3, 3), 2, np.float32), np.full((3, 1), 3, np.float32)
    other = first.copy()
    other[0, 0] = -2

    def net(kernel):
        return lambda x: jax.nn.relu(x @ kernel) @ last

    @quick.jit
    def explain(x):
        return (
            lrp(net(first), x).map,
            lrp(net(other), x, rule=Composite(Gamma(0.25), at={0: Gamma(1.0)})).map,
            lrp(net(other), x, rule=AlphaBeta(1.0, 0.0)).map,
            lrp(lambda x: x @ np.full((2, 2), 5, np.float32) + x, x[:, 1:], 1).map,
        )

    simple, gamma, alpha_beta, skip = jax.device_get(explain(x))
    np.testing.assert_allclose(simple, [[18, 36, 54]], rtol=1e-5)
    np.testing.assert_allclose(gamma, [[28 / 3, 104 / 3, 52]], rtol=1e-5)
    np.testing.assert_allclose(alpha_beta, [[12, 33.6, 50.4]], rtol=1e-5)
    np.testing.assert_allclose(skip, [[10, 18]], rtol=1e-5)


@pytest.mark.parametrize("rules", [QUICK, pytest.param(sorted(SLOW), marks=pytest.mark.slow)])
def test_equal_to_zennit(rules):
    found = relevance_of(plain, draw_images(9), {name: RULES[name] for name in rules})
    for name in rules:
        check(found[name], MAPS[f"zennit plain {name}"])


@pytest.mark.slow
def test_equal_to_zennit_on_a_residual_network():
    names = ("epsilon", "gamma", "epsilon_plus_flat")
    found = relevance_of(residual, draw_images(9), {name: RULES[name] for name in names})
    for name in names:
        check(found[name], MAPS[f"zennit residual {name}"])


def test_excitation_backprop_is_that_of_zennit():
    with jax.enable_x64(True):
        found = quick.jit(lambda x: excitation_backprop(plain, x, TARGET))(draw_images(9))
    found = numbers(found)
    check(found, MAPS["zennit plain excitation"])
    total = found.map.sum((1, 2, 3)) + found.biases + found.stabilizers
    np.testing.assert_allclose(total, 1)


@pytest.mark.slow
def test_equal_to_captum_where_that_is_right():
    """It is on positive images, and without biases but for epsilon."""
    images = draw_images(9, positive=True)
    pools = Epsilon(1e-9)
    by_epsilon = Composite(pools, convolutions=Epsilon(), dense=Epsilon())
    found = relevance_of(partial(plain, norm=False), images, {"epsilon": by_epsilon})
    check(found["epsilon"], MAPS["captum positive epsilon"])
    rules = {
        "gamma": replace(by_epsilon, first=Gamma(stabilizer=1e-9)),
        "z_plus": replace(by_epsilon, first=ZPlus(stabilizer=1e-9)),
    }
    found = relevance_of(partial(plain, norm=False, bias=False), images, rules)
    for name in rules:
        check(found[name], MAPS[f"captum positive {name}"])


@pytest.mark.release
@pytest.mark.parametrize(
    ("name", "options"), [("resnet18", {}), ("vgg11", {"hidden_sizes": (32, 16)})]
)
def test_equal_to_zennit_on_torchvision_models(name, options, tmp_path):
    state = {}
    for line in MAPS[f"{name} state"]:
        key, *shape = str(line).split()
        is_count = key.endswith("num_batches_tracked")
        state[key] = (
            np.array(0) if is_count else draw(key, tuple(map(int, shape))).astype(np.float32)
        )
    save_file(state, tmp_path / "weights.safetensors")
    model = models.create_model(name, num_classes=10, **options)
    variables = models.load_weights(model, tmp_path / "weights.safetensors")
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    rules = {key: RULES[key] for key in ("epsilon", "epsilon_plus_flat", "epsilon_gamma_box")}
    found = relevance_of(partial(model.apply, variables), draw_images(32), rules)
    for key in rules:
        expected = MAPS[f"zennit {name} {key}"]
        assert found[key].error.max() < 1e-9
        np.testing.assert_allclose(
            found[key].map.sum(-1), expected, atol=1e-4 * np.abs(expected).max()
        )


@pytest.mark.parametrize("rule", [Gamma(), pytest.param(AlphaBeta(), marks=pytest.mark.slow)])
def test_a_folded_normalization_is_one_layer(rule):
    """Explanations do not depend on whether a normalization was folded beforehand."""
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=(2, 5)), random.normal(size=(5, 4))
    scale, shift = random.normal(size=4), random.normal(size=4)
    out = random.normal(size=(4, 3))
    x, kernel, scale, shift, out = (a.astype(np.float32) for a in (x, kernel, scale, shift, out))

    def apart(x):
        return jax.nn.relu(-((x @ kernel - shift) * scale / 2 + shift)) @ out

    def folded(x):
        return jax.nn.relu(x @ (kernel * -scale / 2) + shift * scale / 2 - shift) @ out

    found = quick.jit(lambda x: [lrp(f, x, 0, rule=rule) for f in (apart, folded)])(x)
    first, second = map(numbers, found)
    np.testing.assert_allclose(first.map, second.map, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(first.biases, second.biases, rtol=1e-3, atol=1e-4)


def test_alpha_beta_absorbs_what_rounding_hides():
    """Without negative summands, -beta times the relevance has nothing to be shared by."""
    random = np.random.default_rng(0)
    x, kernel = (random.uniform(0.1, 1, shape).astype(np.float32) for shape in ((2, 300), (300, 3)))
    bias = np.float32([30.3, 0.7, 3.1])
    found = numbers(
        quick.jit(lambda x: lrp(lambda x: x @ kernel + bias, x, 0, rule=AlphaBeta()))(x)
    )
    summands = x.astype(np.float64) * kernel[:, 0]
    outputs = summands.sum(1) + bias[0]
    np.testing.assert_allclose(found.map, 2 * summands, rtol=1e-5)
    np.testing.assert_allclose(found.biases, 2 * bias[:1].repeat(2), rtol=1e-5)
    np.testing.assert_allclose(found.stabilizers, -outputs, rtol=1e-5)


@pytest.mark.slow
def test_gamma_goes_from_epsilon_to_z_plus():
    images = draw_images(9)
    rules = {"0": Gamma(0.0), "epsilon": Epsilon(), "large": Gamma(1e7), "z_plus": ZPlus()}
    rules = {key: Composite(SUMS, at={0: rule}) for key, rule in rules.items()}
    found = relevance_of(plain, images, rules)
    check(found["0"], found["epsilon"].map)
    # Where an output is negative, gamma favors negative summands, and z+ positive ones; a ReLU
    # has given such outputs no relevance here.
    check(found["large"], found["z_plus"].map)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AlphaBeta(2.0, 0.0), "alpha - beta must be 1 and beta 0 or more, got alpha=2"),
        (lambda: AlphaBeta(0.5, -0.5), "got alpha=0.5 and beta=-0.5"),
        (
            lambda: lrp(lambda x: x @ jnp.ones((2, 2)), jnp.ones((1, 2)),
                        rule=Composite(SUMS, named={"stem": SUMS})),
            r"no layer has a name with 'stem'; the names are \[''\]",
        ),
        (
            lambda: lrp(lambda x: x @ jnp.ones((2, 2)), jnp.ones((1, 2)),
                        rule=Composite(SUMS, at={1: SUMS})),
            "there is no layer 1: the function has 1 layers",
        ),
    ],
)  # fmt: skip
def test_rules_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("rule", [ZPlus(), Gamma()], ids=lambda it: type(it).__name__)
def test_what_a_rule_needs_of_a_layer_is_not_kept_for_all_layers(rule):
    """XLA would compute it on the way forward; here it would be as large as all activations."""
    kernels = np.random.default_rng(0).standard_normal((8, 3, 3, 8, 8)).astype(np.float32) / 8

    convolve = partial(
        jax.lax.conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )

    def net(x):
        for kernel in kernels:
            x = jax.nn.relu(convolve(x, kernel))
        return x.mean(axis=(1, 2))

    def size(rule):
        of_rule = jax.jit(lambda x: lrp(net, x, 0, rule=rule).map)
        program = of_rule.lower(jnp.zeros((2, 32, 32, 8))).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert size(rule) < 1.3 * size(Epsilon())
