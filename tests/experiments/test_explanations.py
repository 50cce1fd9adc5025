"""Measures of explanations, planted tags, and the script that ranks explainers."""

import importlib
import json

import jax
import numpy as np
import pytest
from jax.tree_util import Partial
from PIL import Image
from scripts import EXPERIMENTS, modules_of_scripts, run_here

from jaxvision import data, models
from jaxvision.data.builders.shapes import ShapesConfig


@pytest.fixture
def scripts(monkeypatch):
    """Imports modules as the scripts do."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    with modules_of_scripts():
        yield importlib.import_module


def linear(weights, images):
    """The logit of the first of two classes is linear, that of the other one is 0."""
    logit = (weights * images).sum(axis=(1, 2, 3))
    return logit[:, None] * np.array([1.0, 0.0], np.float32)


@pytest.mark.usefixtures("unchecked")
def test_gradient_x_input_of_a_linear_function_is_measured_as_perfect(scripts) -> None:
    explanations, explainers = (
        scripts(f"common.{name}") for name in ("explanations", "explainers")
    )
    random = np.random.default_rng(0)
    weights, others = random.normal(size=(2, 4, 4, 2)).astype(np.float32)
    images = random.random((3, 4, 4, 2), np.float32)
    masks = random.random((3, 4, 4)) < 0.5
    subject, randomized = (
        explainers.Subject(Partial(linear, each), (0.0, 0.0)) for each in (weights, others)
    )
    # The second batch has one image.
    options = explanations.Options(
        steps=8, num_subsets=5, shares=(0.1, 0.5), tolerance=0.0, batch_size=2
    )
    found = explanations.measure(
        subject,
        explainers.EXPLAINERS["gradient_x_input"],
        images,
        np.zeros(3, np.int32),
        masks,
        key=jax.random.key(0),
        randomized=randomized,
        options=options,
    )
    assert {len(each) for each in found.values()} == {3}
    for name in ("faithfulness", "sensitivity_n"):
        np.testing.assert_allclose(found[name], 1, rtol=1e-5)
    relevance = (weights * images).sum(axis=-1).reshape(3, 16)
    inside = masks.reshape(3, 16)
    positive = np.maximum(relevance, 0)
    mass = (positive * inside).sum(axis=1) / positive.sum(axis=1)
    np.testing.assert_allclose(found["relevance_mass"], mass, rtol=1e-5)
    hits = inside[np.arange(3), relevance.argmax(axis=1)]
    np.testing.assert_array_equal(found["pointing_game"], hits)
    logits = relevance.sum(axis=1)[:, None] - np.cumsum(np.sort(relevance)[:, ::-1], axis=1)
    logits = np.concatenate([relevance.sum(axis=1)[:, None], logits], axis=1)[:, ::2]
    areas = np.trapezoid(1 / (1 + np.exp(-logits)), np.linspace(0, 1, 9), axis=1)
    np.testing.assert_allclose(found["deletion"], areas, rtol=1e-4)
    ranks = [
        np.abs(each * images).sum(axis=-1).reshape(3, 16).argsort().argsort()
        for each in (weights, others)
    ]
    correlations = [np.corrcoef(*pair)[0, 1] for pair in zip(*ranks, strict=True)]
    np.testing.assert_allclose(found["rank_after_reset"], correlations, atol=1e-5)
    assert np.all(found["seconds"] > 0)


def test_the_upper_half_of_a_network_is_random(scripts) -> None:
    model = models.create_model("lenet5", num_classes=3, in_channels=1)
    images = np.zeros((1, 32, 32, 1), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 7, leaf.dtype), shapes)
    network = scripts("common.explanations").Network(model)
    (found,) = network.half_random(variables, jax.random.key(0), images).f.args
    kept = {name: np.all(layer["kernel"] == 7) for name, layer in found["params"].items()}
    assert kept == {"c1": True, "c3": True, "c5": False, "f6": False, "head": False}


def test_a_tag_is_planted_in_a_random_corner(scripts) -> None:
    tag = scripts("common.tags").Tag(size=2, color=(9, 8, 7))
    images = np.full((40, 6, 5, 3), 50, np.uint8)
    chosen = np.arange(40) < 30
    planted, masks = tag.plant(images, chosen, seed=0)
    assert np.all(images == 50)
    assert np.all(planted[~masks] == 50)
    assert np.all(planted[masks] == (9, 8, 7))
    np.testing.assert_array_equal(masks.sum(axis=(1, 2)), np.where(chosen, 4, 0))
    corners = masks[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_array_equal(corners.sum(axis=1), chosen)
    assert np.all(corners.any(axis=0))


def test_a_share_of_one_class_has_tags(scripts) -> None:
    labels = np.arange(600) % 3
    images = np.zeros((600, 8, 8, 3), np.uint8)
    dataset = data.from_arrays({"image": images, "label": labels}, name="plain")
    tag = scripts("common.tags").Tag(label=1, share=0.5, size=1)
    found = tag.plant_in_class(dataset, seed=0)
    assert found.name == "plain with tags"
    has_tag = found.examples["image"].any(axis=(1, 2, 3))
    assert not has_tag[labels != 1].any()
    assert has_tag[labels == 1].mean() == pytest.approx(0.5, abs=0.1)
    with pytest.raises(ValueError, match=r"tag\.size must be from 1 to 4, half of .*, got 5"):
        scripts("common.tags").Tag(size=5).check(3, 8, 9)
    with pytest.raises(ValueError, match=r"tag\.label must be from 0 to 2, got 3"):
        scripts("common.tags").Tag(label=3).check(3, 8, 8)


def test_ranks_are_averaged_over_measures(scripts) -> None:
    script = scripts("explainers")
    good = {name: 0.5 + 0.4 * sign for name, sign in script.MEASURES.items()}
    bad = {name: 0.5 - 0.4 * sign for name, sign in script.MEASURES.items()}
    undefined = {**bad, "insertion": float("nan")}
    found = script.ranked({"bad": bad, "good": good, "undefined": undefined})
    count = len(script.MEASURES)
    assert found["good"]["mean_rank"] == 1
    assert found["bad"]["mean_rank"] == pytest.approx((2.5 * (count - 1) + 2) / count)
    assert found["undefined"]["mean_rank"] == pytest.approx((2.5 * (count - 1) + 3) / count)
    assert found["good"]["deletion"] == good["deletion"]


@pytest.mark.slow
def test_explainers_are_ranked(tmp_path) -> None:
    config = ShapesConfig(size=(32, 32), num_scenes=(64, 4, 40), num_objects=(1, 1), crowd=0)
    data.load("shapes", "train", config=config)
    done = run_here(
        "explainers",
        *("--run-dir", tmp_path, "--dataset", f"shapes/{config.name}", "--seeds", 0),
        *("--backbone-options", "channels", 2, "norm", "group", "--num-steps", 10),
        *("--classifier.num-steps", 60, "--classifier.batch-size", 32, "--images", 4),
        *("--classifier.learning-rate", 2e-2, "--eval-every", 60),
        *("--tag.size", 4, "--explainers", "saliency", "grad_cam"),
    )
    scores = json.loads((tmp_path / "summary.json").read_text())["scores"]
    for name in ("saliency", "grad_cam", "random", "center"):
        assert all(1 <= rank <= 4 for rank in scores[f"{name}/mean_rank"]["values"])
        assert len(scores[f"{name}/tag_gain"]["values"]) == 1
    # The same key gives the same random map, whatever the network.
    assert scores["random/rank_after_reset"]["values"] == pytest.approx([1])
    assert scores["random/tag_gain"]["values"] == pytest.approx([0])
    assert "Grad-CAM" in done.stdout
    with Image.open(tmp_path / "seed0" / "figures" / "clever_hans.png") as image:
        assert image.size[0] > 400
    done = run_here("explainers", "--run-dir", tmp_path, "--explainers", "gradcam", code=1)
    assert "unknown explainer 'gradcam'; did you mean 'grad_cam'?" in done.stderr
