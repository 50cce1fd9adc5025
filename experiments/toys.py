"""Compares linear classifiers and small networks on toy data in the plane.

    python experiments/toys.py
    python experiments/toys.py --toys xor --hidden-sizes 8 --widths 1 2 4 8

A linear classifier cannot learn the three data sets: quadrants (XOR), an annulus, and three modes.
Logistic regression is right for about half of the points, as is guessing. Its optimal slope is 0
for all three; it fits the noise of the training points, so that its boundary differs between seeds.
An MLP learns the regions. figures/boundaries.png shows the probabilities and decision boundaries of
both.

Then networks with one hidden layer of ReLUs approximate a function of one variable. Such a network
is piecewise linear, with a kink for each hidden unit, so that wider networks approximate the
function better. figures/widths.png shows the error as a function of the width, and figures/fits.png
the fitted functions. Narrow networks often end in local minima, so that seeds differ.

All seeds of a network are trained at once, in one program.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, get_args

from common import script, toys
from common.seeds import Summary, percents
from common.toys import NAMES, Points, Toy

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxvision import classical, losses, metrics, models, plots, train

AXIS = np.linspace(-1, 1, 160)
"""Coordinates of the grid on which probabilities are drawn, along each axis."""
PLACES = np.linspace(-1, 1, 2_001, dtype=np.float32)
"""Positions at which the errors of fitted functions are measured."""
SHOWN = 200
"""Number of test points drawn in each panel."""
FITTED = 256
"""Number of positions at which functions are fitted."""
CLASSIFIERS = {"linear": "logistic regression", "mlp": "MLP"}
Plane = Float[np.ndarray, "vertical horizontal"]
Fits = Float[np.ndarray, "seeds positions"]
Probability = Callable[[Any, Points], Array]
"""`probability(fitted, points)`: the probability of class 1 at points."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the toy problems."""

    run_dir: str = "runs/toys"
    """Folder to write summaries and figures to."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Random seeds of the points and of the initial parameters."""
    toys: tuple[Toy, ...] = get_args(Toy)
    """Data sets to classify; an empty list leaves out this part."""
    num_points: int = 2_000
    """Number of training points of each data set."""
    num_test_points: int = 10_000
    """Number of test points of each data set."""
    hidden_sizes: tuple[int, ...] = (32, 32)
    """Widths of the hidden layers of the MLP."""
    num_steps: int = 1_000
    """Training steps of the MLP, each on all points."""
    learning_rate: float = 1e-2
    """Highest learning rate of the MLP."""
    widths: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    """Widths of the networks that approximate a function; an empty list leaves out this part."""
    num_width_steps: int = 10_000
    """Training steps of each of these networks."""
    width_learning_rate: float = 3e-3
    """Highest learning rate of these networks."""
    figures: bool = True
    """Draw figures (needs matplotlib)."""


@dataclasses.dataclass(frozen=True)
class Classified:
    """Results of both classifiers on a data set.

    Attributes:
        summary: The test accuracies of each seed, and the duration of all seeds.
        points: Some test points of the first seed.
        labels: The classes of these points.
        planes: The probability of class 1 in the plane, by each classifier of the first seed.
    """

    summary: Summary
    points: Float[np.ndarray, "points 2"]
    labels: Int[np.ndarray, " points"]
    planes: dict[str, Plane]


def main(settings: Settings) -> dict[str, Summary]:
    """Classifies and approximates, prints tables, and keeps summaries and figures."""
    train.start()
    if settings.figures:
        with script.checking():
            plots.require_matplotlib()
    summaries: dict[str, Summary] = {}
    if settings.toys:
        summaries |= compare(settings)
    if settings.widths:
        summaries["widths"] = approximate(settings)
    folder = pathlib.Path(settings.run_dir)
    script.ending(script.figures_in(folder) if settings.figures else [], "knn")
    return summaries


def compare(settings: Settings) -> dict[str, Summary]:
    """Classifies every data set, prints a table, and draws the boundaries."""
    classified = {toy: classify(settings, toy) for toy in settings.toys}
    print(f"{'points':14}  {'classifier':19}  {'each seed':22}    mean  95% over seeds")
    for toy, found in classified.items():
        found.summary.save(pathlib.Path(settings.run_dir) / toy, settings)
        for name, classifier in CLASSIFIERS.items():
            each = ", ".join(f"{value:.2%}" for value in found.summary.scores[name])
            mean, interval = found.summary.mean(name), found.summary.interval(name)
            print(f"{NAMES[toy]:14}  {classifier:19}  {each:22}  {mean:6.2%}  {percents(interval)}")
    if settings.figures:
        draw_boundaries(settings, classified)
    return {toy: found.summary for toy, found in classified.items()}


