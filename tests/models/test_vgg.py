import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import models

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("vgg11", 132_863_336),
        ("vgg11_bn", 132_868_840),
        ("vgg13", 133_047_848),
        ("vgg13_bn", 133_053_736),
        ("vgg16", 138_357_544),
        ("vgg16_bn", 138_365_992),
        ("vgg19", 143_667_240),
        ("vgg19_bn", 143_678_248),
    ],
)
def test_parameters(name, count, count_parameters):
    assert count_parameters(models.create_model(name), (1, 32, 32, 3)) == count


def test_parameters_for_small_images(count_parameters):
    # The usual VGG-16 of CIFAR-10: 13 convolutions with bias and BatchNorm, one dense layer.
    model = models.create_model("vgg16_bn", num_classes=10, small_images=True)
    assert count_parameters(model, (1, 32, 32, 3)) == 14_728_266
    # Liu & Deng (ACPR 2015) have a dense layer of 512 between.
    model = models.create_model("vgg16_bn", num_classes=10, small_images=True, hidden_sizes=(512,))
    assert count_parameters(model, (1, 32, 32, 3)) == 14_728_266 + 512 * 513


@pytest.mark.parametrize(("stride", "field"), [(16, 196), (32, 212)])
def test_receptive_fields(stride, field, receptive_field):
    model = models.create_model("vgg16", small_images=True)
    images = jnp.zeros((1, 64, 64, 3))
    variables = jax.eval_shape(model.init, KEY, images)
    variables = jax.tree.map(lambda p: np.broadcast_to(np.float32(0), p.shape), variables)

    def last_map(images):
        return model.apply(variables, images, method="features")[f"stride{stride}"]

    assert receptive_field(last_map, images) == field


@pytest.mark.parametrize("size", [(31, 40), (40, 31)])
def test_images_that_are_too_small(size):
    with pytest.raises(ValueError, match=r"at least 32x32, got the shape \(1, \d+, \d+, 3\)"):
        models.create_model("vgg11").init(KEY, jnp.zeros((1, *size, 3)))


@pytest.mark.parametrize("norm", ["group", "instance", "layer"])
def test_other_norms_keep_no_statistics(norm, count_parameters):
    model = models.create_model("vgg11_bn", norm=norm)
    variables = jax.eval_shape(model.init, KEY, jnp.zeros((1, 32, 32, 3)))
    assert set(variables) == {"params"}
    assert count_parameters(model, (1, 32, 32, 3)) == 132_868_840


def test_norm_is_an_option_of_those_that_have_one():
    with pytest.raises(TypeError, match="vgg11 option 'norm'"):
        models.create_model("vgg11", norm="group")
    with pytest.raises(ValueError, match=r"unknown norm 'btch'; did you mean 'batch'\?"):
        models.create_model("vgg11_bn", norm="btch")


def test_dropout_out_of_range():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create_model("vgg11", dropout=1.0)
