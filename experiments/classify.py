"""Trains an image classifier: any registered model on any data set.

    python experiments/classify.py --run-dir runs/lenet
    python experiments/classify.py --model resnet18 --model-options small_images True
    python experiments/classify.py --dataset path/to/folder --image-size 64 --channels 3

Started again with the same command, a run that was cut off goes on where it was. The run folder
holds settings.json, metrics.jsonl, TensorBoard files, checkpoints and figures.
"""

import ast
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

import jax
import optax
import script
from augmentation import Augmentation, make_augment, make_mix

from jaxvision import data, losses, models, plots, train


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a training run."""

    run_dir: str = "runs/classify"
    """Where everything goes; a run that is there already is continued."""

    dataset: str = "digits"
    """A data set of TensorFlow Datasets; or a path with a slash in it (./pets) to a folder that
    holds a folder of images per class, or such a folder per split."""
    data_dir: str | None = None
    """Where TensorFlow Datasets keeps its files."""
    train_split: str = "train"
    """The split to train on."""
    eval_split: str = "test"
    """The split to evaluate on while training, and at the end."""
    validation: float | None = None
    """Evaluate on this share of the training split instead (0.2 is a fifth), of every class alike,
    drawn by the seed and held out of training; for data without a split to evaluate on."""
    classes: tuple[str, ...] | None = None
    """Names of the classes to tell apart, of those that there are; None takes all."""
    per_class: int | None = None
    """Train on so many images of each class, drawn by the seed; None takes all."""
    image_size: int | tuple[int, int] | None = 32
    """Resize and crop images to this height and width; None if they have one size."""
    channels: Literal[1, 3, 4] = 3
    """Channels of a folder's images: gray, RGB or RGBA."""
    corrupt: Literal["stop", "skip"] = "stop"
    """What to do with images that cannot be decoded."""
    num_workers: int = 0
    """Processes that read images which do not fit in memory; 0 reads by threads."""
    mean: tuple[float, ...] = (0.0,)
    """Mean of the channels of images that lie between 0 and 1; it is subtracted."""
    std: tuple[float, ...] = (1.0,)
    """Standard deviation of the channels; they are divided by it."""

    model: str = "lenet5"
    """A registered model."""
    model_options: dict[str, str] = dataclasses.field(default_factory=dict)
    """The model's own options, as NAME VALUE pairs: small_images True hidden_sizes 64,32."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What to compute in; parameters are float32."""

    seed: int = 0
    """Chooses initial parameters, the order of the images, and every other random draw."""
    batch_size: int = 128
    """Images per step, over all devices."""
    num_steps: int = 1_000
    """Steps in all."""
    optimizer: Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"] = (
        "adamw"
    )
    """The optimizer."""
    learning_rate: float = 2e-3
    """The highest learning rate."""
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """How the learning rate falls."""
    warmup_steps: int | None = None
    """Steps in which it rises; None takes a twentieth of all."""
    weight_decay: float = 1e-2
    """Shrinks kernels; biases and normalization parameters are left alone."""
    clip_norm: float | None = 1.0
    """The largest global norm of a gradient."""
    loss: Literal[
        "cross_entropy", "focal", "weston_watkins_hinge", "weston_watkins_squared_hinge"
    ] = "cross_entropy"
    """The loss of an example."""
    l1: float = 0.0
    """Factor of the sum of the kernels' absolute values, which is added to the loss."""
    l2: float = 0.0
    """Factor of the sum of the kernels' squares, which is added to the loss."""
    label_smoothing: float = 0.0
    """The share of the uniform distribution in the targets."""
    class_weights: tuple[float, ...] | None = None
    """One weight per class, for skewed data."""
    ema_decay: float | None = None
    """Evaluate an exponential moving average of the parameters."""
    accumulate_steps: int = 1
    """Compute the gradient of a batch in so many parts."""
    trainable: tuple[str, ...] | None = None
    """Regular expressions over parameter paths; the others stay as they are."""
    frozen: tuple[str, ...] = ()
    """Regular expressions over parameter paths: these stay as they are."""
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    """What is done to training images."""

    strategy: Literal["jit", "pmap"] = "jit"
    """How to use several devices."""
    fsdp: bool = False
    """Cut large parameters over the devices."""
    distributed: bool = False
    """Join the other processes of a pod or cluster."""
    log_every: int | None = None
    """Steps between lines of training metrics; None makes a hundred."""
    eval_every: int | None = None
    """Steps between evaluations; None makes ten."""
    checkpoint_every: int | None = None
    """Steps between checkpoints; None saves when it evaluates."""
    figures: bool = True
    """Draw learning curves, confusion matrix, mistakes and a reliability diagram at the end (with
    several processes, experiments/evaluate.py draws them)."""


