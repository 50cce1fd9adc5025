"""The loop: what it runs, measures, keeps and refuses."""

import functools
import itertools
import json
import pathlib
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick
import small_net
from small_net import digits

from jaxvision import data, models, train


@functools.cache
def made(seed: int, num_classes: int, **options):
    """A model, numbers to start from, and a step that is compiled once for all tests."""
    model = models.create_model("mlp", num_classes=num_classes, hidden_sizes=(32,), dropout=0.2)
    tx = optax.adam(3e-3)
    state = train.init_state(jax.random.key(seed), model, tx, digits().sample_batch())
    step = train.make_train_step(train.classification.make_loss_fn(model), tx, **options)
    return model, jax.device_get(state.replace(key=None)), train.parallelize(step)


def problem(*, seed: int = 0, num_classes: int = 10, **options):
    model, start, parallel = made(seed, num_classes, **options)
    return model, jax.device_put(start).replace(key=jax.random.key(seed)), parallel


def measured(history: list[dict]) -> list[dict]:
    return [
        {name: value for name, value in line.items() if name != "steps_per_second"}
        for line in history
    ]


def test_learns_and_leaves_a_run_folder(tmp_path: pathlib.Path) -> None:
    model, state, step = problem(ema_decay=0.9)
    result = train.fit(
        step,
        state,
        digits().batches(64),
        num_steps=200,
        evaluate=train.make_eval_fn(train.classification.make_loss_fn(model)),
        eval_data=digits("test"),
        run_dir=tmp_path,
        settings={"seed": 0},
    )
    assert result.step == int(result.state.step) == 200
    assert result.metrics["accuracy"] > 0.9
    assert [line["step"] for line in result.history if line["split"] == "train"] == list(
        range(2, 201, 2)
    )
    assert [line["step"] for line in result.history if line["split"] == "test"] == list(
        range(20, 201, 20)
    )
    assert result.history == train.read_metrics(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        ".lock",
        "settings.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
    }
    content = json.loads((tmp_path / "settings.json").read_text())
    assert content["settings"] == {"seed": 0}
    assert content["models"]["model"]["name"] == "mlp"
    assert content["task"] == "classification"
    assert content["versions"]["jax"] == jax.__version__


def test_evaluation_is_exact() -> None:
    """Padding, uneven last batch and eight devices: the mean over all examples, once each."""
    model, state, step = problem()
    result = train.fit(
        step,
        state,
        digits().batches(64),
        num_steps=5,
        evaluate=train.make_eval_fn(train.classification.make_loss_fn(model)),
        eval_data=digits("test"),
    )
    variables = train.evaluation_variables(result.state)
    logits, labels, _ = train.classification.predict(model, variables, digits("test"))
    assert len(labels) == 359
    assert result.metrics["accuracy"] == np.mean(logits.argmax(1) == labels)


def run_in_pieces(tmp_path: pathlib.Path, ends: list[int], fuse: int | None, **options) -> dict:
    """Runs to each of the ends in turn, with state and data made anew in between."""
    for end in ends:
        model, state, step = problem(ema_decay=0.9, accumulate_steps=2)
        result = train.fit(
            step,
            state,
            digits().batches(80, seed=5, **options),
            num_steps=end,
            evaluate=train.make_eval_fn(train.classification.make_loss_fn(model)),
            eval_data=digits("validation"),
            log_every=5,
            eval_every=15,
            checkpoint_every=7,
            run_dir=tmp_path,
            fuse_steps=fuse,
        )
    return {"history": measured(result.history), "state": small_net.numbers(result.state)}


@pytest.mark.parametrize("fuse", quick.only([1, 4, None], None))
def test_pieces_equal_the_whole(fuse: int | None, tmp_path: pathlib.Path) -> None:
    """The lines of the log too, whose windows the pieces cut through."""
    whole = run_in_pieces(tmp_path / "whole", [40], fuse)
    pieces = run_in_pieces(tmp_path / "pieces", [3, 11, 23, 40], fuse)
    jax.tree.map(np.testing.assert_array_equal, whole["state"], pieces["state"])
    # The end of a piece is logged, evaluated and saved as well.
    ends = {3, 11, 23}
    kept = [line for line in pieces["history"] if line["step"] not in ends]
    assert [line for line in kept if line["split"] == "validation"] == [
        line for line in whole["history"] if line["split"] == "validation"
    ]


