import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models
from jaxvision.models import layers, lenet

KEY = jax.random.key(0)


@pytest.mark.parametrize(("original", "count"), [(False, 61_706), (True, 60_850)])
def test_parameters(original, count, count_parameters):
    model = models.create_model("lenet5", original=original)
    assert count_parameters(model, (1, 32, 32, 1)) == count


def test_parameters_of_each_layer_of_the_paper():
    model = models.create_model("lenet5", original=True)
    params = jax.eval_shape(model.init, KEY, jnp.zeros((1, 32, 32, 1)))["params"]
    counts = {name: sum(p.size for p in jax.tree.leaves(p)) for name, p in params.items()}
    head = counts.pop("head")
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert head == 850
    assert {k: v.shape for k, v in params["c3"].items()} == {"kernel": (5, 5, 60), "bias": (16,)}


@pytest.mark.parametrize("options", [{}, {"original": True}])
@pytest.mark.parametrize("size", [(32, 32), (28, 28), (33, 47), (16, 16), (17, 40)])
def test_sizes(size, options):
    model = models.create_model("lenet5", **options)
    images = jnp.zeros((2, *size, 1))
    features, _ = jax.eval_shape(
        lambda key, x: model.init_with_output(key, x, method="features"), KEY, images
    )
    halves = [(n - 4) // 2 for n in size]
    quarters = [(n - 4) // 2 for n in halves]
    assert features["stride2"].shape == (2, *halves, 6)
    assert features["stride4"].shape == (2, *quarters, 16)
    logits, variables = jax.eval_shape(model.init_with_output, KEY, images)
    assert logits.shape == (2, 10)
    assert variables["params"]["c5"]["kernel"].shape == (16 * quarters[0] * quarters[1], 120)


@pytest.mark.parametrize("size", [(15, 32), (32, 15), (1, 1)])
def test_images_that_are_too_small(size):
    with pytest.raises(ValueError, match=r"at least 16x16, got the shape \(2, \d+, \d+, 1\)"):
        models.create_model("lenet5").init(KEY, jnp.zeros((2, *size, 1)))


def test_the_modern_network_by_hand(fill):
    model = models.create_model("lenet5", activation="tanh", pooling="average")
    images = jax.random.normal(KEY, (2, 32, 32, 1))
    variables = fill(model, images)
    params = variables["params"]

    def conv(x, layer):
        windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(1, 2))
        return np.einsum("bhwcij,ijcf->bhwf", windows, layer["kernel"]) + layer["bias"]

    def halve(x):
        batch, height, width, channels = x.shape
        return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))

    x = np.asarray(images)
    for name in ("c1", "c3"):
        x = halve(np.tanh(conv(x, params[name])))
    x = x.reshape(2, 400)
    for name in ("c5", "f6"):
        x = np.tanh(x @ params[name]["kernel"] + params[name]["bias"])
    logits = x @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(jax.jit(model.apply)(variables, images), logits, atol=1e-5)


def test_pooling_and_activation_by_default(fill):
    model = models.create_model("lenet5")
    images = jax.random.normal(KEY, (2, 32, 32, 1))
    variables = fill(model, images)
    s2 = model.apply(variables, images, method="features")["stride2"]
    c1 = layers.conv(6, 5, padding=0).apply({"params": variables["params"]["c1"]}, images)
    np.testing.assert_allclose(s2, layers.max_pool(jax.nn.relu(c1), 2), atol=1e-6)


def test_connections_are_those_of_table_1():
    table = np.zeros((6, 16), int)
    for output, inputs in enumerate(lenet.C3_INPUTS):
        table[list(inputs), output] = 1
    rows = ["X___XXX__XXXX_XX", "XX___XXX__XXXX_X", "XXX___XXX__X_XXX"]
    rows += ["_XXX__XXXX__X_XX", "__XXX__XXXX_XX_X", "___XXX__XXXX_XXX"]
    assert ["".join("_X"[x] for x in row) for row in table] == rows


def test_a_map_of_c3_sees_its_inputs_only(fill):
    layer = lenet.SparseConv()
    x = jax.random.normal(KEY, (1, 5, 5, 6))
    variables = fill(layer, x)
    jacobian = jax.jit(jax.jacobian(lambda x: layer.apply(variables, x)[0, 0, 0]))(x)
    sees = np.asarray(jnp.abs(jacobian).sum((1, 2, 3)) > 0)
    assert [tuple(np.flatnonzero(row)) for row in sees] == list(lenet.C3_INPUTS)
    # Each stored kernel is the derivative it should be, in the order of the table.
    kernels = [jacobian[o, 0, :, :, i] for o, inputs in enumerate(lenet.C3_INPUTS) for i in inputs]
    np.testing.assert_allclose(
        np.stack(kernels, -1), variables["params"]["kernel"], rtol=1e-5, atol=1e-6
    )


def test_c3_weights_start_by_the_number_of_inputs():
    kernel = lenet.SparseConv().init(KEY, jnp.ones((1, 5, 5, 6)))["params"]["kernel"]
    few, all_six = kernel[:, :, :18], kernel[:, :, -6:]
    np.testing.assert_allclose(few.var(), 1 / 75, rtol=0.3)
    np.testing.assert_allclose(all_six.var(), 1 / 150, rtol=0.3)


def test_sub_sampling_is_a_sum_times_a_coefficient_plus_a_bias():
    x = jnp.arange(32.0).reshape(1, 4, 4, 2)
    params = {"coefficient": jnp.array([1.0, 0.5]), "bias": jnp.array([0.0, -1.0])}
    y = lenet.SubSampling().apply({"params": params}, x)
    sums = x.reshape(1, 2, 2, 2, 2, 2).sum((2, 4))
    np.testing.assert_allclose(y, sums * params["coefficient"] + params["bias"])


def test_scaled_tanh():
    x = jnp.array([-1.0, 0.0, 1.0, 100.0])
    np.testing.assert_allclose(lenet.scaled_tanh(x), [-1, 0, 1, 1.7159], atol=1e-4)
