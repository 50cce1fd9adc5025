import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
import quick

from jaxvision import models, train

NAMES = models.list_models()
# Small ones, and one of each of the other families; what is left has more or wider blocks.
QUICK = {"alexnet", "convnext_tiny", "lenet5", "mlp", "squeezenet1_1", "vit_ti_16"}
SLOW = {
    "cifar_resnet20",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_resnet_v1",
    "inception_v3",
    "inception_v4",
    "linear_classifier",
    "mixer_b_16",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "preact_resnet18",
    "resnet18",
    "se_resnet50",
    "shufflenet_v1_g3",
    "shufflenet_v2_x0_5",
    "swin_t",
    "vgg11",
    "wrn_28_2",
    "xception",
}


@pytest.mark.parametrize("name", quick.only(NAMES, *QUICK, slow=SLOW))
def test_every_parameter_is_in_one_layer(name):
    """The stem, if there is one, comes first, and the classifiers are the last layer alone."""
    model = models.create_model(name, num_classes=5)
    size = model.default_image_size
    shape = (32, 32, 1) if name == "lenet5" else (size, size, 3)
    order = models.layer_order(model, shape)
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    assert sorted(part for layer in order for part in layer) == sorted(params)
    assert order[-1][0] == "head"
    assert all("auxiliary" in part for part in order[-1][1:])
    assert not any("auxiliary" in part for layer in order[:-1] for part in layer)
    stems = [i for i, layer in enumerate(order) if layer[0].startswith("stem")]
    assert stems == [*range(len(stems))]


def test_layers_of_a_resnet():
    order = models.layer_order(models.create_model("resnet18"), (32, 32, 3))
    blocks = [(f"stage{stage}_block{i}",) for stage in (1, 2, 3, 4) for i in (0, 1)]
    assert order == (("stem",), *blocks, ("head",))


def test_what_has_no_kernel_belongs_to_what_is_before_it():
    order = models.layer_order(models.create_model("convnext_tiny"), (32, 32, 3))
    assert order[-2] == ("stage4_block2", "final_norm")


class Odd(nn.Module):
    """Two dense layers that are called in another order than they are named; a bare parameter."""

    @nn.compact
    def __call__(self, x):
        token = self.param("token", nn.initializers.zeros, (4,))
        x = nn.Dense(4, name="b")(x.reshape(len(x), -1)) + token
        return nn.Dense(4, name="a")(nn.Dropout(0.1, deterministic=True)(x))


def test_modules_that_are_no_models():
    assert models.layer_order(Odd(), (2, 2, 1)) == (("b", "token"), ("a",))


def test_a_module_without_parameters():
    with pytest.raises(ValueError, match="this Dropout has no parameters"):
        models.layer_order(nn.Dropout(0.1, deterministic=True), (2, 2, 1))


def test_layers_are_patterns_of_parameters():
    model = models.create_model("googlenet")
    order = models.layer_order(model, (64, 64, 3))
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    head = train.select(params, order[-1])
    assert sum(jax.tree.leaves(head)) == 2 + 2 * (3 + 2 + 2)