def test_goes_on_after_the_end(tmp_path: pathlib.Path) -> None:
    first = run_in_pieces(tmp_path, [20], None)
    again = run_in_pieces(tmp_path, [20], None)
    assert first["history"] == again["history"]
    jax.tree.map(np.testing.assert_array_equal, first["state"], again["state"])


def test_fused_steps_equal_single_ones(tmp_path: pathlib.Path) -> None:
    one, many = (run_in_pieces(tmp_path / str(fuse), [20], fuse) for fuse in (1, 16))
    for a, b in zip(one["history"], many["history"], strict=True):
        assert a.keys() == b.keys()
        np.testing.assert_allclose(a.get("loss", 0), b.get("loss", 0), rtol=1e-5)


def test_agent_without_batches(tmp_path: pathlib.Path) -> None:
    """State of the agent's own, no data, an evaluation of the state alone."""

    def step(state, batch):
        assert batch is None
        key = jax.random.fold_in(state["key"], state["count"])
        reward = jax.random.uniform(key)
        state = state | {"count": state["count"] + 1, "total": state["total"] + reward}
        return state, {"reward": (reward, jnp.ones(()))}

    def fresh():
        return {"count": jnp.int32(0), "total": jnp.zeros(()), "key": jax.random.key(1)}

    def evaluate(state, batch):
        assert batch is None
        return {"return": (float(state["total"]), 1)}

    whole = train.fit(step, fresh(), None, num_steps=30, evaluate=evaluate)
    assert whole.metrics == {"return": float(whole.state["total"])}
    options = {"evaluate": evaluate, "run_dir": tmp_path, "checkpoint_every": 7}
    train.fit(step, fresh(), None, num_steps=11, **options)
    resumed = train.fit(step, fresh(), None, num_steps=30, **options)
    assert resumed.step == 30
    assert float(resumed.state["total"]) == float(whole.state["total"])


def test_two_optimizers(tmp_path: pathlib.Path) -> None:
    """A GAN's step holds two states, whose averages its own `init` prepared."""
    _, one, first = problem(ema_decay=0.5)
    _, two, second = problem(seed=1)
    first, second = first.step, second.step

    def step(state, batch):
        generator, metrics = first(state["generator"], batch)
        discriminator, others = second(state["discriminator"], batch)
        return {"generator": generator, "discriminator": discriminator}, {
            "generator_loss": metrics["loss"],
            "discriminator_loss": others["loss"],
        }

    state = {"generator": first.prepare(one), "discriminator": second.prepare(two)}
    result = train.fit(step, state, digits().batches(64), num_steps=6, run_dir=tmp_path)
    assert int(result.state["generator"].step) == 6
    assert {"generator_loss", "discriminator_loss"} <= result.history[-1].keys()
    restored = train.Checkpointer(tmp_path / "checkpoints").restore(result.state)
    assert restored is not None
    assert int(restored.state["discriminator"].step) == 6


@pytest.mark.parametrize("fuse", [1, 4])
def test_non_finite_loss(fuse: int, tmp_path: pathlib.Path) -> None:
    """Stops at once, names the step, and leaves the last good checkpoint to come back to."""

    def step(state, batch):
        loss = jnp.where(state == 13, jnp.nan, 1.0)
        return state + 1, {"loss": (loss, jnp.ones(()))}

    batches = digits().batches(64)
    with pytest.raises(train.NonFiniteLossError) as caught:
        train.fit(
            step,
            jnp.int32(0),
            batches,
            num_steps=40,
            checkpoint_every=5,
            log_every=10,
            run_dir=tmp_path,
            fuse_steps=fuse,
        )
    assert "loss is nan at step 14" in str(caught.value)
    assert f"the last good checkpoint in {tmp_path} is that of step 10" in str(caught.value)
    assert train.Checkpointer(tmp_path / "checkpoints").latest() == 10


