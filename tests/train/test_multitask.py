"""Several tasks on one backbone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvision import losses, metrics, models, train
from jaxvision.train import multitask

HEADS = {"kind": 3, "place": 2}
TASKS = {
    "kind": multitask.Task("label", "classification"),
    "place": multitask.Task("place", "regression"),
}


def make_batch(rows=16, seed=0):
    random = np.random.default_rng(seed)
    return {
        "image": random.normal(size=(rows, 4, 4, 1)).astype(np.float32),
        "label": random.integers(0, 3, rows),
        "place": random.normal(size=(rows, 2)).astype(np.float32),
        "weight": (random.random(rows) < 0.8).astype(np.float32),
    }


def make_model(**options):
    backbone = models.create_model("mlp", hidden_sizes=(8,))
    return models.MultiHead(backbone=backbone, heads=HEADS, **options)


def start(model, batch, optimizer=None):
    return train.init_state(jax.random.key(0), model, optimizer or optax.sgd(0.1), batch)


def evaluate(loss_fn, params, batch):
    (loss, (_, measured)), gradient = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(
        params, {}, batch, jax.random.key(0)
    )
    return float(loss), metrics.compute(measured), gradient


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.3, 2.0), (0.0, 1.0)])
def test_fixed_weights_add_the_losses_of_single_tasks(weights):
    """The classifier's is that of `train.classification` with the same parameters."""
    batch, model = make_batch(), make_model()
    state = start(model, batch)
    tasks = {
        "kind": multitask.Task("label", "classification", weight=weights[0]),
        "place": multitask.Task("place", "regression", weight=weights[1]),
    }
    loss, measured, gradient = evaluate(multitask.make_loss_fn(model, tasks), state.params, batch)

    single = models.create_model("mlp", hidden_sizes=(8,), num_classes=3)
    alone = train.classification.make_loss_fn(single)

    def both(params):
        backbone = params["backbone"]
        kind, (_, seen) = alone(
            {**backbone, "head": params["head_kind"]}, {}, batch, jax.random.key(0)
        )
        vector = single.apply({"params": backbone}, batch["image"], method="embed")
        head = params["head_place"]
        squares = (vector @ head["kernel"] + head["bias"] - batch["place"]) ** 2
        place = losses.weighted_mean(squares.mean(axis=1), jnp.asarray(batch["weight"]))
        return weights[0] * kind + weights[1] * place, (kind, place, seen["accuracy"])

    both = jax.jit(jax.value_and_grad(both, has_aux=True))
    (expected, parts), expected_gradient = both(state.params)
    assert loss == pytest.approx(float(expected), rel=1e-6)
    assert measured["kind_loss"] == pytest.approx(float(parts[0]), rel=1e-6)
    assert measured["place_loss"] == pytest.approx(float(parts[1]), rel=1e-6)
    assert measured["kind_accuracy"] == pytest.approx(metrics.compute({"a": parts[2]})["a"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        gradient,
        expected_gradient,
    )


def test_log_variances_find_their_closed_form():
    """With all else frozen, the best variance is twice the cross-entropy, and the squared error."""
    batch, model = make_batch(), make_model(learned_weights=True)
    optimizer = optax.sgd(0.5)
    loss_fn = multitask.make_loss_fn(model, TASKS)
    step = train.make_train_step(loss_fn, optimizer, trainable=["head_weights"])
    state = step.prepare(start(model, batch, optimizer))
    compiled = jax.jit(step)
    for _ in range(200):
        state, measured = compiled(state, batch)
    measured = metrics.compute(measured)
    learned = state.params["head_weights"]
    assert float(learned["kind"]) == pytest.approx(np.log(2 * measured["kind_loss"]), abs=1e-4)
    assert float(learned["place"]) == pytest.approx(np.log(measured["place_loss"]), abs=1e-4)
    assert measured["kind_log_variance"] == pytest.approx(float(learned["kind"]), abs=1e-4)
    by_hand = sum(0.5 + float(value) / 2 for value in learned.values())
    assert measured["loss"] == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize("learned_weights", [False, True])
def test_rows_without_a_target_add_nothing(learned_weights):
    """Nor does what stands in its place, be it no class or no number."""
    batch, model = make_batch(), make_model(learned_weights=learned_weights)
    has_kind, has_place = np.arange(16) % 2, (np.arange(16) % 3 > 0).astype(np.int32)
    tasks = {
        "kind": multitask.Task("label", "classification", present="has_kind"),
        "place": multitask.Task("place", "regression", present="has_place"),
    }
    batch |= {"has_kind": has_kind, "has_place": has_place}
    batch["label"] = np.where(has_kind, batch["label"], -1)
    batch["place"] = np.where(has_place[:, None], batch["place"], np.nan)
    params = start(model, batch).params
    loss_fn = multitask.make_loss_fn(model, tasks)
    loss, measured, gradient = evaluate(loss_fn, params, batch)

    outputs = jax.device_get(jax.jit(model.apply)({"params": params}, batch["image"]))
    weight = batch["weight"]
    by_hand = 0.0
    for row in range(16):
        if has_kind[row]:
            logits = np.asarray(outputs["kind"][row], np.float64)
            by_hand += weight[row] * (np.log(np.exp(logits).sum()) - logits[batch["label"][row]])
        if has_place[row]:
            error = ((outputs["place"][row] - batch["place"][row]) ** 2).mean()
            by_hand += weight[row] * float(error) * (0.5 if learned_weights else 1.0)
    assert loss == pytest.approx(by_hand / weight.sum(), rel=1e-5)
    assert measured["kind_accuracy"] == pytest.approx(
        np.average(np.argmax(outputs["kind"], 1) == batch["label"], weights=weight * has_kind)
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("learned_weights", [False, True])
def test_parts_of_a_batch_are_the_whole(learned_weights):
    batch, model = make_batch(32), make_model(learned_weights=learned_weights)
    batch["has_kind"] = (np.arange(32) < 11).astype(np.float32)
    tasks = {**TASKS, "kind": multitask.Task("label", "classification", present="has_kind")}
    loss_fn = multitask.make_loss_fn(model, tasks)
    results = []
    for parts in (1, 4):
        step = train.make_train_step(loss_fn, optax.sgd(0.1), accumulate_steps=parts)
        results.append(jax.jit(step)(start(model, batch), batch))
    (whole, whole_metrics), (cut, cut_metrics) = results
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        whole.params,
        cut.params,
    )
    for name in ("loss", "kind_loss", "kind_accuracy", "place_absolute_error"):
        assert metrics.compute(cut_metrics)[name] == pytest.approx(
            metrics.compute(whole_metrics)[name], rel=1e-5
        )


def test_a_run_is_restored_and_evaluates_alike(tmp_path):
    batch, model = make_batch(), make_model(learned_weights=True)
    batch["place"] = batch["place"][:, :1]
    model = models.MultiHead(
        backbone=model.backbone, heads={"kind": 3, "place": 1}, learned_weights=True
    )
    batch["place"] = batch["place"][:, 0]  # one number per row needs no axis
    loss_fn = multitask.make_loss_fn(model, TASKS, inputs=train.Inputs((0.5,), (2.0,)))
    optimizer = optax.adam(1e-2)
    result = train.fit(
        train.make_train_step(loss_fn, optimizer, ema_decay=0.9),
        start(model, batch, optimizer),
        [batch] * 20,
        num_steps=20,
        evaluate=train.make_eval_fn(loss_fn),
        eval_data=[batch],
        run_dir=tmp_path / "run",
    )
    assert result.history[0]["loss"] > result.metrics["loss"]
    run = train.open_run(tmp_path / "run")
    again, variables = run.model(), run.variables()
    assert again == model
    assert run.record.step["loss"]["tasks"]["place"]["kind"] == "regression"

    @jax.jit
    def measure(variables, images):
        given = again.apply(variables, (images - 0.5) / 2.0, method="with_log_variances")
        return loss_fn.measure(*given, batch)[0]

    loss = measure(variables, batch["image"])
    assert float(loss) == pytest.approx(result.metrics["loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("tasks", "options", "message"),
    [
        ({"kind": TASKS["kind"]}, {}, "has heads for kind, place; the tasks are kind"),
        (
            {**TASKS, "kind": multitask.Task("label", "classification", weight=2.0)},
            {"learned_weights": True},
            "the weight of kind is given, and the model learns weights",
        ),
    ],
)
def test_tasks_that_do_not_go_with_the_heads(tasks, options, message):
    with pytest.raises(ValueError, match=message):
        multitask.make_loss_fn(make_model(**options), tasks)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("kind", "weight", "message"),
    [
        ("ranking", 1.0, "unknown kind 'ranking' .known: classification, regression"),
        ("regression", -1.0, "weight must not be negative, got -1"),
        ("regression", float("nan"), "weight must not be negative, got nan"),
    ],
)
def test_tasks_that_cannot_be(kind, weight, message):
    with pytest.raises(ValueError, match=message):
        multitask.Task("place", kind, weight=weight)
