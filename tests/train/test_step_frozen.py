"""Parameters that do not train."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick
import small_net
from bare_step import BATCH, assert_close, assert_equal, distance, make

from jaxvision import train


def frozen_net(name: str = "adamw", **options) -> tuple[train.TrainState, train.TrainStep]:
    optimizer = train.create_optimizer(name, 0.1, weight_decay=0.5, clip_norm=1.0)
    model = small_net.SmallNet()
    state = train.init_state(jax.random.key(0), model, optimizer, np.zeros((1, 8, 8, 1)))
    loss_fn = train.classification.make_loss_fn(model)
    step = train.make_train_step(loss_fn, optimizer, ema_decay=0.9, **options)
    return step.prepare(state), step


@pytest.mark.parametrize("name", ["adamw", "momentum"])
def test_frozen_parameters_stay_bit_for_bit(name: str) -> None:
    """Neither the gradient, decay nor the average moves them; they have no optimizer state."""
    before, step = frozen_net(name, trainable=["head", "hidden/bias"])
    state, compiled = before, jax.jit(step)
    for batch in small_net.batches(5):
        state, _ = compiled(state, batch)
    for frozen in ("stem", "norm"):
        assert_equal(state.params[frozen], before.params[frozen])
        assert_equal(state.ema_params[frozen], before.params[frozen])
    assert_equal(state.params["hidden"]["kernel"], before.params["hidden"]["kernel"])
    for module, leaf in (("head", "kernel"), ("head", "bias"), ("hidden", "bias")):
        assert not np.array_equal(state.params[module][leaf], before.params[module][leaf])
    paths = [
        train.path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(state.opt_state)
    ]
    moments = [path for path in paths if path.endswith(("kernel", "bias", "scale"))]
    ends = ("head/kernel", "head/bias", "hidden/bias")
    assert moments
    assert len(moments) % len(ends) == 0
    assert all(path.endswith(ends) for path in moments)


def test_frozen_parameters_have_no_gradient() -> None:
    seen = []

    def update(updates, state, params=None):
        seen.append((jax.tree.structure(updates), jax.tree.structure(params)))
        return updates, state

    spy = optax.GradientTransformation(lambda params: (), update)
    params = {"w": jnp.ones(2), "v": jnp.ones(3)}
    state, step = make(distance, spy, params, trainable=["w"])
    step(state, BATCH)
    assert seen == [(jax.tree.structure({"w": 0, "v": None}),) * 2]


def test_integer_parameters_may_be_frozen() -> None:
    params = {"w": jnp.ones(2), "table": jnp.arange(3)}
    state, step = make(distance, optax.adam(0.1), params, trainable=["w"])
    after, _ = step(state, BATCH)
    assert_equal(after.params["table"], params["table"])


def test_training_some_is_training_all_with_the_others_held() -> None:
    """The gradient of what trains does not depend on what is frozen (but for BatchNorm's mode)."""
    held = train.create_optimizer("momentum", 0.1)
    batch = small_net.batches(1)[0]
    state, step = frozen_net("momentum", trainable=["head", "norm"])
    loss_fn = step.loss_fn
    parts = []
    for trainable in (["head", "norm"], None):
        one = train.make_train_step(loss_fn, held, trainable=trainable)
        ready = one.prepare(state.replace(opt_state=held.init(state.params), ema_params=None))
        parts.append(jax.jit(one)(ready, batch)[0].params["head"])
    assert_close(*parts, 1e-7)


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        (["head", "haed"], "unknown pattern 'haed'; did you mean 'head'?"),
        (["hidden/kernal"], "did you mean 'hidden/kernel'?"),
        ("head", r"trainable must be a sequence of strings; write \['head'\]"),
        ([], "trainable is empty, so that nothing would learn; None trains all"),
    ],
)
def test_patterns_that_are_no_use(trainable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frozen_net(trainable=trainable)


def test_frozen_takes_from_what_is_trainable() -> None:
    batch = small_net.batches(1)[0]
    one, by_frozen = frozen_net(trainable=["head", "hidden"], frozen=["hidden/bias", "stem"])
    other, by_trainable = frozen_net(trainable=["head", "hidden/kernel"])
    assert_equal(jax.jit(by_frozen)(one, batch), jax.jit(by_trainable)(other, batch))
    assert by_frozen.describe()["frozen"] == ["hidden/bias", "stem"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frozen": ["setm"]}, "unknown pattern 'setm'; did you mean 'stem'?"),
        ({"frozen": "stem"}, r"frozen must be a sequence of strings; write \['stem'\]"),
        ({"frozen": [".*"]}, "nothing would learn: .* leaves none of trainable=all"),
        ({"frozen": ["head"], "trainable": ["head/bias"]}, "leaves none of trainable=.'head/bias'"),
    ],
)
def test_frozen_parameters_that_are_no_use(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frozen_net(**options)


class ToldWhenCalled(nn.Module):
    """A BatchNorm that learns of training when it is called, by position or by name."""

    by_name: bool

    @nn.compact
    def __call__(self, x, train=False):
        norm = nn.BatchNorm(name="norm")
        x = norm(x, use_running_average=not train) if self.by_name else norm(x, not train)
        return nn.Dense(10, name="head")(x.mean((1, 2)))


@pytest.mark.parametrize(
    "model",
    [small_net.SmallNet(), ToldWhenCalled(by_name=True), ToldWhenCalled(by_name=False)],
    ids=["made", "named", "placed"],
)
@pytest.mark.parametrize(
    ("trainable", "frozen"), [(["head"], True), (["head", "norm/bias"], False), (None, False)]
)
def test_a_frozen_batch_norm_is_in_inference_mode(model, trainable, frozen: bool) -> None:
    """It normalizes by what it has learnt, and learns no more; one that trains in part does."""
    batch, tx = small_net.batches(1)[0], optax.sgd(0.1)
    state = train.init_state(jax.random.key(0), model, tx, batch["image"][:1])
    loss_fn = train.classification.make_loss_fn(model)
    step = train.make_train_step(loss_fn, tx, trainable=trainable, accumulate_steps=2)
    state = step.prepare(state)
    after, metrics = quick.jit(step)(state, batch)
    expected = quick.jit(train.make_eval_fn(train.classification.make_loss_fn(model)))(state, batch)
    same = float(metrics["loss"][0]) == pytest.approx(float(expected["loss"][0]), rel=1e-5)
    moved = not np.array_equal(
        after.model_state["batch_stats"]["norm"]["mean"],
        state.model_state["batch_stats"]["norm"]["mean"],
    )
    assert (same, moved) == (frozen, not frozen)
    # What was intercepted in one step is not in the next application of the model.
    _, updates = quick.jit(
        lambda variables, key: model.apply(
            variables, batch["image"], train=True, mutable=["batch_stats"], rngs={"dropout": key}
        )
    )({"params": state.params, **state.model_state}, jax.random.key(0))
    assert np.any(updates["batch_stats"]["norm"]["mean"])
