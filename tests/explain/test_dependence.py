"""What depends on what, held to functions whose inputs are changed one at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from jax import lax

from jaxvision.explain.dependence import Dependence

RANDOM = np.random.default_rng(0)
MATRIX = RANDOM.normal(size=(6, 4)).astype(np.float32)
BAND = (np.abs(np.subtract.outer(np.arange(6), np.arange(6))) < 2).astype(np.float32)
DIMS = ("NWC", "WIO", "NWC")


def conv(x, kernel, stride=1, groups=1, padding="SAME", **more):
    kernel = jnp.asarray(kernel, jnp.float32)
    return lax.conv_general_dilated(
        x[None],
        kernel,
        (stride,),
        padding,
        dimension_numbers=DIMS,
        feature_group_count=groups,
        **more,
    )[0]


def in_a_loop(x):
    """A carry that depends on the input from the second step on, and rows that do not."""

    def body(carry, row):
        place, total = carry
        return (place + 1, total + x[place] * row), total

    return lax.scan(body, (0, jnp.zeros(2)), np.arange(1, 4, dtype=np.float32), reverse=True)


FUNCTIONS = {
    "elementwise": lambda x: jnp.tanh(x) / 2 + jnp.where(x > 0, x, jnp.exp(x)),
    "broadcast": lambda x: x[:, :1] - x.mean(axis=0, keepdims=True),
    "rows": lambda x: lax.dynamic_slice(jnp.pad(x, ((1, 2), (0, 0)))[::-1], (2, 0), (3, 1)),
    "joined": lambda x: jnp.concatenate([x[3:], np.ones((1, 2), np.float32), x[:2] * 2]),
    "split": lambda x: jnp.split(x, 3)[1].T.reshape(-1),
    "stack": lambda x: jnp.stack([x[0], x[4]]) @ np.ones((2, 2), np.float32),
    "gather": lambda x: x[np.array([[5, 0], [2, 2]])],
    "scatter": lambda x: jnp.ones((4, 2)).at[1:3].set(x[:2]).at[0].add(x[5]),
    "dot": lambda x: jnp.einsum("ic,ij->jc", x, MATRIX),
    "masked_dot": lambda x: BAND @ x,
    "masked_factor": lambda x: x.sum(axis=1) * np.array([1, 0, 2, 0, 0, 3], np.float32),
    "masked_choice": lambda x: jnp.where(np.eye(6, 2, dtype=bool), x, 3.0),
    "attention": lambda x: jax.nn.softmax((x[:3] @ x[:3].T)[:, :2]) @ x[3:5],
    "reductions": lambda x: jnp.stack([x[:3].max(), x[3:].min(), x[1:4].prod()]),
    "arguments": lambda x: jnp.argmax(x[2:], axis=0).astype(jnp.float32),
    "cumulative": lambda x: lax.cummax(x[:, 0]) + lax.cumsum(x[:, 1], reverse=True),
    "sort": lambda x: jnp.sort(x[::2], axis=0),
    "conv": lambda x: conv(x, MATRIX.reshape(3, 2, 4), 2, rhs_dilation=(2,)),
    "grouped_conv": lambda x: conv(x, MATRIX[:3].reshape(3, 1, 4), groups=2),
    "transposed_conv": lambda x: conv(
        x[:2], MATRIX.reshape(3, 2, 4), padding=[(1, 2)], lhs_dilation=(2,)
    ),
    "product_of_both": lambda x: conv(x[:4], x[4:].reshape(2, 2, 1)),
    "windows": lambda x: lax.reduce_window(x, -np.inf, lax.max, (2, 1), (2, 1), "VALID"),
    "averages": lambda x: lax.reduce_window(x, 0.0, lax.add, (3, 1), (1, 1), "SAME"),
    "loop": lambda x: in_a_loop(x)[0][1],
    "steps": lambda x: in_a_loop(x)[1],
    "branches": lambda x: lax.cond(x[0, 0] > 0, lambda y: y[1:3], lambda y: y[2:4], x),
    "calls": lambda x: jax.nn.relu(jax.checkpoint(lambda y: jax.jit(jnp.sin)(y[1:]))(x)),
    "nothing": lambda x: jnp.ones(3) + 0 * jnp.zeros_like(x)[0, 0],
}


def expected(f, trials=200):
    """Whether changes of one number of random inputs change the outputs: (outputs, inputs)."""
    x = jnp.asarray(RANDOM.normal(size=(trials, 1, 6, 2)), jnp.float32)
    changes = jnp.asarray(RANDOM.normal(scale=3, size=(trials, 12, 6, 2)), jnp.float32)
    changes = changes * np.eye(12, dtype=np.float32).reshape(12, 6, 2)
    many = jax.vmap(jax.vmap(f))
    return jnp.abs(many(x + changes) - many(x)).max(axis=0).reshape(12, -1).T > 1e-6


@pytest.mark.parametrize(
    "name",
    quick.only(
        FUNCTIONS, "elementwise", "broadcast", "masked_dot", "masked_factor", "conv", "windows",
        "attention", "loop", "branches", "scatter",
    ),
)  # fmt: skip
def test_what_does_not_depend_on_a_number_stays_when_it_changes(name) -> None:
    f = FUNCTIONS[name]
    steps = Dependence(f, (6, 2))

    def both(constants):
        count = int(np.prod(steps.shape))
        masks = jnp.eye(count).reshape(count, *steps.shape)
        found = jax.vmap(lambda mask: steps.inputs_of(constants, mask))(masks)
        return found.reshape(count, -1), expected(f)

    found, truth = quick.jit(both)(steps.constants)
    np.testing.assert_array_equal(found, truth)


def test_nothing_cancels_or_vanishes() -> None:
    """The gradient of these functions is 0: by cancellation, underflow, and weights of 0."""

    def f(x):
        cancelled = conv(
            conv(x, [[[1.0]], [[-1.0]]]) + conv(x, [[[-1.0]], [[1.0]]]), np.ones((1, 1, 1))
        )
        for _ in range(50):
            cancelled = cancelled * 1e-30
        return conv(cancelled, np.zeros((1, 1, 1)))

    assert not jax.grad(lambda x: f(x).sum())(jnp.ones((6, 1))).any()
    steps = Dependence(f, (6, 1))
    outputs = np.zeros((6, 1), np.float32)
    outputs[2] = 1
    found = jax.jit(steps.inputs_of)(steps.constants, outputs)
    assert found[:, 0].tolist() == [0, 0, 1, 1, 0, 0]


def test_several_outputs_at_once_and_half_precision() -> None:
    steps = Dependence(lambda x: jnp.exp(x.astype(jnp.bfloat16))[:, 0] * jnp.bfloat16(2), (3, 2))
    found = jax.jit(steps.inputs_of)(steps.constants, np.array([1, 0, 1], np.float32))
    assert found.tolist() == [[1, 0], [0, 0], [1, 0]]


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x[jnp.argmax(x)], "indices of .dynamic_slice. depend on the input"),
        (lambda x: lax.while_loop(lambda y: y.sum() < 9, lambda y: y + 1, x), "'while'"),
        (lambda x: jnp.fft.fft(x).real, "'fft'"),
    ],
)
def test_what_is_not_known_is_said(f, message) -> None:
    steps = Dependence(f, (4,))
    with pytest.raises(NotImplementedError, match=message):
        jax.eval_shape(steps.inputs_of, steps.constants, jnp.ones(steps.shape))


def test_one_array_is_returned() -> None:
    with pytest.raises(ValueError, match="one array, got dict"):
        Dependence(lambda x: {"a": x}, (4,))