def classify(settings: Settings, toy: Toy) -> Classified:
    """Trains and tests both classifiers on a data set, with every seed."""
    began = time.perf_counter()
    keys = keys_of(settings, 3)
    points, labels = draw_all(toy, keys[:, 0], settings.num_points)
    test_points, test_labels = draw_all(toy, keys[:, 1], settings.num_test_points)
    fitted: dict[str, tuple[Any, Probability]] = {
        "linear": (jax.vmap(classical.logistic_regression)(points, labels), linear_probability),
        "mlp": fit_mlp(settings, points, labels, keys[:, 2]),
    }
    horizontal, vertical = np.meshgrid(AXIS, AXIS)
    grid = jnp.asarray(np.stack([horizontal, vertical], axis=-1).reshape(-1, 2), jnp.float32)
    scores, planes = {}, {}
    for name, (learned, probability) in fitted.items():
        right = (jax.vmap(probability)(learned, test_points) > 0.5) == test_labels
        scores[name] = np.asarray(right).mean(axis=1).tolist()
        of_first = probability(jax.tree.map(lambda leaf: leaf[0], learned), grid)
        planes[name] = np.asarray(of_first).reshape(horizontal.shape)
    seconds = [time.perf_counter() - began] * len(settings.seeds)
    return Classified(
        Summary(settings.seeds, scores, seconds),
        np.asarray(test_points[0, :SHOWN]),
        np.asarray(test_labels[0, :SHOWN]),
        planes,
    )


def linear_probability(model: classical.LinearModel, points: Points) -> Array:
    """The probability of class 1 by logistic regression."""
    return jax.nn.sigmoid(model(points)[:, 0])


def fit_mlp(
    settings: Settings, points: Array, labels: Array, keys: Array
) -> tuple[Any, Probability]:
    """Trains an MLP for each seed; returns the parameters, and a function to apply them."""
    with script.checking():
        model = models.create_model("mlp", num_classes=2, hidden_sizes=settings.hidden_sizes)
    loss_fn = train.classification.make_loss_fn(model)
    batch = {"image": as_images(points), "label": labels}
    state = fit_seeds(
        model,
        loss_fn,
        batch,
        keys,
        num_steps=settings.num_steps,
        learning_rate=settings.learning_rate,
    )

    def probability(params: Any, points: Points) -> Array:
        logits: Any = model.apply({"params": params}, as_images(points))
        return jax.nn.softmax(logits)[:, 1]

    return state.params, probability


def draw_boundaries(settings: Settings, classified: Mapping[Toy, Classified]) -> None:
    """Draws the probabilities of both classifiers, logistic regression above the MLP."""
    panels = [(toy, name) for name in CLASSIFIERS for toy in classified]
    accuracies = [classified[toy].summary.scores[name][0] for toy, name in panels]
    figure = plots.fields(
        np.stack([classified[toy].planes[name] for toy, name in panels]),
        [
            f"{NAMES[toy]}\n{CLASSIFIERS[name]}: {accuracy:.1%} right"
            for (toy, name), accuracy in zip(panels, accuracies, strict=True)
        ],
        [classified[toy].points for toy, _ in panels],
        labels=[classified[toy].labels for toy, _ in panels],
        level=0.5,
        extent=(-1.0, 1.0, -1.0, 1.0),
        columns=len(classified),
        legend="probability of the class of filled points",
        title=f"decision boundaries, and {SHOWN} of the test points (seed {settings.seeds[0]})",
    )
    plots.save(figure, pathlib.Path(settings.run_dir) / "figures" / "boundaries.png")


def approximate(settings: Settings) -> Summary:
    """Fits a function by networks of every width with every seed, prints a table, and draws."""
    began = time.perf_counter()
    keys = keys_of(settings, 1)[:, 0]
    fits = {width: fit_width(settings, width, keys) for width in sorted({*settings.widths})}
    truth = np.asarray(toys.wave_and_step(jnp.asarray(PLACES)))
    errors = {width: np.sqrt(np.square(rows - truth).mean(axis=1)) for width, rows in fits.items()}
    scores = {f"width {width}": values.tolist() for width, values in errors.items()}
    seconds = [time.perf_counter() - began] * len(settings.seeds)
    summary = Summary(settings.seeds, scores, seconds)
    folder = pathlib.Path(settings.run_dir)
    summary.save(folder / "widths", settings)
    print(f"\nhidden units  {'root mean squared error, each seed':34}    mean")
    for width, values in errors.items():
        each = ", ".join(f"{value:.4f}" for value in values)
        print(f"{width:12d}  {each:34}  {values.mean():.4f}")
    if settings.figures:
        draw_fits(settings, fits, truth, errors)
    return summary


