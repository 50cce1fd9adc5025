"""Plans on eight CPU devices: numbers that follow from shapes."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
import pytest

from jaxvision import train
from jaxvision.train import planning
from jaxvision.train.planning import planner

DEVICES, ROWS, WIDTH = 8, 64, 256
STATE_BYTES = 4 * WIDTH**2
CHIP = planning.Chip(
    name="small",
    device_kind="none",
    flop_rate=1e9,
    memory_bytes=2.0**30,
    memory_rate=1e6,
    link_rate=1e3,
)


def shape(*sizes: int, dtype: type = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


@dataclasses.dataclass(frozen=True)
class Regression:
    """A step of one matrix product."""

    axis_name: str | None = None
    accumulate_steps: int = 1

    def __call__(self, state, batch):
        def loss(weights):
            return jnp.square(batch["x"] @ weights).sum()

        value, slope = jax.value_and_grad(loss)(state["params"])
        if self.axis_name is not None:
            value, slope = jax.lax.psum((value, slope), self.axis_name)
        return {"params": state["params"] - 1e-3 * slope}, {"loss": (value, 1)}


def plan(strategy="jit", shard=None, chip=None, rows=ROWS):
    step = Regression("data" if strategy == "pmap" else None)
    parallel = train.parallelize(step, train.data_mesh(), strategy, shard)
    state, batch = {"params": shape(WIDTH, WIDTH)}, {"x": shape(rows, WIDTH)}
    return planning.plan(parallel, state, batch, chip=chip), parallel, state, batch


def test_data_parallel() -> None:
    made, *_ = plan()
    batch_bytes = 4 * ROWS * WIDTH / DEVICES
    assert made.devices == DEVICES
    assert made.parts == {"params": STATE_BYTES, "batch": batch_bytes}
    assert made.memory.arguments == STATE_BYTES + batch_bytes
    assert made.memory.shared == STATE_BYTES  # the state is donated
    products = 2 * 2 * (ROWS / DEVICES) * WIDTH**2  # forward, and the gradient of the weights
    assert made.flop == pytest.approx(products, rel=0.2)
    assert [each.kind for each in made.collectives] == ["all-reduce"]
    exchanged = sum(each.bytes for each in made.collectives)
    assert STATE_BYTES <= exchanged <= STATE_BYTES + 64
    assert made.collectives[0].sent == pytest.approx(exchanged * 2 * 7 / 8)
    assert made.fits is None
    assert made.roofline is None


def test_pmap_exchanges_the_same_and_donates_nothing() -> None:
    made, *_ = plan("pmap")
    assert sum(each.bytes for each in made.collectives) == pytest.approx(STATE_BYTES, rel=0.01)
    assert made.memory.shared == 0
    assert made.parts["params"] == STATE_BYTES


def test_fsdp_cuts_the_state() -> None:
    made, *_ = plan(shard=train.fsdp(min_size=1))
    assert made.parts["params"] == STATE_BYTES / DEVICES
    assert made.memory.arguments == (STATE_BYTES + 4 * ROWS * WIDTH) / DEVICES
    assert made.collectives


def test_operations_in_a_scan_count_as_often_as_it_runs() -> None:
    def step(state, batch):
        def body(carry, _):
            return jnp.tanh(carry @ state), None

        return state, {"x": (jax.lax.scan(body, batch, length=12)[0].sum(), 1)}

    parallel = train.parallelize(step, train.data_mesh(jax.devices()[:1]))
    made = planning.plan(parallel, shape(WIDTH, WIDTH), shape(ROWS, WIDTH))
    assert made.open_loops == 0
    assert made.flop == pytest.approx(12 * 2 * ROWS * WIDTH**2, rel=0.1)
    assert made.collectives == ()


def test_roofline_and_whether_it_fits() -> None:
    made, *_ = plan(chip=CHIP)
    roofline = made.roofline
    assert roofline.compute == made.flop / 1e9
    assert roofline.memory == made.traffic / 1e6
    assert roofline.interconnect == made.collectives[0].sent / 1e3
    assert roofline.bound == "interconnect"
    assert roofline.seconds == roofline.interconnect
    assert made.fits
    assert not dataclasses.replace(made, chip=dataclasses.replace(CHIP, memory_bytes=1e5)).fits
    text = planning.report(made)
    assert "fits: small has 1.00 GiB for programs" in text
    assert "bound by interconnect" in text
    assert planning.row("regression", made).startswith("regression ")


def test_changes_where_it_does_not_fit() -> None:
    made, parallel, state, batch = plan(chip=dataclasses.replace(CHIP, memory_bytes=1e6))
    made = dataclasses.replace(
        made, memory=None, needed=STATE_BYTES + 8192 + STATE_BYTES + 1_000_000.0
    )
    assert made.fits is False
    assert made.temporaries == STATE_BYTES + 1_000_000
    by_kind = {
        change.what.partition(" ")[0].strip(":"): change
        for change in planning.advise(parallel, state, batch, made)
    }
    assert [*by_kind] == ["accumulate", "cut", "a", "more", "rematerialize"]
    assert "accumulate_steps=4" in by_kind["accumulate"].what  # 2 would leave 1,032,480 bytes
    assert by_kind["accumulate"].needed == made.needed - 750_000
    assert by_kind["cut"].needed == made.needed - STATE_BYTES * 7 / 8
    assert "24 rows" in by_kind["a"].what
    assert by_kind["a"].needed <= 1e6
    assert "22 or more" in by_kind["more"].what
    text = planning.report(made, planning.advise(parallel, state, batch, made))
    assert "does NOT fit" in text
    assert "--accumulate-steps 4" in text


def test_what_the_compiler_refuses_has_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_, **__):
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
            "temporaries (20.12G) exceeds available HBM (15.75G)."
        )

    monkeypatch.setattr(jax.stages.Lowered, "compile", refuse)
    made, *_ = plan(chip=CHIP)
    assert made.needed == 20.12 * 2**30
    assert made.fits is False
    assert made.roofline is None
    assert "the compiler refused" in planning.report(made)
    assert "refused by the compiler" in planning.row("regression", made)
    assert planner._refused("INTERNAL: something else") is None


def test_a_batch_that_does_not_divide() -> None:
    with pytest.raises(ValueError, match="a batch of 60 rows does not divide over 8 devices"):
        plan(rows=60)


def test_the_state_of_a_step_is_told_by_its_fields() -> None:
    tx = optax.adam(1e-3)

    def loss_fn(params, model_state, batch, key):
        return jnp.square(batch["image"] @ params["w"]).mean(), (model_state, {})

    step = train.make_train_step(loss_fn, tx, ema_decay=0.9)
    params = {"w": shape(32, 32)}
    state = train.TrainState(
        step=shape(dtype=jnp.int32),
        params=params,
        model_state={},
        opt_state=jax.eval_shape(tx.init, params),
        ema_params=params,
        key=jax.eval_shape(lambda: jax.random.key(0)),
    )
    parallel = train.parallelize(step, train.data_mesh(jax.devices()[:2]))
    made = planning.plan(parallel, state, {"image": shape(16, 32)})
    assert made.parts["params"] == made.parts["ema_params"] == 4096
    assert made.parts["opt_state"] == 2 * 4096 + 4
    assert made.parts["batch"] == 4 * 8 * 32
