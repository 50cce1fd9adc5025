"""Numerical against analytic gradients."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_net

from jaxvision import losses, train
from jaxvision.train.gradient_check import GradientReport, LeafReport

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4, 3)).astype(np.float32)
LABELS = np.array([0, 2, 1, 1])


@jax.custom_vjp
def square(x):
    return x**2


def _square_forward(x):
    return x**2, x


def _square_backward(x, gradient):
    """The third entry is wrong."""
    return (jnp.where(jnp.arange(x.size).reshape(x.shape) == 2, 3 * x, 2 * x) * gradient,)


square.defvjp(_square_forward, _square_backward)


def test_convolution_batch_norm_and_dropout() -> None:
    """What `make_train_step` takes is what is checked; float32 is widened on the way."""
    model = small_net.SmallNet(dropout=0.3)
    optimizer = train.create_optimizer("sgd", 0.1)
    batch = small_net.batches(2)[1]
    state = train.init_state(jax.random.key(0), model, optimizer, batch)
    loss_fn = train.classification.make_loss_fn(model, label_smoothing=0.1, l2=1e-3)
    report = train.gradient_check(
        loss_fn, state.params, state.model_state, batch, jax.random.key(1), samples=6
    )
    assert report.passed, report
    assert report.error < 1e-6
    assert {leaf.name for leaf in report.leaves} >= {"stem/kernel", "norm/scale", "head/bias"}
    assert all(leaf.checked + leaf.kinks == 6 for leaf in report.leaves)
    assert sum(leaf.kinks for leaf in report.leaves) <= 2


MASK = jnp.asarray(LABELS)[None]
FOREGROUND = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 255]])
LOSSES = {
    "cross_entropy": lambda p: losses.cross_entropy(p["logits"], jnp.asarray(LABELS)).mean(),
    "focal": lambda p: losses.focal(p["logits"], jnp.asarray(LABELS)).mean(),
    "sigmoid_focal": lambda p: losses.sigmoid_focal(p["logits"], jnp.ones((4, 3))).mean(),
    "weston_watkins_hinge": lambda p: losses.weston_watkins_hinge(
        p["logits"], jnp.asarray(LABELS)
    ).mean(),
    "weston_watkins_squared_hinge": lambda p: losses.weston_watkins_squared_hinge(
        p["logits"], jnp.asarray(LABELS)
    ).mean(),
    "squared_error": lambda p: losses.squared_error(p["logits"], jnp.ones((4, 3))).mean(),
    "l1_regularization": losses.l1_regularization,
    "l2_regularization": losses.l2_regularization,
    "activation_l1": lambda p: losses.activation_l1(p["logits"]).mean(),
    "sparsity_divergence": lambda p: losses.sparsity_divergence(nn.sigmoid(p["logits"]), 0.05),
    "jacobian_norm": lambda p: losses.jacobian_norm(
        lambda x: jnp.tanh(x @ p["logits"]), jnp.ones((2, 4)) / 4
    ).mean(),
    "weighted_mean": lambda p: losses.weighted_mean(
        jnp.sin(p["logits"]).sum(1), jnp.array([1.0, 0.0, 2.0, 0.5])
    ),
    # Of masks: one example of four pixels.
    "tversky": lambda p: losses.tversky(p["logits"][None], MASK, alpha=0.3, beta=0.7).mean(),
    "soft_dice": lambda p: losses.soft_dice(p["logits"][None], MASK, smooth=1.0).mean(),
    "soft_jaccard": lambda p: losses.soft_jaccard(p["logits"][None], MASK).mean(),
    "lovasz_softmax": lambda p: losses.lovasz_softmax(p["logits"][None], MASK).mean(),
    "lovasz_hinge": lambda p: losses.lovasz_hinge(
        p["logits"].T[..., None], jnp.asarray(FOREGROUND)
    ).mean(),
    "pixel_cross_entropy": lambda p: losses.pixel_cross_entropy(
        p["logits"][None], MASK, class_weights=(1.0, 2.0, 0.5), label_smoothing=0.1
    ).mean(),
    "pixel_focal": lambda p: losses.pixel_focal(
        p["logits"].T[..., None], jnp.asarray(FOREGROUND), alpha=(0.3, 0.7)
    ).mean(),
    # Of densities: the four rows are images of three pixels.
    "density_divergence": lambda p: losses.density_divergence(
        p["logits"], jnp.array([[1.0, 0.0, 2.0]]) * jnp.ones((4, 1))
    ).mean(),
    "Sum": lambda p: losses.Sum((losses.pixel_focal, 0.3), (losses.soft_dice, 2))(
        p["logits"][None], MASK, reduce="batch", pixel_weight=jnp.array([[1.0, 2.0, 0.0, 0.5]])
    ),
}


def test_every_loss_is_checked() -> None:
    assert set(LOSSES) == set(losses.__all__) - {
        "MaskLoss",
        "Reduce",
        "adversarial",
        "balanced_weights",
        "is_kernel",
        "reinforcement",
        "variational",
    }


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [0.01, 1.0, 5.0])
def test_losses(name: str, scale: float) -> None:
    report = train.gradient_check(LOSSES[name], {"logits": scale * LOGITS}, samples=12)
    assert report.passed, report
    assert report.error < 1e-6


def test_wrong_gradient_is_found_and_named() -> None:
    def loss_fn(params):
        return square(params["layer"]["w"]).sum() + (params["b"] ** 2).sum()

    params = {"b": jnp.ones(3), "layer": {"w": jnp.full((2, 2), 0.5)}}
    report = train.gradient_check(loss_fn, params)
    assert not report.passed
    by_name = {leaf.name: leaf for leaf in report.leaves}
    wrong = by_name["layer/w"]
    assert wrong.index == (1, 0)
    assert wrong.analytic == pytest.approx(1.5)
    assert wrong.numerical == pytest.approx(1.0)
    assert report.error == wrong.error == pytest.approx(1 / 3)
    assert by_name["b"].error <= report.tolerance
    assert "layer/w" in str(report).splitlines()[2]
    assert "<- wrong at [1, 0]" in str(report).splitlines()[2]


@pytest.mark.parametrize("at", [3e-5, 1e-4, 1e-3, 0.1])
def test_wrong_gradient_near_a_minimum_is_no_kink(at: float) -> None:
    """The loss curves there as fast as it falls."""
    params = {"w": jnp.full(3, at), "v": jnp.ones(2)}
    report = train.gradient_check(lambda p: square(p["w"]).sum() + p["v"].sum(), params)
    assert not report.passed
    assert [leaf.kinks for leaf in report.leaves] == [0, 0]


def test_gradient_of_zero_at_a_minimum_is_right() -> None:
    assert train.gradient_check(lambda p: (p["w"] ** 2).sum(), {"w": jnp.zeros(3)}).passed


def test_missing_gradient_is_found() -> None:
    def loss_fn(params):
        return (jax.lax.stop_gradient(params["w"]) * jnp.array([1.0, 1e-6])).sum()

    report = train.gradient_check(loss_fn, {"w": jnp.ones(2)})
    assert report.error == pytest.approx(1)


@pytest.mark.parametrize("offset", [0.0, 3e-6, -7e-6])
def test_corners_are_left_out(offset: float) -> None:
    params = {"w": jnp.array([offset, 1.0, -1.0, offset])}
    report = train.gradient_check(lambda p: jax.nn.relu(p["w"]).sum(), params)
    assert report.passed
    assert (report.leaves[0].checked, report.leaves[0].kinks) == (2, 2)


def test_corners_alone_are_not_enough() -> None:
    report = train.gradient_check(lambda p: jax.nn.relu(p["w"]).sum(), {"w": jnp.zeros(2)})
    assert not report.passed
    assert "FAIL" in str(report)


@pytest.mark.parametrize(
    "loss_fn",
    [
        lambda w: jnp.where(w < 0, jnp.nan, w).sum(),
        lambda w: jnp.where(w < 0, jnp.inf, w).sum(),
        lambda w: jnp.where(w > 0, jnp.sqrt(w), 0.0).sum(),  # the gradient alone is NaN
        lambda w: jax.lax.stop_gradient(jnp.log(w)).sum(),  # the difference alone is NaN
    ],
    ids=["NaN", "infinite", "NaN gradient", "NaN difference"],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_is_not_finite_fails(loss_fn, at: int) -> None:
    """Wherever it is, and whatever is right beside it."""
    values = np.array([0.3, 0.4, 0.5])
    values[at] = -1.0
    report = train.gradient_check(lambda p: loss_fn(p["w"]) + p["v"].sum(), {"v": 1.0, "w": values})
    assert not report.passed
    assert math.isnan(report.error)
    assert math.isnan(report.leaves[1].error)
    assert "FAIL: largest relative error nan" in str(report)


def test_floats_are_widened_and_nothing_else() -> None:
    seen = {}

    def loss_fn(params, batch, key):
        seen.update({name: value.dtype for name, value in {**params, **batch, "key": key}.items()})
        return params["w"].sum() * batch["x"].sum() + jax.random.uniform(key)

    batch = {
        "x": np.ones(2, np.float32),
        "h": jnp.ones(2, jnp.bfloat16),
        "i": np.array([1], np.int32),
        "u": np.array([1], np.uint8),
        "b": np.array([True]),
    }
    key = jax.random.key(0)
    assert train.gradient_check(loss_fn, {"w": jnp.ones(3, jnp.bfloat16)}, batch, key).passed
    assert seen["key"] == key.dtype
    names = {name: dtype.name for name, dtype in seen.items() if name != "key"}
    assert names == dict.fromkeys("wxh", "float64") | {"i": "int32", "u": "uint8", "b": "bool"}


def test_loss_in_a_narrower_type_cannot_pass() -> None:
    def loss_fn(params):
        return (params["w"].astype(jnp.float32) ** 3).sum()

    assert not train.gradient_check(loss_fn, {"w": jnp.array([0.3, 0.7])}).passed


@pytest.mark.slow
def test_only_so_many_entries_are_compared() -> None:
    params = {"small": jnp.ones(3), "large": jnp.ones((20, 5)), "none": None, "empty": jnp.ones(0)}

    def loss_fn(params):
        return (params["small"] ** 2).sum() + square(params["large"][:1]).sum()

    reports = [train.gradient_check(loss_fn, params, samples=7, seed=seed) for seed in range(30)]
    for report in reports:
        checked = {leaf.name: leaf.checked for leaf in report.leaves}
        assert checked == {"empty": 0, "large": 7, "small": 3}
    # One entry of 100 is wrong: some draws of 7 have it, most do not, and the seed decides.
    found = [not report.passed for report in reports]
    assert 0 < sum(found) < 15
    again = [train.gradient_check(loss_fn, params, samples=7, seed=seed) for seed in range(3)]
    assert again == reports[:3]


def test_float64_does_not_leak() -> None:
    def check(loss_fn):
        return train.gradient_check(loss_fn, {"w": jnp.ones(2)})

    def broken(params):
        raise RuntimeError("broken")

    check(lambda params: params["w"].sum())
    with pytest.raises(RuntimeError, match="broken"):
        check(broken)
    assert not jax.config.jax_enable_x64
    assert jnp.zeros(1).dtype == jnp.float32
    with jax.enable_x64(True):
        check(lambda params: params["w"].sum())
        assert jax.config.jax_enable_x64


def test_report_reads_well() -> None:
    report = GradientReport(
        (
            LeafReport("b", 3, 0, 2.5e-9, (1,), 1.5, 1.5),
            LeafReport("hidden/kernel", 9, 1, 0.5, (3, 12), -2.0, -1.0),
        ),
        tolerance=1e-5,
    )
    assert str(report).splitlines() == [
        "parameter      checked  kinks  largest error  analytic     numerical",
        "b                    3      0        2.5e-09  +1.5000e+00  +1.5000e+00",
        "hidden/kernel        9      1        5.0e-01  -2.0000e+00  -1.0000e+00"
        "  <- wrong at [3, 12]",
        "FAIL: largest relative error 5.0e-01, tolerance 1e-05",
    ]
    short = GradientReport(report.leaves[:1], tolerance=1e-5)
    assert str(short).splitlines() == [
        "parameter  checked  kinks  largest error  analytic     numerical",
        "b                3      0        2.5e-09  +1.5000e+00  +1.5000e+00",
        "pass: largest relative error 2.5e-09, tolerance 1e-05",
    ]


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        ({}, {}, "there are no parameters to check"),
        ({"a": {"w": np.ones(2, int)}}, {}, "parameter a/w has the type int"),
        ({"w": np.ones(2, complex)}, {}, "parameter w has the type complex"),
        ({"w": np.ones(2)}, {"samples": 0}, "must be positive, got 0, 1e-05 and 1e-05"),
        ({"w": np.ones(2)}, {"step_size": -1.0}, "must be positive, got 10, -1.0 and 1e-05"),
        ({"w": np.ones(2)}, {"tolerance": 0.0}, "must be positive, got 10, 1e-05 and 0.0"),
    ],
)
def test_arguments_that_cannot_be(params, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train.gradient_check(lambda params: 0.0, params, **options)