def draw_fits(
    settings: Settings,
    fits: Mapping[int, Fits],
    truth: Float[np.ndarray, " positions"],
    errors: Mapping[int, Float[np.ndarray, " seeds"]],
) -> None:
    """Draws the error as a function of the width, and the fits of networks of a few widths."""
    folder = pathlib.Path(settings.run_dir) / "figures"
    figure = plots.validation_curves(
        {"": np.stack([*errors.values()], axis=1)},
        [*fits],
        x="hidden units",
        y="root mean squared error",
        repeats="seed",
        log_x=True,
        log_y=True,
        title="error of networks with one hidden layer",
    )
    plots.save(figure, folder / "widths.png")
    shown = [*fits][:: max(1, len(fits) // 4)]
    figure = plots.fitted_curves(
        PLACES,
        {f"{width} hidden unit" + "s" * (width > 1): fits[width] for width in shown},
        truth,
        axes=("x", "f(x)"),
        title="a function, and networks with one hidden layer fitted to it",
    )
    plots.save(figure, folder / "fits.png")


def fit_width(settings: Settings, width: int, keys: Array) -> Fits:
    """Fits the function by one hidden layer with every seed; returns the fits at `PLACES`."""
    with script.checking():
        model = models.create_model("mlp", num_classes=1, hidden_sizes=(width,))

    def loss_fn(params: Any, model_state: Any, batch: Any, key: Array) -> Any:
        outputs: Any = model.apply({"params": params}, batch["image"], train=True)
        total, count = metrics.mean(losses.squared_error(outputs[:, 0], batch["target"]))
        return total / count, (model_state, {"loss": (total, count)})

    def fitted(params: Any) -> Array:
        outputs: Any = model.apply({"params": params}, as_images(jnp.asarray(PLACES)[:, None]))
        return outputs[:, 0]

    x = jnp.tile(jnp.linspace(-1, 1, FITTED), (len(keys), 1))
    batch = {"image": as_images(x[..., None]), "target": toys.wave_and_step(x)}
    state = fit_seeds(
        model,
        loss_fn,
        batch,
        keys,
        num_steps=settings.num_width_steps,
        learning_rate=settings.width_learning_rate,
        begin=spread_kinks,
    )
    return np.asarray(jax.vmap(fitted)(state.params))


def spread_kinks(state: train.TrainState) -> train.TrainState:
    """Moves the kinks of the hidden units to random positions of the interval.

    With biases of 0 all kinks start at 0, and most units never leave it.
    """
    kernel = state.params["hidden0"]["kernel"]
    kinks = jax.random.uniform(state.key, kernel.shape[1:], minval=-1, maxval=1)
    hidden = {"kernel": kernel, "bias": -kernel[0] * kinks}
    return state.replace(params={**state.params, "hidden0": hidden})


def fit_seeds(
    model: models.Model,
    loss_fn: train.LossFn,
    batch: dict[str, Array],
    keys: Array,
    *,
    num_steps: int,
    learning_rate: float,
    begin: Callable[[train.TrainState], train.TrainState] = lambda state: state,
) -> train.TrainState:
    """Trains a model with every seed at once; the first axis of the batch is the seed."""
    schedule = train.create_schedule(
        "cosine", learning_rate, num_steps, warmup_steps=num_steps // 20
    )
    optimizer = train.create_optimizer("adam", schedule)
    step = train.make_train_step(loss_fn, optimizer)
    example = jax.tree.map(lambda leaf: leaf[0], batch)

    def step_of_seeds(states: Any, batches: Any) -> tuple[Any, Any]:
        states, measured = jax.vmap(step)(states, batches)
        return states, jax.tree.map(jnp.sum, measured)

    states = jax.vmap(lambda key: begin(train.init_state(key, model, optimizer, example)))(keys)
    found = train.fit(step_of_seeds, states, train.constant(batch), num_steps=num_steps)
    trained: train.TrainState = found.state
    return trained


def keys_of(settings: Settings, count: int) -> Array:
    """Makes a number of keys for each seed."""
    seeds = jnp.asarray(settings.seeds)
    return jax.vmap(lambda seed: jax.random.split(jax.random.key(seed), count))(seeds)


def draw_all(toy: Toy, keys: Array, count: int) -> tuple[Array, Array]:
    """Draws points and their classes for every seed."""
    return jax.jit(jax.vmap(lambda key: toys.draw(toy, key, count)))(keys)


def as_images(vectors: Float[Array, "*batch channels"]) -> Float[Array, "*batch 1 1 channels"]:
    """Reshapes vectors to images of one pixel, which models take."""
    return vectors[..., None, None, :]


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
