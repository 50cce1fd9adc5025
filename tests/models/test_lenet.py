import functools

import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models
from jaxvision.models import lenet


def draw(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def convolve(x, layer):
    """Convolves by 5x5 kernels without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(1, 2))
    return np.einsum("bhwcij,ijcf->bhwf", windows, layer["kernel"]) + layer["bias"]


def halve(x, reduce):
    batch, height, width, channels = x.shape
    return reduce(x.reshape(batch, height // 2, 2, width // 2, 2, channels), axis=(2, 4))


@pytest.mark.parametrize(("original", "count"), [(False, 61_706), (True, 60_850)])
def test_parameters(original, count):
    model = models.create_model("lenet5", original=original)
    assert shapes_of(model, 32, 32, 1).num_parameters == count


def test_parameters_of_each_layer_of_the_paper():
    model = models.create_model("lenet5", original=True)
    params = shapes_of(model, 32, 32, 1).variables["params"]
    counts = {name: sum(p.size for p in jax.tree.leaves(p)) for name, p in params.items()}
    head = counts.pop("head")
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert head == 850
    assert {k: v.shape for k, v in params["c3"].items()} == {"kernel": (5, 5, 60), "bias": (16,)}


@pytest.mark.parametrize("original", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (28, 28), (33, 47), (16, 16), (17, 40)])
def test_sizes(size, original):
    traced = shapes_of(models.create_model("lenet5", original=original), *size, 1)
    halves = [(n - 4) // 2 for n in size]
    quarters = [(n - 4) // 2 for n in halves]
    assert traced.maps == {2: (*halves, 6), 4: (*quarters, 16)}
    assert traced.logits == (1, 10)
    kernel = traced.variables["params"]["c5"]["kernel"]
    assert kernel.shape == (16 * quarters[0] * quarters[1], 120)


@pytest.mark.parametrize("size", [(15, 32), (32, 15), (1, 1)])
def test_images_that_are_too_small(size):
    with pytest.raises(ValueError, match=r"at least 16x16, got the shape \(1, \d+, \d+, 1\)"):
        shapes_of(models.create_model("lenet5"), *size, 1)


def test_the_modern_network_by_hand(fill):
    model = models.create_model("lenet5", activation="tanh", pooling="average")
    images = draw(2, 32, 32, 1)
    variables = fill(model, images)
    params = variables["params"]
    x = images
    for name in ("c1", "c3"):
        x = halve(np.tanh(convolve(x, params[name])), np.mean)
    x = x.reshape(2, 400)
    for name in ("c5", "f6"):
        x = np.tanh(x @ params[name]["kernel"] + params[name]["bias"])
    logits = x @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(quick.jit(model.apply)(variables, images), logits, atol=1e-5)


def test_pooling_and_activation_by_default(fill):
    model = models.create_model("lenet5")
    images = draw(2, 32, 32, 1)
    variables = fill(model, images)
    apply = functools.partial(model.apply, method="features")
    s2 = quick.jit(apply)(variables, images)[2]
    c1 = convolve(images, variables["params"]["c1"])
    np.testing.assert_allclose(s2, halve(np.maximum(c1, 0), np.max), atol=1e-6)


def test_connections_are_those_of_table_1():
    table = np.zeros((6, 16), int)
    for output, inputs in enumerate(lenet.C3_INPUTS):
        table[list(inputs), output] = 1
    rows = ["X___XXX__XXXX_XX", "XX___XXX__XXXX_X", "XXX___XXX__X_XXX"]
    rows += ["_XXX__XXXX__X_XX", "__XXX__XXXX_XX_X", "___XXX__XXXX_XXX"]
    assert ["".join("_X"[x] for x in row) for row in table] == rows


def test_a_map_of_c3_sees_its_inputs_only(fill):
    layer = lenet.SparseConv()
    x = draw(1, 5, 5, 6)
    variables = fill(layer, x)

    @quick.jit
    @functools.partial(jax.jacobian, argnums=1)
    def jacobian(variables, x):
        return layer.apply(variables, x)[0, 0, 0]

    jacobian = np.asarray(jacobian(variables, x))
    sees = np.abs(jacobian).sum((1, 2, 3)) > 0
    assert [tuple(np.flatnonzero(row)) for row in sees] == list(lenet.C3_INPUTS)
    # Each stored kernel is the derivative it should be, in the order of the table.
    kernels = [jacobian[o, 0, :, :, i] for o, inputs in enumerate(lenet.C3_INPUTS) for i in inputs]
    np.testing.assert_allclose(
        np.stack(kernels, -1), variables["params"]["kernel"], rtol=1e-5, atol=1e-6
    )


def test_c3_weights_start_by_the_number_of_inputs():
    @quick.jit
    def start(x):
        return lenet.SparseConv().init(jax.random.key(0), x)["params"]["kernel"]

    kernel = np.asarray(start(np.ones((1, 5, 5, 6))))
    few, all_six = kernel[:, :, :18], kernel[:, :, -6:]
    np.testing.assert_allclose(few.var(), 1 / 75, rtol=0.3)
    np.testing.assert_allclose(all_six.var(), 1 / 150, rtol=0.3)


def test_sub_sampling_is_a_sum_times_a_coefficient_plus_a_bias():
    x = np.arange(32, dtype=np.float32).reshape(1, 4, 4, 2)
    params = {"coefficient": np.float32([1, 0.5]), "bias": np.float32([0, -1])}
    y = quick.jit(lenet.SubSampling().apply)({"params": params}, x)
    sums = halve(x, np.sum)
    np.testing.assert_allclose(y, sums * params["coefficient"] + params["bias"])


def test_scaled_tanh():
    x = np.float32([-1, 0, 1, 100])
    np.testing.assert_allclose(quick.jit(lenet.scaled_tanh)(x), [-1, 0, 1, 1.7159], atol=1e-4)
