"""A trained classifier from its run folder."""

import pathlib
from typing import Any

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from jaxvision import data, models, train
from jaxvision.train import classification

MODEL = models.create_model("linear_classifier", num_classes=3)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 5, 7, 2), dtype=np.uint8)
LABELS = np.array([0, 2, 1, 1, 0, 2, 2, 1])


def arrays() -> data.Dataset:
    names = ("cat", "dog", "eel")
    return data.from_arrays({"image": IMAGES, "label": LABELS}, class_names=names)


def fit(run_dir: pathlib.Path, loss_fn: Any, model: Any, batches: Any, **options: Any) -> Any:
    """Two steps."""
    optimizer = optax.sgd(0.1)
    state = train.init_state(jax.random.key(0), model, optimizer, next(iter(batches)))
    step = train.make_train_step(loss_fn, optimizer)
    return train.fit(step, state, batches, num_steps=2, run_dir=run_dir, **options).state


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, train.TrainState]:
    """A run on images of odd size and two channels that are normalized."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    loss_fn = classification.make_loss_fn(MODEL, inputs=train.Inputs((0.5, 0.25), (0.25, 2.0)))
    return folder, fit(folder, loss_fn, MODEL, arrays().batches(8), checkpoint_every=1)


def test_a_classifier_knows_what_its_images_need(trained) -> None:
    folder, _ = trained
    classifier = train.restore(folder)
    assert classifier.model == MODEL
    assert classifier.preprocessing == data.Preprocessing((5, 7), mean=(0.5, 0.25), std=(0.25, 2.0))
    assert classifier.channels == 2
    assert classifier.class_names == ("cat", "dog", "eel")
    assert classifier.record.task == "classification"
    assert isinstance(classifier, classification.TrainedClassifier)


def test_it_normalizes_what_it_predicts(trained) -> None:
    folder, state = trained
    pixels = (IMAGES / 255 - np.array([0.5, 0.25])) / np.array([0.25, 2.0])
    expected = MODEL.apply({"params": state.params}, pixels.astype(np.float32))
    predictions = train.restore(str(folder)).predict(arrays(), batch_size=4)
    np.testing.assert_allclose(predictions.logits, expected, atol=1e-4)
    assert predictions.labels.tolist() == LABELS.tolist()


def test_an_earlier_checkpoint(trained) -> None:
    folder, state = trained
    first, last = (train.restore(folder, step=step) for step in (1, 2))
    np.testing.assert_array_equal(
        last.variables["params"]["head"]["kernel"], state.params["head"]["kernel"]
    )
    assert not np.array_equal(
        first.variables["params"]["head"]["kernel"], state.params["head"]["kernel"]
    )


def test_crop_and_interpolation_of_a_folder_are_kept(tmp_path: pathlib.Path) -> None:
    for index, name in enumerate(("cat", "dog", "eel")):
        (tmp_path / "images" / name).mkdir(parents=True)
        image = Image.fromarray(np.full((9, 12, 3), 80 * index, np.uint8))
        image.save(tmp_path / "images" / name / "one.png")
    how = data.Preprocessing((6, 4), crop=0.5, interpolation="bicubic")
    dataset = data.load_folder(tmp_path / "images", preprocessing=how, channels=3)
    loss_fn = classification.make_loss_fn(MODEL, inputs=train.Inputs((0.5,), (0.25,)))
    fit(tmp_path / "run", loss_fn, MODEL, dataset.batches(8))
    found = train.restore(tmp_path / "run").preprocessing
    assert found == data.Preprocessing(
        (6, 4), crop=0.5, interpolation="bicubic", mean=(0.5,), std=(0.25,)
    )


def test_scores_figures_and_words(trained) -> None:
    classifier = train.restore(trained[0])
    predictions = classifier.predict(arrays())
    scores = classifier.evaluate(predictions, num_resamples=0)
    right = predictions.classes == LABELS
    assert scores["accuracy"].value == right.mean()
    files = classifier.draw(predictions, arrays())
    assert {file.name for file in files} >= {"confusion_matrix.png", "mistakes.png"}
    assert all(file.is_file() and trained[0] in file.parents for file in files)
    words = classifier.in_words(predictions, top=2)
    best = ("cat", "dog", "eel")[int(predictions.classes[0])]
    assert words[0].startswith(f"{best} {predictions.probabilities[0].max():.1%}, ")
    with pytest.raises(ValueError, match="give a data set or batches"):
        classifier.predict()


def test_images_of_any_size_are_answered(trained, monkeypatch) -> None:
    """Resized as those of the training, however many are predicted together."""
    monkeypatch.setattr("jaxvision.train.tasks._TOGETHER", 3)
    classifier = train.restore(trained[0])
    large = IMAGES.repeat(2, axis=1).repeat(2, axis=2)
    answers = [*classifier.answers(iter(large), top=1)]
    pixels = [data.resize_and_crop(image, classifier.preprocessing) for image in large]
    expected = classifier.predict(data.from_arrays({"image": np.stack(pixels)}))
    assert [answer.words for answer in answers] == classifier.in_words(expected, top=1)
    first = answers[0].content
    assert first["answer"] == answers[0].words
    share = float(expected.probabilities[0].max())
    assert first["classes"] == [answers[0].words.split()[0]]
    assert first["probabilities"] == [pytest.approx(share, abs=1e-6)]
    assert answers[0].mask is None
    assert [*classifier.answers([])] == []
    with pytest.raises(NotImplementedError, match="'classification' cannot take tile"):
        next(classifier.answers(large, tile=3))


def test_two_classifiers_are_compared(trained) -> None:
    first, last = (train.restore(trained[0], step=step) for step in (1, 2))
    own, other = (classifier.predict(arrays()) for classifier in (first, last))
    words, numbers = first.compare(own, other, num_resamples=50)
    difference = (own.classes == LABELS).mean() - (other.classes == LABELS).mean()
    assert numbers["difference"] == pytest.approx(difference)
    assert f"McNemar's test: exact p = {numbers['exact_p_value']:.4g}" in words
    with pytest.raises(ValueError, match="was evaluated on other images"):
        first.compare(own, other._replace(labels=LABELS[::-1]))


def test_batches_that_do_not_say_what_they_are(tmp_path: pathlib.Path) -> None:
    batches = [{"image": IMAGES / np.float32(255), "label": LABELS}] * 2
    fit(tmp_path / "run", classification.make_loss_fn(MODEL), MODEL, batches)
    with pytest.raises(train.CheckpointError, match="not the run of a classifier on images"):
        train.restore(tmp_path / "run")


def test_no_run(tmp_path: pathlib.Path) -> None:
    with pytest.raises(train.CheckpointError, match="is not the folder of a run"):
        train.restore(tmp_path)
