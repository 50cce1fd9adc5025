"""A batch that is the whole problem: placed once, whole on every device, in fused steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import train

PAIRS = {"from": np.arange(7), "distance": np.linspace(0, 1, 7, dtype=np.float32)}


def pull(state, batch):
    """Moves seven points towards distances, which divide over no number of devices but seven."""
    error = state - batch["distance"]
    return state - 0.1 * error, {"loss": ((error**2).sum(), 7.0)}


def fit(num_steps: int, run_dir=None, batch=PAIRS, **options) -> train.FitResult:
    start = jnp.ones(7)
    return train.fit(
        pull, start, train.constant(batch), num_steps=num_steps, run_dir=run_dir, **options
    )


@pytest.mark.parametrize("fuse", [1, 4, None])
def test_every_step_sees_all_of_it(fuse: int | None) -> None:
    assert len(jax.devices()) == 8
    result = fit(10, fuse_steps=fuse)
    expected = PAIRS["distance"] + (1 - PAIRS["distance"]) * 0.9**10
    np.testing.assert_allclose(result.state, expected, rtol=1e-5)
    assert [line["step"] for line in result.history] == list(range(1, 11))


def test_pieces_equal_the_whole_and_another_batch_is_refused(tmp_path) -> None:
    whole = fit(10)
    for end in (3, 10):
        pieces = fit(end, tmp_path, checkpoint_every=2)
    np.testing.assert_array_equal(pieces.state, whole.state)
    other = {**PAIRS, "distance": PAIRS["distance"] + 1}
    with pytest.raises(train.SettingsError, match=r"constant: '.*' in the checkpoint"):
        fit(12, tmp_path, other)


def test_it_is_an_argument_of_the_program_and_placed_once(monkeypatch) -> None:
    """Not a constant in it, which would be compiled anew for each problem."""
    placed = []
    place = train.ParallelStep.place_batch

    def note(self, batch, **options):
        placed.append(batch)
        return place(self, batch, **options)

    monkeypatch.setattr(train.ParallelStep, "place_batch", note)
    fit(10, fuse_steps=1)
    assert len(placed) == 1


def test_a_rule_cuts_it_over_the_devices() -> None:
    batch = {"distance": np.linspace(0, 1, 16, dtype=np.float32)}
    parallel = train.parallelize(pull).with_constant(
        train.constant(batch, shard=train.fsdp(min_size=8))
    )
    placed = parallel.place_batch(batch)["distance"]
    assert placed.sharding.spec == jax.P("data")
    state, _ = parallel(parallel.prepare(jnp.ones(16)), {"distance": placed})
    np.testing.assert_allclose(state, 1 - 0.1 * (1 - batch["distance"]), rtol=1e-6)


def test_a_loss_that_is_not_finite_names_the_batch() -> None:
    broken = {**PAIRS, "distance": np.float32([np.nan] * 7)}
    with pytest.raises(train.NonFiniteLossError, match="numbers in 'distance' that are not finite"):
        fit(4, batch=broken)


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="a constant batch needs an array"):
        train.constant({})
    with pytest.raises(ValueError, match="num_steps has to say when to stop"):
        train.fit(pull, jnp.ones(7), train.constant(PAIRS))
    step = train.parallelize(pull, strategy="pmap")
    with pytest.raises(ValueError, match="pmap cuts every batch over the devices"):
        train.fit(step, jnp.ones(7), train.constant(PAIRS), num_steps=1)
