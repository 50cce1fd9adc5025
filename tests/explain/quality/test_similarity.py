import numpy as np
import pytest
import quick

from jaxvision.explain import quality

MEASURES = ("rank_correlation", "structural_similarity")


@pytest.mark.parametrize("kind", ["absolute", "signed"])
@pytest.mark.parametrize("name", MEASURES)
def test_equals_scipy_and_scikit_image(fixture, name, kind) -> None:
    case = fixture["similarity"]
    measure = quick.jit(lambda *maps: getattr(quality, name)(*maps, signed=kind == "signed"))
    found = measure(*(np.array(case[each], np.float32) for each in ("first", "second")))
    np.testing.assert_allclose(found, case[kind][name], atol=2e-6)


@pytest.mark.parametrize("name", MEASURES)
def test_signs_count_only_if_asked_and_scale_never(name) -> None:
    maps = np.random.default_rng(0).normal(size=(2, 6, 7, 3)).astype(np.float32)
    measure = getattr(quality, name)
    both = quick.jit(lambda a, b: (measure(a, b), measure(a, b, signed=True)))
    for factor in (1e-30, 1e30):
        absolute, signed = both(maps, -factor * maps)
        np.testing.assert_allclose(absolute, 1, atol=1e-4)
        assert (signed < (-0.99 if name == "rank_correlation" else -0.5)).all()


@pytest.mark.parametrize("name", MEASURES)
def test_maps_without_a_value(name) -> None:
    maps = np.random.default_rng(0).normal(size=(3, 6, 7, 1)).astype(np.float32)
    others = maps.copy()
    others[1] = 0
    maps[2, 3, 3] = np.nan
    measure = quick.jit(getattr(quality, name))
    found = measure(maps, others)
    assert np.isnan(found).tolist() == [False, True, True]
    assert measure(maps[:0], others[:0]).shape == (0,)


def test_what_cannot_be(unchecked) -> None:
    maps = np.ones((2, 4, 4, 1), np.float32)
    with pytest.raises(ValueError, match=r"one shape, got \(2, 4, 4, 1\) and \(1, 4, 4, 1\)"):
        quality.rank_correlation(maps, maps[:1])
    with pytest.raises(TypeError, match="others must be floating point, got int64"):
        quality.structural_similarity(maps, maps.astype(int))
