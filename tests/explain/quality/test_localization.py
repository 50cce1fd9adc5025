import numpy as np
import pytest
import quick

from jaxvision.explain import quality

MEASURES = ("pointing_game", "relevance_mass", "relevance_rank")


@quick.jit
def measured(maps, masks):
    return [getattr(quality, name)(maps, masks) for name in MEASURES]


@pytest.mark.parametrize("name", MEASURES)
def test_equals_quantus(fixture, name) -> None:
    case = fixture["localization"]
    maps, masks = np.array(case["maps"], np.float32), np.array(case["masks"])
    found = quick.jit(getattr(quality, name))(maps, masks)
    np.testing.assert_allclose(found, case[name], rtol=1e-6)


@pytest.mark.parametrize("name", MEASURES)
def test_without_an_object_or_a_finite_map_there_is_no_value(name) -> None:
    maps = np.random.default_rng(0).uniform(size=(4, 5, 7, 3)).astype(np.float32)
    masks = np.zeros((4, 5, 7), bool)
    masks[[0, 2, 3], 1:3, 2:5] = True
    maps[2, 0, 0, 1] = np.nan
    maps[3] = 0.1
    measure = quick.jit(getattr(quality, name))
    found = np.asarray(measure(maps, masks))
    assert np.isnan(found).tolist() == [False, True, True, False]
    np.testing.assert_allclose(found[3], 6 / 35, rtol=1e-6)  # chance, for a constant map
    assert measure(maps[:0], masks[:0]).shape == (0,)


@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 2, 3.2, 20])
def test_the_tolerance_is_a_distance(tolerance) -> None:
    random = np.random.default_rng(1)
    maps = random.normal(size=(40, 6, 9, 1)).astype(np.float32)
    masks = random.uniform(size=(40, 6, 9)) < 0.04
    masks[0, 0, 0] = True
    expected = []
    for relevance, mask in zip(maps, masks, strict=True):
        peak = np.array(np.unravel_index(relevance.argmax(), (6, 9)))
        distances = np.linalg.norm(np.argwhere(mask) - peak, axis=1)
        expected.append((distances.min() <= tolerance) if mask.any() else np.nan)
    found = quick.jit(lambda *args: quality.pointing_game(*args, tolerance=tolerance))(maps, masks)
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_ties_count_by_chance() -> None:
    maps = np.array([[4.0, 2.0, 2.0], [4.0, 2.0, -9.0]], np.float32)[None, :, :, None]
    masks = np.array([[[True, True, False], [False, False, True]]])
    point, mass, rank = measured(maps, masks)
    assert point.tolist() == [0.5]
    np.testing.assert_allclose(mass, [6 / 14], rtol=1e-6)
    # One of the two best pixels, and a third of the last place.
    np.testing.assert_allclose(rank, [(1 + 1 / 3) / 3], rtol=1e-6)


def test_negative_relevance_has_no_mass_and_channels_add_up() -> None:
    maps = np.array([[[3.0, -1.0], [-2.0, 1.0]]], np.float32).reshape(1, 1, 2, 2)
    masks = np.array([[[True, False]]])
    measure = quick.jit(quality.relevance_mass)
    assert measure(maps, masks).tolist() == [1.0]
    assert np.isnan(measure(-np.abs(maps), masks)).all()


def test_a_mask_of_classes_of_the_data_set_shapes() -> None:
    classes = np.zeros((2, 8, 8), np.uint8)
    classes[0, 2:5, 2:5], classes[1, :2, :2] = 2, 3
    labels = np.array([2, 3])
    masks = classes == labels[:, None, None]
    maps = masks[..., None].astype(np.float32)
    assert [found.tolist() for found in measured(maps, masks)] == [[1, 1]] * 3


def test_what_cannot_be(unchecked) -> None:
    maps, masks = np.ones((2, 4, 4, 1), np.float32), np.ones((2, 4, 4), bool)
    with pytest.raises(TypeError, match=r"masks must be boolean, got int64.*mask == label"):
        quality.relevance_mass(maps, masks.astype(int))
    with pytest.raises(ValueError, match=r"shape \(2, 4, 4\).*got \(2, 4, 3\)"):
        quality.relevance_rank(maps, masks[..., :3])
    with pytest.raises(ValueError, match=r"\(batch, height, width\) of the maps"):
        quality.relevance_rank(maps, masks[..., None])
    with pytest.raises(ValueError, match="tolerance must be a number, not negative, got -1"):
        quality.pointing_game(maps, masks, tolerance=-1)
