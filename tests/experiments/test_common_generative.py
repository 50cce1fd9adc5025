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
            **{name: importlib.import_module(f"common.{name}") for name in names},
            critics=importlib.import_module("plane"),
            codes=importlib.import_module("autoencode"),
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


def test_optimal_critics_follow_from_the_densities_of_data_and_samples(common) -> None:
    plane = common.critics
    positions = np.linspace(-1.2, 1.2, 121)  # a grid stands for many samples of equal density
    made = np.stack(np.meshgrid(positions, positions), axis=-1).reshape(-1, 2)
    horizontal, vertical = np.meshgrid(plane.AXIS, plane.AXIS)

    def log_density(center, variance):
        squares = (horizontal - center[0]) ** 2 + (vertical - center[1]) ** 2
        return -squares / (2 * variance) - np.log(2 * np.pi * variance)

    angles = np.arange(8) * np.pi / 4
    of_centers = [
        log_density((0.7 * np.cos(angle), 0.7 * np.sin(angle)), 0.02**2 + 0.03**2)
        for angle in angles
    ]
    log_p = np.logaddexp.reduce(of_centers, axis=0) - np.log(8)
    logits = log_p + np.log(2.42**2)  # each of the 121 positions stands for 0.02
    for game in ("minimax", "non_saturating", "non_saturating_r1", "least_squares"):
        optimal = 1 / (1 + np.exp(-logits))
        np.testing.assert_allclose(plane.best_critic(game, made), optimal, atol=1e-6)
        scores = logits if "squares" not in game else 1 / (1 + np.exp(-logits))
        np.testing.assert_allclose(plane.believed(game, scores), optimal, atol=1e-6)
    signs = plane.best_critic("hinge", made)
    decided = signs != 0.5
    assert decided.mean() > 0.9
    np.testing.assert_array_equal(signs[decided], logits[decided] > 0)
    np.testing.assert_array_equal(plane.believed("hinge", np.sign(logits)), logits > 0)
    assert np.isnan(plane.best_critic("wgan", made)).all()
    lower = plane.best_critic("minimax", made[made[:, 1] < 0])
    assert np.isnan(lower[-1, 0])  # neither data nor samples


def test_where_few_samples_cannot_tell_the_optimal_hinge_critic_is_undecided(common) -> None:
    plane = common.critics
    best = plane.best_critic("hinge", plane.RING.draw(10_000, 0))
    shares = {value: float((best[~np.isnan(best)] == value).mean()) for value in (0, 0.5, 1)}
    assert shares[0.5] > 0.9
    assert sum(shares.values()) == pytest.approx(1)


def test_entries_of_codes_near_0(common) -> None:
    codes = np.array([[10.0, 0.5, -2.0, 0.0], [0.1, 0.1, 0.1, -0.1]])
    assert common.codes.near_zero(codes) == 2 / 8


def test_baselines_are_left_out_where_they_would_mean_nothing(common, monkeypatch, capsys) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 2, (30, 4, 4, 1)).astype(np.uint8) * 255
    dataset = data.from_arrays({"image": images})
    assert [name for name, _ in common.generative.baselines(dataset, dataset, 2)] == [
        *("independent", "normal")
    ]
    few = data.from_arrays({"image": images[:16]})
    assert [name for name, _ in common.generative.baselines(few, dataset, 2)] == ["independent"]
    assert "normal: needs more training images than values of an image, 16, got 16" in (
        capsys.readouterr().out
    )
    monkeypatch.setattr(common.generative, "MOST_VALUES", 15)
    assert len(common.generative.baselines(dataset, dataset, 2)) == 1
    assert "left out for images of more than 15 values, these have 16" in capsys.readouterr().out


class Pixels:
    """A classifier of two classes whose features are pixels: the class is the brighter half."""

    preprocessing = types.SimpleNamespace(size=(2, 2))
    class_names = ("left", "right")

    def embed(self, batches) -> types.SimpleNamespace:
        images = np.asarray(batches[0]["image"])
        right = images[:, :, 1].mean((1, 2)) > images[:, :, 0].mean((1, 2))
        probabilities = np.stack([~right, right], axis=1).astype(np.float64)
        return types.SimpleNamespace(
            vectors=images.reshape(len(images), -1), probabilities=probabilities
        )


@pytest.fixture
def judge(common, monkeypatch):
    """Judges samples by their pixels."""
    quality = common.quality
    monkeypatch.setattr(quality.train, "restore", lambda _: Pixels())
    monkeypatch.setattr(quality.train.classification, "TrainedClassifier", Pixels)
    images = np.random.default_rng(0).random((400, 2, 2, 1)).astype(np.float32)
    labels = (np.arange(400) >= 300).astype(np.int64)

    def make(**fields):
        return quality.Judge.make("a run", data.from_arrays({"image": images, **fields}))

    return make, images, labels


def test_samples_are_judged(judge) -> None:
    make, _, labels = judge
    judge = make(label=labels)
    np.testing.assert_allclose(judge.shares, [0.75, 0.25])
    fresh = np.random.default_rng(1).random((800, 2, 2, 1)).astype(np.float32)
    scores = judge.scores(fresh, np.zeros(800, int))
    assert scores["frechet_ratio_of_equals"] == pytest.approx(1, abs=0.3)
    assert scores["frechet_ratio"] == pytest.approx(scores["ideal_ratio"], abs=0.4)
    # For a normal distribution, distances fall as the sum of the inverse numbers of images.
    assert scores["ideal_ratio"] == pytest.approx((1 / 400 + 1 / 800) / (2 / 200), rel=0.35)
    assert scores["share/left"] == pytest.approx(0.5, abs=0.1)
    assert scores["as_asked"] == scores["share/left"]
    assert scores["share/left"] + scores["share/right"] == pytest.approx(1)
    brighter = judge.scores(fresh / 2 + 0.5)
    assert brighter["frechet_ratio_of_equals"] > 3
    assert "as_asked" not in brighter


def test_without_labels_the_classifier_counts_the_classes(judge) -> None:
    make, images, _ = judge
    found = make()
    assert found.shares.sum() == pytest.approx(1)
    assert found.shares[1] == (images[:, :, 1].mean((1, 2)) > images[:, :, 0].mean((1, 2))).mean()
    assert found.class_names == ["left", "right"]


def test_copies_are_found_and_drawn(judge, common, tmp_path, monkeypatch) -> None:
    make, images, labels = judge
    judge = make(label=labels)
    shown = {}
    monkeypatch.setattr(
        common.quality.plots,
        "image_grid",
        lambda *given, **named: shown.update(grid=(given, named)),
    )
    monkeypatch.setattr(common.quality.plots, "save", lambda *_: None)
    samples = np.stack([images[7] + 0.001, images[3], np.full((2, 2, 1), 9.0, np.float32)])
    indices, distances = judge.nearest(samples)
    assert indices.tolist()[:2] == [7, 3]
    np.testing.assert_allclose(distances[:2], [0.001, 0], atol=1e-6)
    assert judge.copied(samples) == pytest.approx(2 / 3)
    assert judge.copied(images) == 1
    assert (judge.among < judge.near).mean() == pytest.approx(0.01, abs=0.003)
    common.quality.draw_closest(judge, samples, tmp_path / "closest.png", count=2)
    (panels, titles, _), named = shown["grid"]
    np.testing.assert_array_equal(panels, [samples[1], images[3], samples[0], images[7]])
    assert titles == ["sample", "training: 0.00"] * 2
    assert named["title"] == "the 2 of 3 samples that are nearest to a training image"


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
