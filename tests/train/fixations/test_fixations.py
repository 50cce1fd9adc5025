"""The task of fixations: what it learns, what it scores, and what comes back from its folder."""

import pathlib

import jax
import numpy as np
import optax
import pytest
import quick
from scipy import stats

from jaxvision import data, metrics, models, train
from jaxvision.train import fixations

MODEL = models.PixelClassifier(num_classes=1)
INPUTS = train.Inputs((0.5,), (0.25,))
FACTOR = 0.7
"""How much brighter pixels are looked at more, in the data that `bright` makes."""


def bright(rows: int = 12, seed: int = 0) -> data.Dataset:
    """People look at bright pixels: the density is the softmax of FACTOR times the brightness."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (rows, 6, 9, 1), dtype=np.uint8)
    powers = np.exp(FACTOR * (images[..., 0] / 255 - 0.5) / 0.25)
    density = (powers / powers.sum(axis=(1, 2), keepdims=True)).astype(np.float32)
    drawn = [data.draw_fixations(each, 10, (seed, row)) for row, each in enumerate(density)]
    arrays = {"image": images, "fixation_density": density, "fixations": np.stack(drawn)}
    return data.from_arrays(arrays, name="bright", split="test")


def fit(folder: pathlib.Path | None, steps: int, **options) -> train.FitResult:
    optimizer, dataset = optax.adam(0.1), bright()
    loss_fn = fixations.make_loss_fn(MODEL, inputs=INPUTS)
    state = train.init_state(jax.random.key(0), MODEL, optimizer, dataset.sample_batch())
    step = train.make_train_step(loss_fn, optimizer)
    options |= {"evaluate": loss_fn, "eval_data": bright(5, 1), "run_dir": folder}
    return train.fit(step, state, dataset.batches(8), num_steps=steps, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, train.FitResult]:
    folder = tmp_path_factory.mktemp("runs") / "bright"
    return folder, fit(folder, 60, checkpoint_every=59)


def test_it_learns_the_law_that_it_can_represent(run) -> None:
    folder, result = run
    trained = train.restore(folder)
    assert isinstance(trained, fixations.TrainedFixations)
    assert float(trained.variables["params"]["head"]["kernel"].item()) == pytest.approx(
        FACTOR, abs=0.02
    )
    assert result.metrics["loss"] < 1e-3
    assert result.metrics["cc"] > 0.999


def test_it_is_scored_by_the_measures_of_fixations(run) -> None:
    folder, result = run
    trained, held_out = train.restore(folder), bright(5, 1)
    predictions = trained.predict(held_out, batch_size=3)
    density = held_out.examples["fixation_density"]
    np.testing.assert_array_equal(predictions.density, density)
    predicted = np.exp(predictions.log_density)
    np.testing.assert_allclose(predicted.sum(axis=(1, 2)), 1, rtol=1e-5)
    counts = metrics.fixation_counts(held_out.examples["fixations"], (6, 9))
    assert counts.sum() == 50
    expected = {
        "nss": metrics.nss(predicted, counts),
        "auc_judd": metrics.auc_judd(predicted, counts),
        "cc": metrics.fixation_correlation(predicted, density),
        "sim": metrics.fixation_similarity(predicted, density),
        "kl": metrics.fixation_divergence(predicted, density),
    }
    scores = trained.evaluate(predictions)
    assert scores.keys() == expected.keys()
    for name, values in expected.items():
        near = {"rel": 1e-6, "abs": 1e-9}
        assert scores[name].value == pytest.approx(values.mean(), **near), name
        assert scores[name][1:3] == pytest.approx(metrics.t_interval(values), **near), name
        logged = result.metrics["loss" if name == "kl" else name]
        assert logged == pytest.approx(values.mean(), rel=1e-4, abs=1e-6), name


def test_its_figures_and_words(run, tmp_path) -> None:
    trained, held_out = train.restore(run[0]), bright(5, 1)
    predictions = trained.predict(held_out)
    files = trained.draw(predictions, held_out)
    assert [file.name for file in files] == ["learning_curves.png", "densities.png"]
    assert all(file.is_file() for file in files)
    unknown = trained.predict(data.from_arrays({"image": held_out.examples["image"]}))
    assert (unknown.density, unknown.fixations, unknown.valid) == (None, None, None)
    assert [file.name for file in fixations.draw(tmp_path, unknown, held_out)] == ["densities.png"]
    with pytest.raises(ValueError, match="scores need fixations or a true density"):
        trained.evaluate(unknown)
    (words, *_), (content, *_) = (ask(predictions) for ask in (trained.in_words, trained.contents))
    row, column = np.unravel_index(held_out.examples["image"][0].argmax(), (6, 9))
    assert content["most_looked_at"] == [column, row]
    ordered = np.sort(np.exp(predictions.log_density[0]), axis=None)[::-1]
    count = round(content["area_of_half"] * 54)
    assert ordered[: count - 1].sum() < 0.5 <= ordered[:count].sum() + 1e-6
    assert words == (
        f"most looked at: x {column}, y {row}; half of the fixations are on {count / 54:.1%} of "
        "the image"
    )


def test_two_models_are_compared(run) -> None:
    first, last = (train.restore(run[0], step=step) for step in (59, 60))
    own, other = (each.predict(bright(5, 1)) for each in (last, first))
    words, numbers = last.compare(own, other, num_resamples=50)
    a, b = (last.evaluate(each)["kl"].value for each in (own, other))
    assert numbers["difference"] == pytest.approx(a - b, abs=1e-12)
    assert words.startswith(f"divergence {a:.4f} against {b:.4f} nats")
    with pytest.raises(ValueError, match="was evaluated on other images"):
        last.compare(own, other._replace(density=other.density[::-1]))
    with pytest.raises(ValueError, match="needs true densities"):
        last.compare(own, other._replace(density=None))


def test_images_of_any_size_are_answered(run) -> None:
    trained, images = train.restore(run[0]), bright(5, 1).examples["image"]
    twice = np.tile(images[0], (2, 1, 1))
    first, second = trained.answers([images[0], twice])
    np.testing.assert_allclose(
        first.density, np.exp(trained.predict(bright(5, 1)).log_density[0]), rtol=1e-4
    )
    np.testing.assert_allclose(second.density, np.tile(first.density, (2, 1)) / 2, rtol=1e-4)
    assert first.content["most_looked_at"] == second.content["most_looked_at"]
    with pytest.raises(NotImplementedError, match="cannot take tile"):
        next(trained.answers(images, tile=4))


def test_an_image_is_resized_as_in_the_training_and_its_density_back(tmp_path) -> None:
    examples = bright()
    source = [{"image": examples[i]["image"]} for i in range(len(examples))]
    transform = data.with_fixations(count=4, field="objects")
    dataset = data.from_source(
        source,
        name="bright",
        split="all",
        image_size=3,
        transform=lambda example: transform({**example, "objects": []}),
    )
    optimizer = optax.sgd(0.1)
    loss_fn = fixations.make_loss_fn(MODEL)
    state = train.init_state(jax.random.key(0), MODEL, optimizer, dataset.sample_batch())
    step = train.make_train_step(loss_fn, optimizer)
    train.fit(step, state, dataset.batches(8), num_steps=1, run_dir=tmp_path / "run")
    trained = train.restore(tmp_path / "run")
    (answer,) = trained.answers([source[0]["image"]])
    half, whole = (
        data.Preprocessing(size, interpolation="bilinear", squash=True) for size in ((3, 4), (6, 9))
    )
    small = data.from_arrays({"image": data.resize_and_crop(source[0]["image"], half)[None]})
    powers = np.exp(data.resize_and_crop(trained.predict(small).log_density[0], whole))
    np.testing.assert_allclose(answer.density, powers / powers.sum(), rtol=1e-4)
    assert np.ptp(answer.density) > 1e-3


def test_the_loss_leaves_out_padding_and_normalizes_what_was_cut() -> None:
    batch = next(bright(4).batches(4, shuffle=False))
    batch |= {"weight": np.array([1, 0, 2, 1], np.float32)}
    batch["fixation_density"] = batch["fixation_density"] * np.float32(0.3)
    params = {"head": {"kernel": np.full((1, 1, 1, 1), 0.4, np.float32), "bias": np.ones(1)}}
    loss_fn = fixations.make_loss_fn(MODEL, inputs=INPUTS)

    @quick.jit
    def measured(params, batch):
        state = {"params": params, "model_state": {}}
        return loss_fn(params, {}, batch, jax.random.key(0)), loss_fn.measure(state, batch)["loss"]

    (loss, (_, logged)), pair = jax.device_get(measured(params, batch))
    powers = np.exp(0.4 * (batch["image"][..., 0] / 255 - 0.5) / 0.25)
    by_hand = [
        stats.entropy(q.ravel(), p.ravel())
        for q, p in zip(batch["fixation_density"], powers, strict=True)
    ]
    expected = np.average(by_hand, weights=batch["weight"])
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    for total, count in (logged["loss"], pair):
        assert total / count == pytest.approx(expected, rel=1e-4)
        assert count == 4


def test_scores_of_images_without_fixations() -> None:
    log_density = np.log(np.array([[[0.1, 0.9]], [[0.3, 0.7]]], np.float32))
    places = np.array([[[1.0, 0.0]], [[0.0, 0.0]]], np.float32)
    seen = fixations.Predictions(
        log_density, np.arange(2), fixations=places, valid=np.array([[True], [False]])
    )
    scores = fixations.score(seen)
    assert scores.keys() == {"nss", "auc_judd"}
    assert scores["nss"].value == pytest.approx(1)
    assert scores["nss"].note == "undefined in 1 images"
    none = fixations.score(seen._replace(valid=np.zeros((2, 1), bool)))
    assert np.isnan(none["nss"].value)
    assert none["nss"].note == "undefined in all images"


@pytest.mark.usefixtures("unchecked")
def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="one number per pixel, and the model gives 3"):
        fixations.make_loss_fn(models.PixelClassifier(num_classes=3))
    loss_fn = fixations.make_loss_fn(MODEL)
    batch = bright(2).sample_batch()
    loss_fn.check(batch)
    with pytest.raises(
        ValueError, match=r"needs 'image' and 'fixation_density'; this one has image"
    ):
        loss_fn.check({"image": batch["image"]})
    with pytest.raises(ValueError, match=r"\(1, 6, 9, 1\), and densities \(1, 6, 8\)"):
        loss_fn.check({**batch, "fixation_density": batch["fixation_density"][..., 1:]})
    dense = models.create_model("linear_classifier", num_classes=10)
    variables = {"params": {"head": {"kernel": np.zeros((54, 10)), "bias": np.zeros(10)}}}
    with pytest.raises(ValueError, match=r"returns the shape \(\d+, 10\) for images of the shape"):
        fixations.predict(dense, variables, bright(2))
    nan = {**batch, "image": np.full((1, 6, 9, 1), np.nan)}
    assert "'image' that are not finite" in loss_fn.diagnose(nan)
    assert loss_fn.diagnose(batch) is None
