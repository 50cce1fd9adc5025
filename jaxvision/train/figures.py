"""The figures of a classifier's run folder."""

import pathlib

import numpy as np
from jaxtyping import Float, Int

from jaxvision import metrics, plots
from jaxvision.data import Dataset
from jaxvision.train.run_folder import read_metrics
from jaxvision.train.scores import softmax


def draw_classifier(
    run_dir: str | pathlib.Path,
    logits: Float[np.ndarray, "examples classes"],
    labels: Int[np.ndarray, " examples"],
    dataset: Dataset,
    *,
    num_mistakes: int = 25,
) -> list[pathlib.Path]:
    """Draws what one wants to see of a classifier, into `figures/` of its run folder.

    Args:
        run_dir: The run's folder.
        logits: What `classification.predict` gave for the data set.
        labels: The classes, in the same order.
        dataset: Where the images and the names of the classes come from.
        num_mistakes: How many mistakes to show at the most.

    Returns:
        The files: learning curves (if the run logged anything), confusion matrix, most confident
        mistakes, reliability diagram.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    folder = pathlib.Path(run_dir).expanduser()
    probabilities, predictions = softmax(logits), logits.argmax(axis=1)
    confidences = probabilities.max(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    wrong = wrong[np.argsort(-confidences[wrong], kind="stable")][:num_mistakes]
    names = dataset.class_names or None
    total = int((predictions != labels).sum())
    which = f"{len(wrong)} most confident of {total}" if total > len(wrong) else f"{total}"
    noun = "mistake" if total == 1 else "mistakes"
    drawn = {
        "confusion_matrix": plots.confusion_matrix(
            metrics.confusion_matrix(labels, predictions, logits.shape[1]), names
        ),
        "mistakes": plots.mistakes(
            [dataset[int(index)]["image"] for index in wrong],
            labels[wrong],
            predictions[wrong],
            confidences[wrong],
            names,
            count=num_mistakes,
            title=f"{which} {noun} in {len(labels)} images",
        ),
        "reliability": plots.reliability_diagram(probabilities, labels),
    }
    history = read_metrics(folder)
    if history:
        drawn = {"learning_curves": plots.learning_curves(history), **drawn}
    paths = []
    for name, figure in drawn.items():
        paths.append(folder / "figures" / f"{name}.png")
        plots.save(figure, paths[-1])
    return paths
