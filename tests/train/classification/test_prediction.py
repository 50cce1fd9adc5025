"""What a classifier says of data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import data, models, train
from jaxvision.train import classification

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(6, 4, 4, 1)).astype(np.float32)
LABELS = np.array([0, 2, 1, 1, 0, 2])
MODEL = models.create_model("linear_classifier", num_classes=3)
PARAMS = jax.tree.map(
    lambda leaf: 10 * leaf + 0.1, MODEL.init(jax.random.key(0), jnp.asarray(IMAGES))["params"]
)


def predicted(images: np.ndarray) -> np.ndarray:
    return np.asarray(MODEL.apply({"params": PARAMS}, jnp.asarray(images)))


@pytest.mark.parametrize("batch_size", [1, 4, 6, 128])
@pytest.mark.parametrize("label", [np.int64, np.uint8, None])
def test_predictions_come_in_order_without_padding(batch_size: int, label) -> None:
    arrays = (
        {"image": IMAGES} if label is None else {"image": IMAGES, "label": LABELS.astype(label)}
    )
    dataset = data.from_arrays(arrays)
    logits, labels, indices = classification.predict(
        MODEL, {"params": PARAMS}, dataset, batch_size=batch_size
    )
    np.testing.assert_allclose(logits, predicted(IMAGES), atol=1e-5)
    assert labels.tolist() == ([-1] * 6 if label is None else LABELS.tolist())
    assert indices.tolist() == list(range(6))


def test_predictions_of_an_iterator_of_batches() -> None:
    batches = [
        {"image": IMAGES[:4], "label": LABELS[:4], "weight": np.float32([1, 0, 1, 1])},
        {"image": IMAGES[4:], "label": LABELS[4:]},
    ]
    logits, labels, indices = classification.predict(MODEL, {"params": PARAMS}, iter(batches))
    np.testing.assert_allclose(logits, predicted(IMAGES[[0, 2, 3, 4, 5]]), atol=1e-5)
    assert labels.tolist() == LABELS[[0, 2, 3, 4, 5]].tolist()
    assert indices.tolist() == [0, 2, 3, 4, 5]


def test_predictions_of_bytes_and_with_normalization() -> None:
    bytes_ = np.round(255 * IMAGES).astype(np.uint8)
    logits, *_ = classification.predict(
        MODEL, {"params": PARAMS}, [{"image": bytes_}], inputs=train.Inputs((0.5,), (0.25,))
    )
    expected = predicted(((bytes_ / 255 - 0.5) / 0.25).astype(np.float32))
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_predictions_of_half_precision_are_float32() -> None:
    model = models.create_model("linear_classifier", num_classes=3, dtype="bfloat16")
    logits, *_ = classification.predict(model, {"params": PARAMS}, [{"image": IMAGES}])
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, predicted(IMAGES), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (list, "nothing to compute: the data hold no example"),
        (lambda: data.from_arrays({"image": IMAGES[:0]}), "no examples"),
    ],
)
def test_predictions_of_nothing(given, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification.predict(MODEL, {"params": PARAMS}, given())


def test_probabilities_and_classes() -> None:
    logits = np.log(np.float32([[1, 3], [4, 1], [0.5, 0.5]]))
    predictions = classification.Predictions(logits, np.zeros(3, int), np.arange(3))
    np.testing.assert_allclose(
        predictions.probabilities, [[0.25, 0.75], [0.8, 0.2], [0.5, 0.5]], rtol=1e-6
    )
    assert predictions.classes.tolist() == [1, 0, 0]
    large = classification.Predictions(np.float32([[1e4, -1e4]]), np.zeros(1, int), np.arange(1))
    assert large.probabilities.tolist() == [[1.0, 0.0]]


def test_embeddings_are_the_vectors_before_the_logits() -> None:
    model = models.create_model("mlp", num_classes=3, hidden_sizes=(7,))
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1)).astype(np.uint8)
    rows = data.from_arrays({"image": images, "label": np.arange(5) % 3})
    variables = jax.jit(model.init)(jax.random.key(0), images / np.float32(255))
    inputs = train.Inputs((0.5,), (0.25,))
    found = train.classification.embed(model, variables, rows, batch_size=2, inputs=inputs)
    head = variables["params"]["head"]
    logits = found.vectors @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    said = train.classification.predict(model, variables, rows, inputs=inputs)
    np.testing.assert_allclose(logits, said.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.probabilities, said.probabilities, rtol=1e-4)
    np.testing.assert_array_equal(found.labels, said.labels)
    np.testing.assert_array_equal(found.indices, np.arange(5))