def test_parameters_that_overflow_are_not_saved(tmp_path: pathlib.Path) -> None:
    """A finite loss whose gradient is not: the state is no good to come back to."""

    def step(state, batch):
        return state * 1e30, {"loss": (jnp.zeros(()), jnp.ones(()))}

    with pytest.raises(train.NonFiniteLossError, match="the state is not finite after step 2"):
        train.fit(
            step,
            jnp.ones(3),
            digits().batches(64),
            num_steps=8,
            checkpoint_every=1,
            run_dir=tmp_path,
        )


def test_without_run_dir_the_error_says_so() -> None:
    def step(state, batch):
        return state, {"loss": (jnp.inf, jnp.ones(()))}

    with pytest.raises(train.NonFiniteLossError, match="no checkpoint, because the run has no"):
        train.fit(step, jnp.zeros(()), digits().batches(64), num_steps=3)


def test_other_settings_are_refused(tmp_path: pathlib.Path) -> None:
    _, state, step = problem(ema_decay=0.9)
    train.fit(step, state, digits().batches(64), num_steps=2, run_dir=tmp_path, settings={"a": 1})
    _, state, step = problem(ema_decay=0.8)
    with pytest.raises(train.SettingsError) as caught:
        train.fit(
            step, state, digits().batches(64), num_steps=4, run_dir=tmp_path, settings={"a": 2}
        )
    assert "a: 1 in the checkpoint, 2 now" in str(caught.value)
    assert "ema_decay: 0.9 in the checkpoint, 0.8 now" in str(caught.value)
    assert json.loads((tmp_path / "settings.json").read_text())["settings"] == {"a": 1}


def test_other_data_are_refused(tmp_path: pathlib.Path) -> None:
    _, state, step = problem()
    train.fit(step, state, digits().batches(64), num_steps=2, run_dir=tmp_path)
    with pytest.raises(ValueError, match="batch_size was 64, now 32"):
        train.fit(step, problem()[1], digits().batches(32), num_steps=4, run_dir=tmp_path)


def test_data_that_cannot_be_put_back(tmp_path: pathlib.Path) -> None:
    _, state, step = problem()
    batch = next(digits().batches(64))
    with pytest.warns(UserWarning, match="cannot be continued once it is cut off"):
        train.fit(step, state, itertools.repeat(batch, 4), run_dir=tmp_path)
    with (
        pytest.warns(UserWarning, match="cannot be continued once it is cut off"),
        pytest.raises(ValueError, match="these batches cannot be put back"),
    ):
        train.fit(step, problem()[1], itertools.repeat(batch, 8), run_dir=tmp_path)


def test_a_list_of_batches_goes_on(tmp_path: pathlib.Path) -> None:
    given = list(itertools.islice(digits().batches(64), 6))
    _, state, step = problem()
    train.fit(step, state, given, num_steps=4, run_dir=tmp_path / "cut")
    cut = train.fit(step, problem()[1], given, run_dir=tmp_path / "cut")
    whole = train.fit(step, problem()[1], given, run_dir=tmp_path / "whole")
    assert cut.step == whole.step == 6
    jax.tree.map(
        np.testing.assert_array_equal,
        small_net.numbers(cut.state),
        small_net.numbers(whole.state),
    )


