"""What is given in the place of something else: a name, a loss, data, images of other sizes."""

import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvision import data, losses, models, train
from jaxvision.train.optimizers import create_optimizer

MODEL = models.create_model("linear_classifier", num_classes=10)
SGD = optax.sgd(0.1)
LOSS = train.classification.make_loss_fn(MODEL)
STEP = train.make_train_step(LOSS, SGD)
KEY = jax.random.key(0)


def images(size: int, channels: int = 1) -> data.Dataset:
    pixels = np.zeros((16, size, size, channels), np.uint8)
    return data.from_arrays({"image": pixels, "label": np.arange(16) % 10})


def state() -> train.TrainState:
    params = {"head": {"kernel": np.zeros((64, 10), np.float32), "bias": np.zeros(10, np.float32)}}
    return train.TrainState(
        step=np.int32(0),
        params=params,
        model_state={},
        opt_state=SGD.init(params),
        ema_params=None,
        key=KEY,
    )


def fit(step=STEP, given=None, dataset=None, **options):
    dataset = dataset or images(8)
    return train.fit(
        step, state() if given is None else given, dataset.batches(8), num_steps=1, **options
    )


CALLS = {
    "a name as loss": (
        lambda: train.classification.make_loss_fn(MODEL, loss="crossentropy"),
        "loss must be a function, such as losses.cross_entropy, got 'crossentropy'",
    ),
    "a name as mask loss": (
        lambda: train.segmentation.make_loss_fn(MODEL, loss="dice"),
        "loss must be a function, such as losses.soft_dice, got 'dice'",
    ),
    "a name as model": (
        lambda: train.classification.make_loss_fn("mlp"),
        "model must be a Flax module, got 'mlp': models.create_model makes one",
    ),
    "a class as model": (
        lambda: train.init_state(KEY, models.ResNet, SGD, images(8).sample_batch()),
        "model must be a Flax module, got ResNet",
    ),
    "a name as optimizer": (
        lambda: train.make_train_step(LOSS, "adam"),
        r"must be an Optax optimizer, got 'adam': train.create_optimizer\('adam', learning_rate\)",
    ),
    "a function as optimizer": (
        lambda: train.init_state(KEY, MODEL, optax.adam, images(8).sample_batch()),
        "must be an Optax optimizer, got adam: ",
    ),
    "a loss of logits": (
        lambda: train.make_train_step(losses.cross_entropy, SGD),
        "loss_fn must be a function .* got cross_entropy: the make_loss_fn of a task makes one",
    ),
    "a model as loss": (lambda: train.make_train_step(MODEL, SGD), r"got LinearClassifier\(...\)"),
    "a loss as step": (
        lambda: fit(LOSS),
        r"step must be .* got a loss: make_train_step\(loss_fn, optimizer\) makes one",
    ),
    "a model as step": (lambda: fit(MODEL), r"step must be .* got LinearClassifier\(...\)"),
    "parameters as state": (
        lambda: fit(given=state().params),
        r"needs a whole TrainState, got dict: init_state\(",
    ),
    "a function as name": (
        lambda: create_optimizer(optax.adam, 0.1),
        r"optimizer must be one of sgd, momentum, .* got <function",
    ),
    "another name of the rate": (
        lambda: create_optimizer("adam", lr=1e-3),
        r"'learning_rate'; call it as create_optimizer\('adam', learning_rate\)",
    ),
    "an array as data": (
        lambda: train.map_batches(jnp.sum, 0, np.zeros((3, 8, 8, 1))),
        r"got the shape \(3, 8, 8, 1\): data.from_arrays\({'image': images}\)",
    ),
    "a file as data": (lambda: train.map_batches(jnp.sum, 0, "digit.png"), "got 'digit.png': "),
    "arrays as batches": (
        lambda: train.map_batches(jnp.sum, 0, [np.zeros((3, 8, 8, 1))]),
        "a batch must be a dict such as {'image': images}, got ndarray",
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_is_something_else(call: str, unchecked) -> None:
    make, message = CALLS[call]
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize("rate", ["1e-3", float("nan"), None])
def test_a_rate_that_is_no_number(rate, unchecked) -> None:
    with pytest.raises(ValueError, match=f"learning_rate must be a number, not .* got {rate!r}"):
        create_optimizer("adam", rate)


def test_numbers_of_arrays_are_rates(unchecked) -> None:
    for rate in (np.float32(0.5), np.array(0.5), jnp.asarray(0.5), 1):
        assert create_optimizer("adam", rate).learning_rate is rate


@pytest.mark.parametrize("evaluate", [LOSS, LOSS.evaluate])
def test_a_loss_needs_data_to_evaluate(evaluate) -> None:
    with pytest.raises(ValueError, match=r"loss of evaluation .* has no data: give eval_data"):
        fit(evaluate=evaluate)


def test_a_function_that_misses_its_data_is_told() -> None:
    def step(state, batch):
        return state + 1, {}

    with pytest.raises(TypeError, match="not subscriptable") as caught:
        fit(step, np.zeros(()), evaluate=lambda state, batch: batch["image"])
    assert caught.value.__notes__ == [
        "evaluation has no data, and got None for a batch: give eval_data"
    ]


@pytest.mark.parametrize(
    ("dataset", "got", "needs"),
    [(images(6), r"\(8, 6, 6, 1\)", 36), (images(8, 3), r"\(8, 8, 8, 3\)", 192)],
)
def test_images_that_a_state_was_not_made_for(dataset, got: str, needs: int) -> None:
    message = (
        rf"'image' of shape {got} needs .* head/kernel of shape \({needs}, 10\), .* \(64, 10\)"
    )
    with pytest.raises(ValueError, match=message):
        fit(dataset=dataset)


class TrainedLine(train.Trained):
    """A trained run without a folder."""

    def predict(self, data=None, *, batch_size=128):
        variables = {"params": state().params}
        return train.classification.predict(MODEL, variables, data, batch_size=batch_size)

    def evaluate(self, predictions, *, num_resamples=0):
        return {"rows": len(predictions.logits)}

    def draw(self, predictions, data=None):
        return [] if predictions is None else [predictions.logits]

    def in_words(self, predictions, *, top=3):
        return [repr(predictions)]


def trained() -> TrainedLine:
    record = types.SimpleNamespace(data={"image_shape": [8, 8, 1]})
    return TrainedLine(types.SimpleNamespace(record=record, folder=pathlib.Path("line")))


def test_a_trained_run_knows_its_images(unchecked) -> None:
    message = r"in line has learned from images of shape \(8, 8, 1\); .*of shape \(16, 6, 6, 1\)"
    with pytest.raises(ValueError, match=message):
        trained().predict(images(6))


def test_data_are_no_predictions(unchecked) -> None:
    with pytest.raises(TypeError, match=r"evaluate takes .*: trained.evaluate\(trained.predict\("):
        trained().evaluate(images(8))
    with pytest.raises(TypeError, match=r"draw takes predictions, got Batches"):
        trained().draw(predictions=images(8).batches(4))
    assert trained().draw(None, images(8)) == []
    assert trained().in_words(images(8)) == [repr(images(8))]  # where a task means it
