"""What the scripts of models that make images compute themselves."""

import importlib
import types
from collections.abc import Iterator

import numpy as np
import pytest
from scripts import EXPERIMENTS, modules_of_scripts

from jaxvision import data


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.SimpleNamespace]:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    names = ("adversarial", "generative", "plane", "quality")
    with modules_of_scripts():
        yield types.SimpleNamespace(
            **{name: importlib.import_module(f"common.{name}") for name in names}
        )


def test_the_ring_has_a_density_that_sums_to_1_and_is_that_of_its_points(common) -> None:
    ring = common.plane.Ring(deviation=0.05)
    axis = np.linspace(-1.5, 1.5, 301)
    area = (axis[1] - axis[0]) ** 2
    density = ring.density(axis, noise=0.05)
    assert density.sum() * area == pytest.approx(1, abs=1e-6)
    of_points = common.plane.smoothed(ring.draw(20_000, 0), axis, 0.05)
    assert of_points.sum() * area == pytest.approx(1, abs=1e-6)
    assert np.abs(density - of_points).sum() * area < 0.06
    # The first center lies to the right, the third above.
    assert density[150, 220] == pytest.approx(density[220, 150])
    lower = common.plane.smoothed(np.array([[0.0, -0.7]]), axis, 0.1)
    assert np.unravel_index(lower.argmax(), lower.shape) == (80, 150)


def test_modes_of_samples(common) -> None:
    ring = common.plane.Ring()
    whole = ring.scores(ring.draw(20_000, 0))
    assert whole["near"] == pytest.approx(1 - np.exp(-4.5), abs=0.003)  # within 3 deviations
    assert whole["modes"] == 8
    assert whole["divergence"] < 0.001
    two = np.repeat(ring.centers[[1, 4]], 50, axis=0)
    assert ring.scores(two) == {"near": 1.0, "modes": 2.0, "divergence": pytest.approx(np.log(4))}
    assert ring.scores(np.zeros((5, 2)))["modes"] == 0
    points = common.plane.as_points(
        np.stack([ring.dataset(3)[index]["image"] for index in range(3)])
    )
    np.testing.assert_allclose(points, ring.draw(3, 0), atol=1e-6)


def test_rules_of_games_take_the_numbers_that_they_have(common) -> None:
    playing = common.adversarial.Playing(r1=0.5, gradient_penalty=2.0, clip=0.1, b1=0.25)
    rules = {name: playing.rules(name) for name in common.adversarial.RULES}
    assert [rules[name].r1 for name in ("non_saturating", "non_saturating_r1")] == [0, 0.5]
    assert [rules[name].gradient_penalty for name in ("wgan", "wgan_gp")] == [0, 2]
    assert [rules[name].clip for name in ("wgan", "wgan_gp")] == [0.1, None]
    assert {each.b1 for each in rules.values()} == {0.25}
    steps = {name: playing.num_steps(name) for name in ("hinge", "wgan")}
    assert steps == {"hinge": 12_000, "wgan": 4_000}


def test_densities_of_pixels_match_their_closed_forms(common) -> None:
    train = np.array([[0, 1], [0, 1], [1, 1], [1, 0]], np.uint8)
    # With one count added to each level: 3/6 and 3/6 of the first value, 2/6 and 4/6 of the second.
    bits = common.generative.independent_bits(train, np.array([[0, 1], [1, 0]], np.uint8), 2)
    assert bits == pytest.approx((1 + np.log2(6 / 4) + 1 + np.log2(6 / 2)) / 4)
    # Normally distributed levels have the entropy of that distribution, per dimension.
    random = np.random.default_rng(0)
    mixed = random.standard_normal((40_000, 2)) @ np.array([[8.0, 6.0], [0.0, 5.0]]) + 128
    levels = np.round(mixed).clip(0, 255).astype(np.uint8)
    entropy = np.log2(2 * np.pi * np.e) / 2 + np.log2(8 * 5) / 2
    found = common.generative.gaussian_bits(levels[:20_000], levels[20_000:], 256)
    assert found == pytest.approx(entropy, abs=0.01)


@pytest.mark.parametrize("networks", ["dcgan", "residual", "dense"])
@pytest.mark.parametrize("size", [8, 32])
def test_usual_networks_fit_each_other(common, networks, size) -> None:
    images = data.from_arrays({"image": np.zeros((4, size, size, 3), np.uint8)})
    generator, critic = common.adversarial.Networks(networks=networks).make(images)
    assert generator.shape == (size, size, 3)
    widths = "hidden_sizes" if networks == "dense" else "channels"
    assert getattr(generator, widths) == getattr(critic, widths)[::-1]
