import subprocess
import sys

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest
import quick

from jaxvision import plots
from jaxvision.plots import _style

MASKS = np.array([[[0, 1], [255, 0]]], np.uint8)
HISTORY = [{"step": step, "split": "test", "loss": 1 / step} for step in (1, 20)]
FIGURES = {
    "learning_curves": lambda: plots.learning_curves(HISTORY, title="title"),
    "learning_curves_by_seed": lambda: plots.learning_curves_by_seed([HISTORY, HISTORY]),
    "confusion_matrix": lambda: plots.confusion_matrix([[8, 1], [2, 9]]),
    "reliability_diagram": lambda: plots.reliability_diagram([0.2, 0.7], [0, 1]),
    "image_grid": lambda: plots.image_grid(np.zeros((2, 8, 8, 1)), ["a", "b"]),
    "mistakes": lambda: plots.mistakes(np.zeros((1, 8, 8, 1)), [0], [1], [0.5]),
    "gridworld": lambda: plots.gridworld(np.zeros((2, 2)), np.full((2, 2, 4), 0.25)),
    "segmentations": lambda: plots.segmentations(
        np.zeros((1, 2, 2, 3), np.uint8), MASKS, MASKS[:, ::-1], [(0, 0, 0), (230, 159, 0)]
    ),
    "labeled_masks": lambda: plots.labeled_masks(
        np.zeros((1, 2, 2, 3), np.uint8), MASKS, [(0, 0, 0), (230, 159, 0)]
    ),
    "scatter": lambda: plots.scatter([[0.0, 1.0], [1.0, 0.0]], [0, 1], title="title"),
    "fields": lambda: plots.fields(
        np.eye(2)[None], ["title"], [[[0.5, 0.5]]], labels=[[0]], level=0.5, legend="value"
    ),
    "receptive_fields": lambda: plots.receptive_fields(
        [np.eye(3)], ["title"], [((0, 2), (0, 2))], [((1.0, 1.0), (0.5, 0.5))]
    ),
    "attributions": lambda: plots.attributions(
        np.zeros((2, 2, 3)), [np.eye(2)], ["title"], ["a note"], scores={"cat": 0.9}, title="title"
    ),
    "histograms": lambda: plots.histograms({"title": [0.1, 0.9]}, axis="distance", bins=4),
    "class_shares": lambda: plots.class_shares(
        {"title": [0.5, 0.5]}, ["0", "1"], expected=[0.4, 0.6]
    ),
    "number_attributions": lambda: plots.number_attributions(
        [0.5, 2.0],
        [np.array([1.0, -1.0])],
        ["title"],
        ["a note"],
        names=["angle", "speed"],
        image=np.zeros((2, 2, 3)),
        scores={"left": 0.9},
        title="title",
    ),
    "fixation_densities": lambda: plots.fixation_densities(
        np.zeros((1, 2, 2, 3), np.uint8), {"title": np.ones((1, 2, 2))}, np.zeros((1, 1, 2))
    ),
    "embeddings": lambda: plots.embeddings(
        {"title": [[0.0, 1.0], [1.0, 0.0]]}, [0, 1], images=np.eye(2)[None].repeat(2, 0)
    ),
    "validation_curves": lambda: plots.validation_curves(
        {"l1": [[0.7, 0.8], [0.8, 0.9]]}, [1, 2], x="k", chosen=("l1", 2)
    ),
    "fitted_curves": lambda: plots.fitted_curves([0.0, 1.0], {"title": [[0.1, 1.1]]}, [0.0, 1.0]),
    "no mistakes": lambda: plots.mistakes(np.zeros((1, 8, 8, 1)), [1], [1], [0.5]),
}
SOME_FIGURES = (
    "learning_curves",
    "confusion_matrix",
    "reliability_diagram",
    "image_grid",
    "gridworld",
    "segmentations",
    "labeled_masks",
)


def test_every_figure_is_tested_here():
    assert set(plots.__all__) - set(FIGURES) == {
        "relevance_overlay",
        "require_matplotlib",
        "save",
        "save_gif",
        "save_strip",
    }


@pytest.mark.parametrize("name", FIGURES)
def test_without_matplotlib_there_is_one_clear_error(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError) as error:
        FIGURES[name]()
    assert str(error.value) == "figures need matplotlib: pip install matplotlib"


def test_a_broken_matplotlib_says_what_it_lacks(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    monkeypatch.delitem(sys.modules, "matplotlib.image", raising=False)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ModuleNotFoundError, match="PIL"):
        FIGURES["image_grid"]()


@pytest.mark.parametrize("name", quick.only(FIGURES, *SOME_FIGURES))
def test_global_settings_are_neither_changed_nor_followed(name, render):
    plain = render(FIGURES[name]())
    with mpl.rc_context():
        mpl.style.use("dark_background")
        mpl.rcParams |= {
            "axes.grid": True,
            "image.origin": "lower",
            "image.cmap": "jet",
            "lines.linewidth": 9,
            "lines.marker": "x",
            "axes.labelsize": 30,
            "axes.titlesize": 30,
            "xtick.labelsize": 30,
            "figure.autolayout": True,
        }
        before = dict(mpl.rcParams)
        other = render(FIGURES[name]())
        assert dict(mpl.rcParams) == before
    np.testing.assert_array_equal(other, plain)


def test_matplotlib_loads_with_the_first_figure_and_pyplot_never():
    code = (
        "import sys, jaxvision.plots as plots\n"
        "before = 'matplotlib' in sys.modules\n"
        "plots.learning_curves([{'step': 1, 'split': 'train', 'loss': 1.0}])\n"
        "print(before, *(f'matplotlib{name}' in sys.modules for name in ('', '.pyplot')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True False\n"


@pytest.mark.parametrize(("light", "dark"), [("#EAF2F8", "#3F86B8"), ("#FDE3CF", "#8A2F00")])
def test_equal_steps_of_a_ramp_look_equal(light, dark):
    lab = _style._to_oklab(np.asarray(_style.ramp(light, dark).colors))
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-6)
    assert (np.diff(lab[:, 0]) < 0).all()


def test_oklab_of_known_colors():
    # Ottosson's values for white and, from his sRGB picker, for pure red.
    lab = _style._to_oklab(np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(lab, [[1, 0, 0], [0.62796, 0.22486, 0.12585]], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "length", "short"),
    [
        ("short", 5, "short"),
        ("longer", 5, "lo…er"),
        ("longer", 3, "l…r"),
        ("two words here", 8, "two…ere"),
    ],
)
def test_elide(text, length, short):
    assert _style.elide(text, length) == short
