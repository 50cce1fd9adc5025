"""Maps that are dilated instead of shrunk, in every family of residual networks."""

import jax
import numpy as np
import pytest
import quick

from jaxvision import models

FAMILIES = {
    "resnet18": {},
    "resnet18 small": {"small_images": True},
    "resnet50": {},
    "resnext50_32x4d": {},
    "se_resnet50": {},
    "senet154": {},
    "preact_resnet18": {},
    "preact_resnet50": {},
    "wrn_28_2": {},
    "cifar_resnet20": {},
}


def build(case: str, **options) -> models.Model:
    model = models.create_model(case.split()[0], **FAMILIES[case], **options)
    return model.clone(stage_sizes=(1, 2, 1, 2)[: len(model.stage_sizes)])


@pytest.mark.parametrize("case", quick.only(FAMILIES, "resnet18", "cifar_resnet20"))
def test_the_dilated_map_holds_the_map_of_the_plain_network(case: str) -> None:
    """Where both have a pixel they are equal, at the borders of odd sizes too.

    But for what squeeze-and-excitation averages over, which has more pixels in a dilated map: its
    weights are made constant here.
    """
    plain = build(case)
    images = np.random.default_rng(0).normal(size=(1, 37, 50, 3)).astype(np.float32)
    variables = jax.jit(plain.init)(jax.random.key(0), images)
    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * 0 if "squeeze_excite" in jax.tree_util.keystr(path) else leaf,
        variables,
    )
    first = plain.stem_stride
    last = first * 2 ** (len(plain.stage_sizes) - 1)

    def maps(variables, images):
        given = {stride: build(case, output_stride=stride) for stride in (first, 2 * first, last)}
        return {
            stride: model.apply(variables, images, method="features")
            for stride, model in given.items()
        }

    computed = jax.device_get(quick.jit(maps)(variables, images))
    whole = computed[last][last]
    assert list(computed[first])[-1] == first
    for stride in (first, 2 * first):
        dense = computed[stride][stride]
        assert max(computed[stride]) == stride
        every = last // stride
        scale = np.abs(whole).max()
        np.testing.assert_allclose(dense[:, ::every, ::every], whole, atol=2e-5 * scale)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18", {"output_stride": 2}, "one of 4, 8, 16, 32, or None, got 2"),
        ("wrn_28_2", {"output_stride": 8}, "one of 1, 2, 4, or None, got 8"),
        (
            "resnet18",
            {"small_images": True, "output_stride": 32},
            "one of 1, 2, 4, 8, or None, got 32",
        ),
    ],
)
def test_strides_that_cannot_be(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.create_model(name, **options)


def test_it_is_described() -> None:
    model = models.create_model("resnet18", output_stride=8)
    assert models.from_description(models.describe(model)) == model
    assert max(models.feature_info(model)) == 8
    with pytest.raises(TypeError, match="unknown vgg11 option 'output_stride'"):
        models.create_model("vgg11", output_stride=8)
