"""Optimizers against PyTorch's, schedules against their closed forms."""

import json
import math
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvision import models, train

PATH = pathlib.Path(__file__).parent.parent / "fixtures" / "optimizers.json"
TORCH = json.loads(PATH.read_text())
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")

# Optax has AdaGrad's epsilon inside the root, torch outside; both keep a division by 0 away.
TOLERANCES = {"adagrad": 1e-5}


def case_id(case: dict) -> str:
    return "-".join([case["name"], *(f"{name}={value}" for name, value in case["options"].items())])


@pytest.mark.parametrize("case", TORCH["cases"], ids=case_id)
def test_ten_steps_equal_torch(case: dict) -> None:
    options = dict(case["options"])
    rate = TORCH["learning_rate"]
    if options.pop("cosine", False):
        rate = train.create_schedule("cosine", rate, TORCH["num_steps"])
    with jax.enable_x64(True):
        problem = {key: jnp.array(value) for key, value in TORCH["problem"].items()}
        inputs, targets = problem.pop("inputs"), problem.pop("targets")
        params = problem
        optimizer = train.create_optimizer(case["name"], rate, **options)

        def loss_fn(params):
            hidden = jnp.tanh(inputs @ params["w1"] + params["b1"])
            outputs = hidden @ params["w2"] + params["b2"]
            return ((outputs - targets) ** 2).sum(1).mean()

        @jax.jit
        def step(params, opt_state):
            updates, opt_state = optimizer.update(jax.grad(loss_fn)(params), opt_state, params)
            return optax.apply_updates(params, updates), opt_state

        opt_state = optimizer.init(params)
        for _ in range(TORCH["num_steps"]):
            params, opt_state = step(params, opt_state)
    # torch's clipping divides by the norm plus 1e-6.
    tolerance = 1e-5 if "clip_norm" in options else TOLERANCES.get(case["name"], 1e-12)
    for name, expected in case["params"].items():
        np.testing.assert_allclose(params[name], expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 10.0])
def test_clipping_scales_the_global_norm(scale: float) -> None:
    """Longer gradients are cut to the norm, shorter ones (and 0) stay as they are."""
    gradient = {"a": scale * jnp.array([3.0, 0.0]), "b": scale * jnp.array([[4.0]])}  # norm 5
    optimizer = train.create_optimizer("sgd", 1.0, clip_norm=2.5)
    updates, _ = optimizer.update(gradient, optimizer.init(gradient), gradient)
    factor = -min(1.0, 2.5 / (5 * scale)) if scale else -1.0
    for name, leaf in gradient.items():
        np.testing.assert_allclose(updates[name], factor * leaf, rtol=1e-6)


def gradient_of_decay(name: str, params, **options):
    """What one step changes where the loss has no gradient."""
    optimizer = train.create_optimizer(name, 0.5, weight_decay=0.1, **options)

    @jax.jit
    def update(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return optimizer.update(zeros, optimizer.init(params), params)[0]

    return update(params)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_skips_biases_and_norms(name: str) -> None:
    params = {
        "dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
        "norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)},
        "attention": {"kernel": jnp.ones((2, 3, 4)), "bias": jnp.ones((3, 4))},
        "stacked_norm": {"scale": jnp.ones((5, 2))},
    }
    updates = gradient_of_decay(name, params)
    decayed = jax.tree.map(lambda leaf: bool((np.asarray(leaf) != 0).all()), updates)
    assert decayed == {
        "dense": {"kernel": True, "bias": False},
        "norm": {"scale": False, "bias": False},
        "attention": {"kernel": True, "bias": False},
        "stacked_norm": {"scale": False},
    }


@pytest.mark.parametrize("name", ["resnet18", "lenet5"])
def test_decay_of_a_model_is_that_of_its_kernels(name: str) -> None:
    model = models.create_model(name)
    images = jnp.zeros((1, 32, 32, 1 if name == "lenet5" else 3))
    params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    mask = jax.tree_util.tree_leaves_with_path(train.decay_mask(params))
    decayed = {train.path_name(path) for path, decays in mask if decays}
    kernels = {train.path_name(path) for path, _ in mask if path[-1].key == "kernel"}
    assert kernels
    assert decayed == kernels


def test_attention_biases_do_not_decay() -> None:
    layer = nn.MultiHeadDotProductAttention(num_heads=2)
    params = jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 3, 8)))["params"]
    assert params["query"]["bias"].ndim == 2
    for part in train.decay_mask(params).values():
        assert part == {"kernel": True, "bias": False}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_left_out_leaves_have_no_state(name: str) -> None:
    """The trainable part of a partitioned tree has None for frozen leaves."""
    params = {"w": jnp.ones((2, 2)), "frozen": None, "b": jnp.ones(2)}
    updates = gradient_of_decay(name, params, clip_norm=1.0)
    assert updates["frozen"] is None
    assert bool((updates["w"] != 0).all())
    assert not bool(updates["b"].any())


