"""Segmenters that see patches, and those that see single pixels."""

import json

import jax
import numpy as np
import pytest
import quick

from jaxvision import models

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).normal(size=(2, 7, 10, 3)).astype(np.float32)


def patched(patch_size: int = 2, num_logits: int = 8) -> models.PatchedSegmenter:
    inner = models.PixelClassifier(num_classes=num_logits)
    return models.PatchedSegmenter(segmenter=inner, patch_size=patch_size)


def test_each_pixel_of_a_patch_has_logits_that_see_the_patch() -> None:
    model = patched()
    assert model.num_classes == 2
    variables = quick.jit(model.init)(KEY, IMAGES)
    apply = quick.jit(model.apply)
    logits = np.asarray(apply(variables, IMAGES))
    assert logits.shape == (2, 7, 10, 2)
    head = jax.device_get(variables["params"]["segmenter"]["head"])
    kernel, bias = head["kernel"].reshape(3, 2, 2, 2, 2, 2), head["bias"].reshape(2, 2, 2)
    even = np.concatenate([IMAGES, IMAGES[:, -1:]], axis=1)
    patches = even.reshape(2, 4, 2, 5, 2, 3)
    expected = (
        np.einsum("nyixjc,cijkab->nyaxbk", patches, kernel) + bias.transpose(1, 2, 0)[:, None]
    )
    np.testing.assert_allclose(logits, expected.reshape(2, 8, 10, 2)[:, :7], atol=1e-5)


def test_they_can_be_made_again_from_json() -> None:
    for model in (patched(), models.PixelClassifier(num_classes=3, kernel_size=3)):
        assert models.from_description(json.loads(json.dumps(models.describe(model)))) == model


def test_patches_need_logits_for_each_pixel() -> None:
    with pytest.raises(ValueError, match=r"a multiple of patch_size\*\*2 logits, got 3 and 8"):
        patched(3)


def test_a_pixel_classifier_is_linear_in_what_it_sees() -> None:
    model = models.PixelClassifier(num_classes=2, kernel_size=3, in_channels=3)
    variables = quick.jit(model.init)(KEY, IMAGES)
    logits = np.asarray(quick.jit(model.apply)(variables, IMAGES))
    head = jax.device_get(variables["params"]["head"])
    around = np.pad(IMAGES, [(0, 0), (1, 1), (1, 1), (0, 0)])[:, 3:6, 4:7]
    expected = np.einsum("nyxc,yxck->nk", around, head["kernel"]) + head["bias"]
    np.testing.assert_allclose(logits[:, 3, 4], expected, atol=1e-5)