def test_damaged_checkpoint_falls_back(tmp_path: pathlib.Path) -> None:
    whole = run_in_pieces(tmp_path / "whole", [30], None)
    run_in_pieces(tmp_path / "harmed", [28], None)
    newest = tmp_path / "harmed" / "checkpoints" / "000000028"
    largest = max(
        (path for path in newest.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    largest.write_bytes(largest.read_bytes()[:-10])
    with pytest.warns(UserWarning, match="000000028 is damaged"):
        harmed = run_in_pieces(tmp_path / "harmed", [30], None)
    assert harmed["history"] == whole["history"]
    jax.tree.map(np.testing.assert_array_equal, harmed["state"], whole["state"])


def test_data_that_end() -> None:
    _, state, step = problem()
    batches = digits().batches(96, epochs=2)
    result = train.fit(step, state, batches)
    assert result.step == 2 * batches.steps_per_epoch == 28
    result = train.fit(step, problem()[1], digits().batches(96, epochs=1), num_steps=500)
    assert result.step == 14


def test_errors_in_the_data_reach_the_caller() -> None:
    def broken():
        yield next(digits().batches(64))
        raise data.CorruptImageError("cannot decode 7.png")

    _, state, step = problem()
    with pytest.raises(data.CorruptImageError, match=r"7\.png"):
        train.fit(step, state, broken(), num_steps=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batches": None, "num_steps": None}, "num_steps has to say when to stop"),
        ({"num_steps": None}, "num_steps has to say when to stop"),
        ({"eval_data": list}, "eval_data needs evaluate"),
        ({"num_steps": -1}, "num_steps must not be negative, got -1"),
        ({"log_every": 0}, "log_every must be at least 1 step, got 0"),
        ({"fuse_steps": 0}, "fuse_steps must be at least 1, got 0"),
        ({"keep_checkpoints": 0, "run_dir": "x"}, "keep must be at least 1"),
    ],
)
def test_arguments_that_do_not_go_together(options: dict, message: str) -> None:
    _, state, step = problem()
    arguments = {"batches": digits().batches(64), "num_steps": 4} | options
    with pytest.raises(ValueError, match=message):
        train.fit(step, state, **arguments)


def test_a_data_set_is_no_batches(unchecked) -> None:
    _, state, step = problem()
    with pytest.raises(ValueError, match=r"give it dataset.batches\(batch_size\)"):
        train.fit(step, state, digits(), num_steps=2)


def test_labels_outside_the_classes() -> None:
    """Nothing raises in a compiled program; the loss is NaN, and the message finds the reason."""
    _, state, step = problem(num_classes=5)
    message = r"a 'label' outside the classes 0 to 4, such as \d\.$"
    with pytest.raises(train.NonFiniteLossError, match=message):
        train.fit(step, state, digits().batches(64), num_steps=4, fuse_steps=1, log_every=1)


def test_unwritable_run_folder() -> None:
    _, state, step = problem()
    with pytest.raises(train.RunFolderError, match="cannot write to the run folder /proc/run"):
        train.fit(step, state, digits().batches(64), num_steps=2, run_dir="/proc/run")


@pytest.mark.slow
def test_full_disk(tmp_path: pathlib.Path) -> None:
    """One clear error, and the checkpoint before it still restores."""
    code = f"""
        import resource, signal, sys
        import jax, numpy as np
        from jaxvision import train
        def walk(state, batch):
            return state + batch, {{"mean": (state.mean(), 1.0)}}
        def fit(num_steps):
            state = jax.random.normal(jax.random.key(0), (50_000,))
            return train.fit(walk, state, [np.ones(1, np.float32)] * 20, num_steps=num_steps,
                             checkpoint_every=5, run_dir={str(tmp_path / "run")!r})
        fit(5)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            fit(20)
        except train.CheckpointError as error:
            print("caught", error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print("reached", fit(20).step)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert "caught cannot write the checkpoint of step 10" in done.stdout, done.stderr
    assert "the newest good one is of step 5" in done.stdout
    assert "reached 20" in done.stdout, done.stderr


def test_a_bar_where_it_is_asked_for(capfd: pytest.CaptureFixture) -> None:
    _, state, step = problem()
    train.fit(step, state, digits().batches(64), num_steps=3)
    assert "3/3" not in capfd.readouterr().err
    train.fit(step, problem()[1], digits().batches(64), num_steps=3, progress=True)
    assert "3/3" in capfd.readouterr().err