def test_decay_of_adamw_follows_the_schedule() -> None:
    """AdamW multiplies by 1 - rate * decay; under a schedule, by the rate of the step."""
    schedule = train.create_schedule("cosine", 0.5, 4, warmup_steps=2)
    optimizer = train.create_optimizer("adamw", schedule, weight_decay=0.1)
    params = {"kernel": jnp.ones((1, 1))}
    opt_state, expected = optimizer.init(params), 1.0
    for rate in (0.0, 0.25, 0.5, 0.25, 0.0):
        zeros = jax.tree.map(jnp.zeros_like, params)
        updates, opt_state = optimizer.update(zeros, opt_state, params)
        params = optax.apply_updates(params, updates)
        expected *= 1 - 0.1 * rate
        assert params["kernel"].item() == pytest.approx(expected, rel=1e-6)


def test_learning_rate_may_be_traced_by_a_schedule_in_jit() -> None:
    optimizer = train.create_optimizer("sgd", train.create_schedule("step", 1.0, 4))
    params = {"w": jnp.zeros(())}

    def body(carry, _):
        params, opt_state = carry
        updates, opt_state = optimizer.update({"w": jnp.ones(())}, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), updates["w"]

    _, updates = jax.lax.scan(body, (params, optimizer.init(params)), length=5)
    np.testing.assert_allclose(updates, [-1, -1, -0.1, -0.01, -0.01], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("adma", {}, "unknown optimizer 'adma'; did you mean 'adam'?"),
        ("adam", {"beta": 0.9}, "unknown option of adam 'beta'; did you mean 'beta"),
        ("sgd", {"momentum": 0.9}, r"unknown option of sgd 'momentum' \(known: clip_norm, weight"),
        ("adamw", {"decay": 0.1}, r"unknown option of adamw 'decay'; .*'weight_decay'\? \(known: "),
        ("momentum", {"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ("rmsprop", {"decay": -0.1}, r"decay must be in \[0, 1\), got -0.1"),
        ("adam", {"beta2": 1.5}, r"beta2 must be in \[0, 1\), got 1.5"),
        ("adam", {"eps": -1e-8}, "eps must be a number, not negative, got -1e-08"),
        ("sgd", {"weight_decay": -1.0}, "weight_decay must be a number, not negative, got -1.0"),
        ("sgd", {"weight_decay": math.nan}, "weight_decay must be a number, not negative, got nan"),
        ("sgd", {"clip_norm": 0.0}, "clip_norm must be positive, got 0.0; None does not clip"),
        ("sgd", {"learning_rate": -0.1}, "learning_rate must be a number, not negative, got -0.1"),
        (
            "sgd",
            {"learning_rate": math.nan},
            "learning_rate must be a number, not negative, got nan",
        ),
    ],
)
def test_optimizers_that_cannot_be_made(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train.create_optimizer(name, **{"learning_rate": 0.1, **options})


def closed_form(name: str, step: int, num_steps: int, warmup: int) -> float:
    """The rate after a highest one of 0.3, with the default milestones."""
    if step < warmup:
        return 0.3 * step / warmup
    if name == "cosine":
        done = min((step - warmup) / max(num_steps - warmup, 1), 1.0)
        return 0.15 * (1 + math.cos(math.pi * done))
    if name == "step":
        return 0.3 * 0.1 ** sum(step >= round(num_steps * part) for part in (0.5, 0.75))
    return 0.3


@pytest.mark.parametrize("warmup", [0, 1, 7, 24, 32, 40])
@pytest.mark.parametrize("name", ["constant", "cosine", "step"])
def test_schedules_equal_closed_forms(name: str, warmup: int) -> None:
    """At every step, and after the last; milestones at 20 and 30 may lie in the warm-up."""
    schedule = train.create_schedule(name, 0.3, 40, warmup_steps=warmup)
    steps = range(60)
    expected = [closed_form(name, step, 40, warmup) for step in steps]
    got = [float(schedule(step)) for step in steps]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)
    traced = jax.vmap(lambda step: jnp.asarray(schedule(step)))(jnp.arange(60))
    np.testing.assert_allclose(traced, expected, rtol=1e-5, atol=1e-7)


def test_milestones_that_fall_on_one_step_all_count() -> None:
    schedule = train.create_schedule("step", 1.0, 3, milestones=(0.6, 0.7), factor=0.5)
    np.testing.assert_allclose([float(schedule(step)) for step in range(4)], [1, 1, 0.25, 0.25])


def test_run_of_one_step() -> None:
    for name in ("constant", "cosine", "step"):
        assert float(train.create_schedule(name, 0.3, 1)(0)) == pytest.approx(
            0.03 if name == "step" else 0.3
        )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cosin", {}, "unknown schedule 'cosin'; did you mean 'cosine'?"),
        ("cosine", {"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ("cosine", {"warmup_steps": 11}, r"warmup_steps must be in \[0, 10\], got 11"),
        ("cosine", {"warmup_steps": -1}, r"warmup_steps must be in \[0, 10\], got -1"),
        (
            "cosine",
            {"learning_rate": -1.0},
            "learning_rate must be a number, not negative, got -1.0",
        ),
        ("step", {"milestones": (5.0, 7.0)}, r"fractions in \(0, 1\), got \(5.0, 7.0\)"),
        ("step", {"factor": 10.0}, r"factor must be in \[0, 1\], got 10.0"),
    ],
)
def test_schedules_that_cannot_be_made(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train.create_schedule(name, **{"learning_rate": 0.1, "num_steps": 10, **options})
