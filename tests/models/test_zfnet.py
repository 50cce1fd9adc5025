import pytest
from traced import shapes_of

from jaxvision import models


def test_parameters_and_maps_of_figure_3():
    traced = shapes_of(models.create_model("zfnet"), 224, 224)
    assert traced.num_parameters == 62_357_608
    assert traced.maps == {
        2: (110, 110, 96),
        4: (55, 55, 96),
        8: (26, 26, 256),
        16: (13, 13, 256),
        32: (6, 6, 256),
    }


@pytest.mark.parametrize("size", [(46, 60), (60, 46)])
def test_images_that_are_too_small(size):
    with pytest.raises(ValueError, match=r"at least 47x47, got the shape \(1, \d+, \d+, 3\)"):
        shapes_of(models.create_model("zfnet"), *size)


def test_dropout_out_of_range():
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 2"):
        models.create_model("zfnet", dropout=2.0)
