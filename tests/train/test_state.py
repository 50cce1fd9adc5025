"""The state at step 0."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
import small_net

from jaxvision import data, train

IMAGES = np.zeros((2, 8, 8, 1), np.float32)


def init(sample=IMAGES, *, seed: int = 0, name: str = "momentum") -> train.TrainState:
    optimizer = train.create_optimizer(name, 0.1)
    return train.init_state(jax.random.key(seed), small_net.SmallNet(), optimizer, sample)


def assert_equal(one, other) -> None:
    jax.tree.map(np.testing.assert_array_equal, small_net.numbers(one), small_net.numbers(other))


def test_fields() -> None:
    state = init()
    assert int(state.step) == 0
    assert state.step.dtype == jnp.int32
    assert set(state.params) == {"stem", "norm", "hidden", "head"}
    assert set(state.model_state) == {"batch_stats"}
    assert state.ema_params is None
    optimizer = train.create_optimizer("momentum", 0.1)
    assert_equal(state.opt_state, optimizer.init(state.params))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize(
    "sample",
    [
        IMAGES[:1],
        IMAGES + 7,
        jnp.asarray(IMAGES),
        IMAGES.astype(np.uint8),
        IMAGES.astype(np.float64),
        {"image": IMAGES, "label": np.zeros(2, int), "weight": np.ones(2)},
        {"image": IMAGES.astype(np.uint8)},
    ],
    ids=["one row", "other values", "jax", "uint8", "float64", "batch", "batch of uint8"],
)
def test_only_the_shape_of_the_sample_counts(sample) -> None:
    assert_equal(init(sample), init())


def test_deterministic_in_the_key() -> None:
    one, again, other = init(seed=0), init(seed=0), init(seed=1)
    assert_equal(one, again)
    for name in ("stem", "hidden", "head"):
        assert not np.array_equal(one.params[name]["kernel"], other.params[name]["kernel"])
    assert not np.array_equal(*(jax.random.key_data(state.key) for state in (one, other)))


def test_what_a_run_draws_is_not_what_the_parameters_were_drawn_from() -> None:
    key = jax.random.key(0)
    assert not np.array_equal(jax.random.key_data(init().key), jax.random.key_data(key))


@pytest.mark.parametrize(
    ("sample", "expected"),
    [(jnp.bfloat16, jnp.bfloat16), (jnp.float16, jnp.float16), (jnp.int32, jnp.int32)],
)
def test_the_model_sees_the_type_of_its_input(sample, expected) -> None:
    seen = []

    class Spy(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            seen.append((x.dtype, train))
            return nn.Dense(2)(x)

    optimizer = train.create_optimizer("sgd", 0.1)
    train.init_state(jax.random.key(0), Spy(), optimizer, jnp.zeros((1, 3), sample))
    assert set(seen) == {(jnp.dtype(expected), False)}


@pytest.mark.parametrize("mesh", [False, True])
def test_starting_from_variables(mesh: bool) -> None:
    """The state has them, and what was given stays when a step takes the state over."""
    trained = init(seed=1)
    variables = {"params": trained.params, **trained.model_state}
    before = small_net.numbers(variables)
    optimizer = optax.adam(0.1)
    state = train.init_state(
        jax.random.key(0),
        small_net.SmallNet(),
        optimizer,
        IMAGES,
        variables=variables,
        mesh=train.data_mesh() if mesh else None,
        shard=train.fsdp(min_size=512) if mesh else None,
    )
    assert_equal(state.params, trained.params)
    assert_equal(state.model_state, trained.model_state)
    assert_equal(state.opt_state, optimizer.init(trained.params))
    drawn = init()
    assert_equal(state.key, drawn.key)
    loss_fn = train.classification.make_loss_fn(small_net.SmallNet())
    train.fit(train.make_train_step(loss_fn, optimizer), state, small_net.batches(1), num_steps=1)
    assert_equal(variables, before)


def test_starting_from_variables_of_another_model() -> None:
    trained = init(seed=1)
    params = {**trained.params, "head": {"kernel": jnp.ones((64, 5)), "scale": jnp.ones(5)}}
    with pytest.raises(ValueError, match="not those of the model; models") as error:
        train.init_state(
            jax.random.key(0),
            small_net.SmallNet(),
            optax.sgd(0.1),
            IMAGES,
            variables={"params": params, **trained.model_state},
        )
    lines = str(error.value).splitlines()[1:]
    assert [line.strip() for line in lines] == [
        "params/head/bias: the model has (10,), the variables none",
        "params/head/kernel: the model has (64, 10), the variables (64, 5)",
        "params/head/scale: the model has none, the variables (5,)",
    ]


def test_model_without_parameters() -> None:
    class Pass(nn.Module):
        def __call__(self, x, train=False):
            return x

    optimizer = train.create_optimizer("adam", 0.1)
    state = train.init_state(jax.random.key(0), Pass(), optimizer, IMAGES)
    assert state.params == {}
    assert state.model_state == {}


def test_sample_without_an_image() -> None:
    with pytest.raises(ValueError, match="has no 'image'; it has pixels, label"):
        init({"pixels": IMAGES, "label": np.zeros(2, int)})


@pytest.mark.parametrize("sample", [data.from_arrays({"image": IMAGES}), None, [[0.0]]])
def test_samples_that_are_no_batch(sample) -> None:
    kind = "float" if isinstance(sample, list) else type(sample).__name__
    message = rf"and hold a {kind}; Dataset.sample_batch\(\) gives a batch"
    with pytest.raises(TypeError, match=message):
        init(sample)


@pytest.mark.parametrize("key", [0, np.zeros(2, np.uint32), jnp.zeros(2, jnp.uint32)])
def test_keys_that_are_not_typed(key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users meet our own error
    optimizer = train.create_optimizer("sgd", 0.1)
    with pytest.raises(TypeError, match=r"must be a typed key such as jax.random.key\(0\), got"):
        train.init_state(key, small_net.SmallNet(), optimizer, IMAGES)


def test_evaluation_variables() -> None:
    state = init()
    variables = train.evaluation_variables(state)
    assert variables["params"] is state.params
    assert variables["batch_stats"] is state.model_state["batch_stats"]
    averaged = state.replace(ema_params=jax.tree.map(lambda leaf: leaf + 1, state.params))
    variables = train.evaluation_variables(averaged)
    assert variables["params"] is averaged.ema_params
    logits = small_net.SmallNet().apply(variables, IMAGES, train=False)
    assert logits.shape == (2, 10)
