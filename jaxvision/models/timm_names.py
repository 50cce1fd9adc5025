"""Names in timm of models that have another name here."""

from collections.abc import Mapping

TIMM_NAMES: Mapping[str, str] = {
    "legacy_senet154": "senet154",
    "legacy_seresnet50": "se_resnet50",
    "legacy_seresnext50_32x4d": "se_resnext50_32x4d",
    "legacy_xception": "xception",
    "mixer_b16_224": "mixer_b_16",
    "mobilenetv1_100": "mobilenet_v1",
    "mobilenetv1_125": "mobilenet_v1",
    "mobilenetv2_035": "mobilenet_v2",
    "mobilenetv2_050": "mobilenet_v2",
    "mobilenetv2_075": "mobilenet_v2",
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv2_140": "mobilenet_v2",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "mobilenetv3_small_100": "mobilenet_v3_small",
    "resnetv2_101": "preact_resnet101",
    "resnetv2_152": "preact_resnet152",
    "resnetv2_18": "preact_resnet18",
    "resnetv2_34": "preact_resnet34",
    "resnetv2_50": "preact_resnet50",
    "seresnet50": "se_resnet50",
    "seresnext50_32x4d": "se_resnext50_32x4d",
    "swin_tiny_patch4_window7_224": "swin_t",
    "vit_base_patch16_224": "vit_b_16",
    "vit_base_patch16_384": "vit_b_16",
    "vit_base_patch32_224": "vit_b_32",
    "vit_base_patch32_384": "vit_b_32",
    "vit_large_patch16_224": "vit_l_16",
    "vit_large_patch16_384": "vit_l_16",
    "vit_large_patch32_224": "vit_l_32",
    "vit_large_patch32_384": "vit_l_32",
    "vit_small_patch16_224": "vit_s_16",
    "vit_small_patch16_384": "vit_s_16",
    "vit_small_patch32_224": "vit_s_32",
    "vit_small_patch32_384": "vit_s_32",
    "vit_tiny_patch16_224": "vit_ti_16",
    "vit_tiny_patch16_384": "vit_ti_16",
}
"""Names here by names in timm, whose variants of other resolutions or widths are one model here."""


def without_tag(name: str) -> str:
    """Removes the hub and the tag of the weights from a model's name in timm.

    >>> without_tag("timm/resnet50.a1_in1k"), without_tag("resnet50")
    ('resnet50', 'resnet50')
    """
    return name.removeprefix("timm/").partition(".")[0]
