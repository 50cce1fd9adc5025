import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
from attribution_nets import captum, inputs, net

from jaxvision import explain

KEY = jax.random.key(0)
WEIGHTS = np.array([[1.0], [-2.0], [3.0]], np.float32)


def first_of_sundararajan(x):
    return jax.nn.relu(jax.nn.relu(x[:, :1]) - 1 - jax.nn.relu(x[:, 1:]))


def second_of_sundararajan(x):
    return jax.nn.relu(jax.nn.relu(x[:, :1] - 1) - jax.nn.relu(x[:, 1:]))


def test_equal_functions_are_explained_equally() -> None:
    for f in (first_of_sundararajan, second_of_sundararajan):
        found = quick.jit(lambda x, f=f: explain.integrated_gradients(f, x))(
            np.array([[3.0, 1.0]], np.float32)
        )
        np.testing.assert_allclose(found.map, [[1.5, -0.5]], rtol=1e-6)
        assert found.error[0] < 1e-6


@pytest.mark.parametrize("name", ["conv", pytest.param("smooth", marks=pytest.mark.slow)])
def test_integrated_gradients_equal_captum(name) -> None:
    images, baseline, target = inputs()
    found = quick.jit(
        lambda x, b: explain.integrated_gradients(
            net(name), x, target, baseline=b, steps=2048, max_steps=2048, batch_size=96
        )
    )(images, baseline)
    expected = captum()[f"{name}/integrated_gradients"]
    np.testing.assert_allclose(found.map, expected, atol=2e-3 * np.abs(expected).max())
    assert found.error.max() < 2e-3


def test_steps_are_refined_for_the_rows_that_need_it() -> None:
    def errors(**options):
        x = np.array([[1.0, 1.0], [1.0, 0.0]], np.float32)
        return quick.jit(
            lambda x: (
                explain.integrated_gradients(
                    lambda y: y[:, :1] * y[:, 1:] ** 2 + y[:, :1], x, steps=1, **options
                ).error
            )
        )(x).tolist()

    # The midpoint rule misses 3 t^2 + 1 by 1 / 4 n^2 of 2.
    assert errors(tolerance=0.1) == [0.03125, 0]
    assert errors(tolerance=1e-4, max_steps=3) == [0.03125, 0]
    assert 1e-4 < errors(tolerance=1e-3)[0] < 1e-3


def test_linear_functions_are_explained_exactly() -> None:
    x = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]], np.float32)
    references = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)

    @quick.jit
    def found(x):
        return (
            explain.integrated_gradients(
                lambda y: y @ WEIGHTS + 5, x, baseline=0.5, steps=7, batch_size=5
            ),
            explain.expected_gradients(
                lambda y: y @ WEIGHTS + 5, x, references, key=KEY, samples=21,
                batch_size=5,
            ),
        )  # fmt: skip

    integrated, expected = found(x)
    np.testing.assert_allclose(integrated.map, (x - 0.5) * WEIGHTS[:, 0], rtol=1e-5)
    np.testing.assert_allclose(
        expected.map, (x - references.mean(axis=0)) * WEIGHTS[:, 0], rtol=1e-4, atol=1e-5
    )
    assert max(integrated.error.max(), expected.error.max()) < 1e-5
    spread = np.std((x - references[:, None]) * WEIGHTS[:, 0], axis=0) / np.sqrt(20)
    np.testing.assert_allclose(expected.standard_error, spread, rtol=1e-4)


def test_expected_gradients_average_integrated_gradients() -> None:
    images, baseline, target = inputs()
    references = np.concatenate([baseline, -baseline, images[::-1]])

    @quick.jit
    def found(x, references):
        estimate = explain.expected_gradients(
            net("smooth"), x, references, target, key=KEY, samples=2000, batch_size=600
        )
        exact = jax.lax.map(
            lambda each: (
                explain.integrated_gradients(net("smooth"), x, target, baseline=each, steps=64).map
            ),
            references,
        )
        return estimate, exact.mean(axis=0)

    estimate, exact = found(images, references)
    deviations = (estimate.map - exact) / (estimate.standard_error + 1e-7)
    assert np.abs(deviations).max() < 4
    assert estimate.holds.all()


def test_dtypes_and_empty_batches() -> None:
    def found(x):
        return explain.integrated_gradients(first_of_sundararajan, x, baseline=0)

    half = quick.jit(found)(jnp.asarray([[3.0, 1.0]], "bfloat16"))
    assert half.map.dtype == "float32"
    np.testing.assert_allclose(half.map, [[1.5, -0.5]], rtol=0.02)
    with jax.enable_x64(True):
        double = quick.jit(found)(np.array([[3.0, 1.0]]))
        assert double.map.dtype == "float64"
        np.testing.assert_allclose(double.map, [[1.5, -0.5]], rtol=1e-12)
    assert jax.eval_shape(lambda x: found(x).map, np.ones((0, 2), np.float32)).shape == (0, 2)


def test_rows_with_nan_miss_completeness() -> None:
    found = quick.jit(lambda x: explain.integrated_gradients(first_of_sundararajan, x))(
        np.array([[3.0, np.nan], [3.0, 1.0]], np.float32)
    )
    assert found.holds.tolist() == [False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be from 1 to max_steps = 1024, got 0"),
        ({"steps": 2000}, "got 2000"),
        ({"baseline": np.ones(3)}, r"broadcast to the images' shape \(1, 2\), got .* \(3,\)"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
    ],
)
def test_wrong_options(options, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        explain.integrated_gradients(first_of_sundararajan, np.ones((1, 2), np.float32), **options)


@pytest.mark.parametrize("shape", [(0, 2), (3, 4)])
def test_references_of_another_shape(shape, unchecked) -> None:
    with pytest.raises(ValueError, match=r"at least one image of the shape \(2,\)"):
        explain.expected_gradients(
            first_of_sundararajan,
            np.ones((1, 2), np.float32),
            np.ones(shape, np.float32),
            key=KEY,
        )