MAY_DIFFER = (
    "run_dir",
    "data_dir",
    "num_workers",
    "fsdp",
    "distributed",
    "log_every",
    "eval_every",
    "checkpoint_every",
    "figures",
)
"""Settings that a run may be continued with another value of."""


def locate(dataset: str) -> str:
    """The absolute path of a folder, so that the run can be evaluated from anywhere; else a name.

    A name without a slash is never a folder: one that happens to lie here would hide the data set.
    """
    folder = pathlib.Path(dataset).expanduser()
    named = dataset.startswith((".", "~", "/"))
    if named or ("/" in dataset and folder.is_dir()):
        if not folder.is_dir():
            raise SystemExit(f"there is no folder {dataset} (here, {pathlib.Path.cwd()})")
        return str(folder.resolve())
    return dataset


def load_split(
    settings: Settings,
    split: str,
    class_names: Sequence[str] | None = None,
    preprocessing: data.Preprocessing | None = None,
) -> data.Dataset:
    """Loads a split of whatever `dataset` names.

    Its classes have to be `class_names`, if they are given; where `preprocessing` is, images are
    resized and cut by it rather than to `image_size`.
    """
    dataset = locate(settings.dataset)
    image_size = settings.image_size if preprocessing is None else None
    if dataset.startswith("/"):
        loaded = data.load_folder(
            dataset,
            split=split,
            class_names=class_names if settings.classes is None else None,
            image_size=image_size,
            preprocessing=preprocessing,
            channels=settings.channels,
            corrupt=settings.corrupt,
        )
    else:
        loaded = data.load(
            dataset,
            split,
            settings.data_dir,
            image_size=image_size,
            preprocessing=preprocessing,
            corrupt=settings.corrupt,
        )
    if settings.classes is not None:
        with script.checking():
            loaded = data.subset(loaded, classes=settings.classes)
    if class_names is not None and loaded.class_names != tuple(class_names):
        raise SystemExit(
            f"{dataset}/{split} has the classes {', '.join(loaded.class_names)}, and the model "
            f"tells {', '.join(class_names)} apart"
        )
    return loaded


def load_splits(
    settings: Settings, preprocessing: data.Preprocessing | None = None
) -> tuple[data.Dataset, data.Dataset]:
    """Loads what to train on and what to evaluate on."""
    train_data = load_split(settings, settings.train_split, preprocessing=preprocessing)
    if settings.validation is not None:
        train_data, eval_data = hold_out(settings, train_data)
    else:
        names = train_data.class_names
        try:
            eval_data = load_split(settings, settings.eval_split, names, preprocessing)
        except data.SplitError as error:
            raise SystemExit(
                f"{error}\nName a split to evaluate on with --eval-split, or hold a fifth of "
                f"{settings.train_split} out with --validation 0.2"
            ) from None
    if settings.per_class is not None:
        with script.checking():
            train_data = data.subset(train_data, per_class=settings.per_class, seed=settings.seed)
    return train_data, eval_data


def hold_out(settings: Settings, train_data: data.Dataset) -> tuple[data.Dataset, data.Dataset]:
    """Parts the training split into what to train on and what to evaluate on."""
    assert settings.validation is not None
    try:
        return data.split(train_data, settings.validation, seed=settings.seed)
    except ValueError as error:
        raise SystemExit(f"--validation: {error}") from error


def make_model(
    settings: Settings, dataset: data.Dataset, base: dict[str, Any] | None = None
) -> models.Model:
    """The chosen model, or the one that is described, for the images and classes of a data set."""
    base = base or {"name": settings.model}
    with script.checking():
        known = models.describe(models.create_model(**base))
    options = {
        name: parse_option(name, text, known.get(name))
        for name, text in settings.model_options.items()
    }
    if "axis_name" in known:
        options["axis_name"] = axis_name(settings)  # BatchNorm over all devices, under pmap too
    fixed = {
        "num_classes": dataset.num_classes,
        "in_channels": dataset.image_shape[-1],
        "dtype": None if settings.dtype == "float32" else settings.dtype,
    }
    with script.checking():
        return models.create_model(**{**base, **options, **fixed})


