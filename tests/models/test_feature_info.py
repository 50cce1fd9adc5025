"""What is said of feature maps, against maps that are traced by themselves."""

import pytest
import quick
from traced import shapes_of

from jaxvision import models

PADDED = {
    "resnet18": True,
    "mobilenet_v2": True,
    "vgg11": False,
    "xception": False,
    "swin_t": False,
}


@pytest.mark.parametrize("name", quick.only(PADDED, "resnet18", "vgg11", slow=PADDED))
def test_it_says_what_features_gives(name: str) -> None:
    model = models.create_model(name, in_channels=3)
    info = models.feature_info(model, (97, 131))
    maps = shapes_of(model, 97, 131).maps
    assert [(stride, (*each.size, each.channels)) for stride, each in info.items()] == [
        *maps.items()
    ]
    assert all(each.is_padded for each in info.values()) == PADDED[name]


def test_the_size_that_a_model_was_made_for() -> None:
    (info,) = models.feature_info(models.create_model("vit_ti_16")).values()
    assert info == models.FeatureInfo(channels=192, size=(14, 14), is_padded=True)
    with pytest.raises(ValueError, match="needs images of at least 63x63"):
        models.feature_info(models.create_model("alexnet"), 30)
