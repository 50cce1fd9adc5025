import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import explain
from jaxvision.explain import FieldGrid


def network(x):
    """ReLU, pooling by 2, and two channels with the weights 2 and -3 of a sum over 1 x 2 places."""
    pooled = jax.lax.reduce_window(
        jax.nn.relu(x), -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    )
    pairs = pooled[:, :, :-1] + pooled[:, :, 1:]
    return pairs * jnp.array([2.0, -3.0])


IMAGE = np.zeros((1, 4, 4, 1), np.float32)
IMAGE[0, 0, 1], IMAGE[0, 1, 2], IMAGE[0, 3, 0], IMAGE[0, 3, 3] = 5, 4, 1, -2
GRID = FieldGrid(size=(2, 4), stride=(2, 2), start=(0, 0))


def test_a_response_goes_to_the_largest_pixels_of_poolings_where_it_is_positive() -> None:
    found = explain.strongest_patches(network, [IMAGE], GRID, count=2)
    assert found.responses[0, 0] == 2 * (5 + 4)
    back = explain.project_patches(network, IMAGE, found, GRID)
    expected = np.zeros((2, 4))
    expected[0, 1] = expected[1, 2] = 18 * 2
    np.testing.assert_array_equal(back[0, 0, :, :, 0], expected)
    # What the second channel passes back has the sign of its weight and of its response; the ReLU
    # is applied to the first of them.
    np.testing.assert_array_equal(back[1, 0], 0)
    assert not back[:, 1].any()  # there is one image only


def test_fields_are_cropped_and_images_may_be_a_data_set_of_integers() -> None:
    grid = FieldGrid(size=(3, 3), stride=(1, 1), start=(-1, -1))
    images = np.zeros((3, 4, 4, 1), np.uint8)
    images[1, 0, 3], images[2, 2, 2] = 255, 51
    found = explain.strongest_patches(
        lambda x: x, [images.astype(np.float32) / 255], grid, channels=[0], count=2
    )
    assert found.indices.tolist() == [[1, 2]]
    back = explain.project_patches(
        lambda x: x, [{"image": each} for each in images], found, grid, channels=[0]
    )
    for rank, strength in enumerate([1.0, 0.2]):
        expected = np.zeros((3, 3, 1))
        expected[1, 1] = strength
        np.testing.assert_allclose(back[0, rank], expected, rtol=1e-6)


def test_channels_are_those_of_the_patches() -> None:
    found = explain.strongest_patches(network, [IMAGE], GRID, channels=[1], count=1)
    with pytest.raises(ValueError, match="channels must name those of the patches, 1, got 2"):
        explain.project_patches(network, IMAGE, found, GRID, channels=[0, 1])
