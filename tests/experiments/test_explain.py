"""Pages that explain the decisions of trained models."""

import importlib
import json
import pathlib
import types
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scripts import EXPERIMENTS, modules_of_scripts, run_here

from jaxvision import models


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.SimpleNamespace]:
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    names = ("explainers", "subjects", "image_files", "observations")
    with modules_of_scripts():
        yield types.SimpleNamespace(
            explain=importlib.import_module("explain"),
            **{name: importlib.import_module(f"common.{name}") for name in names},
        )


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("runs") / "lenet"
    options = ["--model", "lenet5", "--num-steps", 60, "--no-figures"]
    run_here("classify", "--run-dir", folder, *options)
    return folder


@pytest.fixture
def photos(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        pixels = random.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_the_rule_of_the_first_layer_knows_the_range_of_normalized_images(common) -> None:
    subject = common.explainers.Subject(lambda x: x, mean=(0.5, 0.2), std=(0.25, 0.1))
    np.testing.assert_allclose(subject.first_rule.low, [-2, -2])
    np.testing.assert_allclose(subject.first_rule.high, [2, 8])


def test_maps_of_a_linear_function_add_up_to_the_score_less_that_of_the_baseline(common) -> None:
    weights = np.random.default_rng(0).standard_normal((48, 3)).astype(np.float32)
    mean, images = 0.4, np.random.default_rng(1).random((2, 4, 4, 3), np.float32)
    subject = common.explainers.Subject(
        lambda x: ((x - mean) / 0.5).reshape(len(x), -1) @ weights, (mean,) * 3, (0.5,) * 3
    )
    wanted = np.asarray(subject.f(images))[:, 1]
    for name in ("integrated_gradients", "deeplift", "lrp_epsilon"):
        run = common.explainers.compiled(common.explainers.EXPLAINERS[name], subject)
        found = run(images, np.array([1, 1]), jax.random.key(0))
        np.testing.assert_allclose(found.map.sum((1, 2, 3)), wanted, rtol=1e-3)
        assert found.holds.all()


def test_targets_of_masks_are_means_over_the_pixels_that_have_the_class(common) -> None:
    decision = common.subjects.Decision(
        common.explainers.Subject(lambda x: x), ["background", "a", "b"], True, per_pixel=True
    )
    logits = np.zeros((1, 2, 2, 3), np.float32)
    logits[0, 0, 0] = [0, 5, 1]
    logits[0, 0, 1] = [0, 7, 1]
    scores = decision.scores(logits)
    assert scores.tolist() == [0.5, 0.5, 0]
    assert decision.choose(scores, None) == 1  # not the background
    assert decision.choose(np.array([1.0, 0, 0]), None) == 0
    target = decision.target_of(decision.given(logits, 1))
    assert target(logits).tolist() == [6]
    nowhere = decision.target_of(decision.given(logits, 2))
    assert nowhere(logits).tolist() == [0.5]  # over all pixels
    assert decision.measure == "share of the pixels"


def test_targets_of_scores_of_pixels_are_means_over_the_tenth_with_the_highest(common) -> None:
    decision = common.subjects.Decision(
        common.explainers.Subject(lambda x: x), ["density"], False, per_pixel=True, meaning="log p"
    )
    outputs = np.arange(100, dtype=np.float32).reshape(1, 10, 10, 1)
    scores = decision.scores(outputs)
    assert scores.tolist() == [94.5]
    assert decision.choose(scores, None) == 0
    assert decision.region(outputs, 0).sum() == 10
    target = decision.target_of(decision.given(outputs, 0))
    assert target(jnp.asarray(outputs)).tolist() == [94.5]
    assert decision.why("run", 0, 94.5) == (
        "why run gives 'density' 94.5 (log p, mean of the outlined pixels)"
    )


def test_numbers_of_vectors_are_hidden_one_by_one(common) -> None:
    weights = np.float32([[1], [2], [-3]])
    subject = common.explainers.Subject(lambda x: x @ weights, bounded=False)
    assert subject.first_rule is None
    chosen = common.explainers.EXPLAINERS["occlusion"]
    found = common.explainers.compiled(chosen, subject)(
        np.ones((1, 3), np.float32), np.array([0]), None
    )
    assert found.map.tolist() == [[1, 2, -3]]


def test_pictures_of_observations(common) -> None:
    picture_of = common.observations.picture_of
    frames = np.zeros((1, 3, 3), np.float32)
    frames[0, [0, 1, 2], [0, 1, 2]] = 1  # a ball that moves to the right
    picture, title = picture_of(frames, 3)
    np.testing.assert_allclose(picture[0, :, 0], [0.36, 0.6, 1])
    assert title.startswith("newest of 3 frames, older ones darker")
    np.testing.assert_array_equal(picture_of(frames)[0], frames)
    two, title = picture_of(np.stack([frames[..., 0], 3 * frames[..., 0]], axis=-1))
    assert (two.shape, two.max(), title) == ((1, 3, 1), 1, "image (mean of 2 channels)")


def test_targets_by_name_and_number(common) -> None:
    decision = common.subjects.Decision(
        common.explainers.Subject(lambda x: x), ["cat", "dog"], are_logits=True, per_pixel=False
    )
    scores = decision.scores(np.array([[0.0, np.log(3)]]))
    np.testing.assert_allclose(scores, [0.25, 0.75])
    assert [decision.choose(scores, each) for each in (None, "cat", "1")] == [1, 0, 1]
    with pytest.raises(SystemExit, match="unknown target 'cta'; did you mean 'cat'"):
        decision.choose(scores, "cta")


def test_images_of_one_name_are_told_apart_by_their_folders(common) -> None:
    stems = common.image_files.stems_of(["x/a.png", "y/a.png", "x/b.png"])
    assert [*stems.values()] == ["x_a", "y_a", "b"]


@pytest.mark.slow
def test_pages_of_a_classifier(lenet: pathlib.Path, photos: pathlib.Path) -> None:
    done = run_here("explain", lenet, photos, "--top", 3)
    pages = lenet / "figures" / "explanations"
    facts = json.loads((pages / "explanations.json").read_text())
    assert [*facts] == [str(photos / "a.png"), str(photos / "b.png")]
    for name in ("a", "b"):
        content = facts[str(photos / f"{name}.png")]
        assert len(content["probability"]) == 3
        assert content["target"] == next(iter(content["probability"]))
        assert len(content["maps"]) == 6
        assert content["maps"]["lrp_z_plus"]["holds"]
        with Image.open(pages / f"{name}.png") as image:
            assert image.size[0] > 1000
    assert done.stdout.splitlines()[-1] == str(pages / "explanations.json")
    options = ["--explainers", "saliency", "--target", 7, "--out", photos / "out"]
    (photos / "bad.png").write_bytes(b"no image")
    done = run_here("explain", lenet, photos, *options, code=1)
    assert "bad.png is not an image" in done.stderr
    assert (
        json.loads((photos / "out" / "explanations.json").read_text())[str(photos / "a.png")][
            "target"
        ]
        == "7"
    )


@pytest.mark.slow
def test_summary_of_a_data_set(lenet: pathlib.Path, tmp_path: pathlib.Path) -> None:
    options = ["--explainers", "saliency", "deeplift", "--count", 4, "--out", tmp_path]
    lines = run_here("explain", lenet, "--dataset", "digits", *options).stdout.splitlines()
    assert lines[0] == "digits/test: 4 images"
    assert [line.partition("  ")[0] for line in lines[2:4]] == ["gradient (absolute)", "DeepLIFT"]
    written = json.loads((tmp_path / "digits_test" / "summary.json").read_text())
    assert written["images"] == 4
    of_deeplift = written["explainers"]["deeplift"]
    assert 0 < of_deeplift["largest_error"] < 0.01
    deletion = of_deeplift["deletion"]
    assert 0 < deletion["low"] < deletion["value"] < deletion["high"] < 1
    with Image.open(tmp_path / "digits_test" / "summary.png") as image:
        assert image.size[0] > 400


@pytest.mark.slow
def test_pages_of_weights(photos: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model = models.create_model("resnet18", num_classes=4)
    images = np.zeros((1, 224, 224, 3), np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images)
    models.save_weights(model, variables, tmp_path / "weights.safetensors")
    options = ["--model", "resnet18", "--num-classes", 4]
    options += ["--explainers", "guided_backprop", "grad_cam", "--out", tmp_path / "out"]
    done = run_here("explain", tmp_path / "weights.safetensors", photos / "a.png", *options)
    assert "guided backprop: no axiom to check" in done.stdout
    assert (tmp_path / "out" / "a.png").exists()


@pytest.mark.slow
def test_pages_of_fixations_and_conditional_models(tmp_path: pathlib.Path) -> None:
    few = ["--seeds", 0, "--no-figures"]
    digits = ["--network", "dense", "--conditional", "--num-steps", 2, "--samples", 2]
    run_here("vae", "--run-dir", tmp_path / "vae", *digits, *few)
    scenes = ["--image-size", 16, "--model", "linear3x3", "--num-steps", 2]
    scenes += ["--train-split", "train[:16]", "--eval-split", "test[:8]"]
    run_here("fixations", "--run-dir", tmp_path / "looks", *scenes, *few)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
        tmp_path / "a.png"
    )
    given = [tmp_path / "a.png", "--explainers", "saliency", "occlusion", "--out", tmp_path]
    said = run_here("explain", tmp_path / "looks" / "network" / "seed0", *given).stdout
    assert f"{tmp_path / 'a.png'}: fixations " in said
    facts = json.loads((tmp_path / "explanations.json").read_text())[str(tmp_path / "a.png")]
    assert facts["log density above its mean"]["fixations"] > 0
    said = run_here("explain", tmp_path / "vae" / "seed0", *given, "--decision", "code as 3").stdout
    assert ": number " in said
    facts = json.loads((tmp_path / "explanations.json").read_text())[str(tmp_path / "a.png")]
    assert len(facts["code as 3"]) == 5


@pytest.mark.slow
def test_pages_of_agents(tmp_path: pathlib.Path) -> None:
    """Of images, of stacked frames, and of vectors, of which one of two seeds is chosen."""
    few = ["--num-steps", 8, "--updates-per-step", 1, "--eval-episodes", 2, "--no-figures"]
    catch = ["--environment", "Catch", "--seeds", 0, "--num-envs", 4, "--budget", 32, *few]
    only = ["--explainers", "saliency", "lrp_epsilon", "--observations", 2]
    for frames in (1, 2):
        folder = tmp_path / f"catch{frames}"
        run_here("ppo", "--run-dir", folder, *catch, "--frame-stack", frames)
        said = run_here("explain", folder / "seed0", *only).stdout
        assert "the decision is 'policy'; --decision takes 'value' too" in said
        assert "an episode of Catch: 9 steps, return " in said
        pages = folder / "seed0" / "figures" / "explanations"
        assert sorted(path.name for path in pages.glob("*.png")) == ["step_1.png", "step_9.png"]
        facts = json.loads((pages / "explanations.json").read_text())["step 9 of 9"]
        assert facts["target"] in ("left", "stay", "right")
        assert facts["maps"]["lrp_epsilon"]["holds"]
    said = run_here("explain", folder / "seed0", tmp_path / "a.png", code=1).stderr
    assert "the agent of Catch observes 2 frames, which no image file holds: leave it out" in said
    said = run_here("explain", folder / "seed0", "--dataset", "digits", code=1).stderr
    assert "--dataset has no meaning for the agent of Catch: leave it out, and observations" in said
    Image.fromarray(np.zeros((10, 5), np.uint8)).save(tmp_path / "a.png")
    said = run_here("explain", tmp_path / "catch1" / "seed0", tmp_path / "a.png", *only).stdout
    assert "a.png: " in said
    cart = ["--num-envs", 4, "--budget", 32, *few, "--seeds", 3, 4, "--together"]
    run_here("ppo", "--run-dir", tmp_path / "cart", *cart)
    folder = tmp_path / "cart" / "together"
    assert "choose with --agent-seed one of 3, 4" in run_here("explain", folder, code=1).stderr
    said = run_here("explain", folder, "--agent-seed", 4, "--decision", "value", *only).stdout
    assert "value " in said
    assert "LRP-epsilon: conservation kept" in said


def test_explainers_that_cannot_explain_a_model_say_why_and_the_others_go_on(
    common, capsys
) -> None:
    subject = common.explainers.Subject(lambda x: jnp.fft.rfft(x.reshape(len(x), -1)).real)
    run = {
        name: common.explainers.compiled(each, subject)
        for name, each in common.explainers.chosen(["lrp_epsilon", "saliency"]).items()
    }
    pages = types.SimpleNamespace(run=run, settings=types.SimpleNamespace(seed=0))
    images, given = np.random.default_rng(0).random((1, 3, 3, 1), np.float32), np.array([0])
    maps = common.explain.Pages.maps
    assert [name for name, _ in maps(pages, images, given)] == ["saliency"]
    assert "lrp_epsilon cannot explain this model: " in capsys.readouterr().err
    assert [*run] == ["saliency"]  # asked once only
    del run["saliency"]
    with pytest.raises(SystemExit, match="no explainer can explain this model"):
        [*maps(pages, images, given)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs/none", "a.png"], "there is no run folder or file of weights runs/none"),
        (["x", "a.png", "--explainers", "grad_cm"], "did you mean 'grad_cam'"),
        (["x"], "name at least one image, or a folder of images"),
        (["x", "a.png", "--top", 0], "--top must be at least 1, got 0"),
        (["x", "--dataset", "digits", "--count", 0], "--count must be at least 1, got 0"),
        (["x", "a.png", "--dataset", "digits"], "name images or a --dataset, not both"),
    ],
)
def test_wrong_settings(arguments: list, message: str) -> None:
    assert message in run_here("explain", *arguments, code=1).stderr
