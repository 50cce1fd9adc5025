import pytest
from traced import shapes_of

from jaxvision import models


def test_parameters_and_maps_of_figure_9():
    model = models.create_model("inception_v4")
    size = model.default_image_size
    traced = shapes_of(model, size, size)
    assert traced.num_parameters == 42_679_816
    assert traced.maps == {
        2: (147, 147, 64),
        4: (71, 71, 192),
        8: (35, 35, 384),
        16: (17, 17, 1024),
        32: (8, 8, 1536),
    }


@pytest.mark.parametrize("size", [(74, 80), (80, 74)])
def test_images_that_are_too_small(size):
    model = models.create_model("inception_v4", stage_sizes=(1, 1, 1))
    with pytest.raises(ValueError, match=r"at least 75x75, got the shape \(1, \d+, \d+, 3\)"):
        shapes_of(model, *size)


def test_options_that_are_refused():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        models.create_model("inception_v4", dropout=1.0)
    for sizes in [(1, 2), (1, 0, 1)]:
        with pytest.raises(ValueError, match="stage_sizes must be three numbers from 1"):
            models.create_model("inception_v4", stage_sizes=sizes)
