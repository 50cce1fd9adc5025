import jax
import numpy as np
import pytest
import quick
from traced import shapes_of

from jaxvision import models


@pytest.mark.parametrize(
    ("name", "count"),
    # test_torch_zoo.py holds the others to the shapes of torchvision and timm.
    quick.only(
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
        "vgg11",
        "vgg11_bn",
        slow=(),
    ),
)
def test_parameters(name, count):
    assert shapes_of(models.create_model(name), 32, 32).num_parameters == count


# The usual VGG-16 of CIFAR-10: 13 convolutions with bias and BatchNorm, one dense layer.
# Liu & Deng (ACPR 2015) have a dense layer of 512 between.
@pytest.mark.parametrize(
    ("options", "count"), [({}, 14_728_266), ({"hidden_sizes": (512,)}, 14_728_266 + 512 * 513)]
)
def test_parameters_for_small_images(options, count):
    model = models.create_model("vgg16_bn", num_classes=10, small_images=True, **options)
    assert shapes_of(model, 32, 32).num_parameters == count


@pytest.mark.parametrize(("stride", "field"), [(16, 196), (32, 212)])
def test_receptive_fields(stride, field, receptive_field):
    model = models.create_model("vgg16", small_images=True)

    def last_map(image):
        maps, _ = model.init_with_output(jax.random.key(0), image, method="features")
        return maps[stride]

    assert receptive_field(last_map, np.zeros((1, 64, 64, 3))) == field


@pytest.mark.parametrize("size", [(31, 40), (40, 31)])
def test_images_that_are_too_small(size):
    with pytest.raises(ValueError, match=r"at least 32x32, got the shape \(1, \d+, \d+, 3\)"):
        shapes_of(models.create_model("vgg11"), *size)


@pytest.mark.parametrize("norm", ["group", "instance", "layer"])
def test_other_norms_keep_no_statistics(norm):
    traced = shapes_of(models.create_model("vgg11_bn", norm=norm), 32, 32)
    assert set(traced.variables) == {"params"}
    assert traced.num_parameters == 132_868_840


def test_norm_is_an_option_of_those_that_have_one():
    with pytest.raises(TypeError, match="vgg11 option 'norm'"):
        models.create_model("vgg11", norm="group")
    with pytest.raises(ValueError, match=r"unknown norm 'btch'; did you mean 'batch'\?"):
        models.create_model("vgg11_bn", norm="btch")


def test_dropout_out_of_range():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create_model("vgg11", dropout=1.0)