def parse_option(name: str, text: str, default: Any) -> Any:
    """A model's option as the command line gives it: a Python literal, or a name."""
    if name in ("num_classes", "in_channels", "dtype", "axis_name"):
        raise SystemExit(f"{name} is not given in --model-options: the data or another flag say it")
    if isinstance(default, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text  # create_model says what it must be
    return (value,) if isinstance(default, list) and isinstance(value, int) else value


def make_optimizer(settings: Settings) -> optax.GradientTransformation:
    """The chosen optimizer, with its schedule."""
    warmup_steps = settings.warmup_steps
    with script.checking():
        schedule = train.create_schedule(
            settings.schedule,
            settings.learning_rate,
            settings.num_steps,
            warmup_steps=settings.num_steps // 20 if warmup_steps is None else warmup_steps,
        )
        return train.create_optimizer(
            settings.optimizer,
            schedule,
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
        )


def make_step(
    settings: Settings, model: models.Model, optimizer: optax.GradientTransformation
) -> train.ParallelStep:
    """The training step, on all devices."""
    loss_fn = train.classification.make_loss_fn(
        model,
        loss=getattr(losses, settings.loss),
        label_smoothing=settings.label_smoothing,
        class_weights=settings.class_weights,
        l1=settings.l1,
        l2=settings.l2,
        augment=make_augment(settings.augmentation),
        mix=make_mix(settings.augmentation, model.num_classes),
        mean=settings.mean,
        std=settings.std,
    )
    step = train.make_train_step(
        loss_fn,
        optimizer,
        trainable=settings.trainable,
        frozen=settings.frozen,
        ema_decay=settings.ema_decay,
        accumulate_steps=settings.accumulate_steps,
        axis_name=axis_name(settings),
    )
    shard = train.fsdp() if settings.fsdp else None
    return train.parallelize(step, strategy=settings.strategy, shard=shard)


def axis_name(settings: Settings) -> str | None:
    """The name of the devices' axis, where a step sees it."""
    return "data" if settings.strategy == "pmap" else None


def run(
    settings: Settings,
    model: models.Model,
    optimizer: optax.GradientTransformation,
    train_data: data.Dataset,
    eval_data: data.Dataset,
    variables: dict[str, Any] | None = None,
) -> train.FitResult:
    """Trains, evaluates, and leaves a run folder."""
    with script.checking():
        parallel = make_step(settings, model, optimizer)
        state = train.init_state(
            jax.random.key(settings.seed),
            model,
            optimizer,
            train_data.sample_batch(),
            variables=variables,
            mesh=parallel.mesh,
            shard=parallel.shard,
        )
        state = parallel.prepare(state)
    result = train.fit(
        parallel,
        state,
        train_data.batches(
            settings.batch_size, seed=settings.seed, num_workers=settings.num_workers
        ),
        num_steps=settings.num_steps,
        evaluate=train.classification.make_eval_fn(
            model, loss=getattr(losses, settings.loss), mean=settings.mean, std=settings.std
        ),
        eval_data=eval_data,
        eval_every=settings.eval_every,
        checkpoint_every=settings.checkpoint_every,
        log_every=settings.log_every,
        run_dir=settings.run_dir,
        settings=settings,
        settings_may_differ=MAY_DIFFER,
    )
    if jax.process_index() == 0:
        print(f"{settings.run_dir}: " + _in_words(result.metrics, eval_data.split))
    if draws(settings):
        predictions = train.classification.restore(settings.run_dir).predict(eval_data)
        train.classification.draw(settings.run_dir, predictions, eval_data)
    return result


def begin(settings: Settings) -> None:
    """Starts JAX, and makes sure that what a run needs at its end is there."""
    train.start(distributed=settings.distributed)
    if draws(settings):
        with script.checking():
            plots.require_matplotlib()


def draws(settings: Settings) -> bool:
    """Whether figures are drawn at the end."""
    return settings.figures and jax.process_count() == 1


def main(settings: Settings) -> train.FitResult:
    """Trains, evaluates, and leaves a run folder."""
    begin(settings)
    settings = dataclasses.replace(settings, dataset=locate(settings.dataset))
    train_data, eval_data = load_splits(settings)
    model = make_model(settings, train_data)
    return run(settings, model, make_optimizer(settings), train_data, eval_data)


def _in_words(metrics: dict[str, float], split: str) -> str:
    return ", ".join(f"{split} {name} {value:.4f}" for name, value in metrics.items())


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
