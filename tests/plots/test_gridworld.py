import numpy as np
import pytest
from matplotlib.patches import Rectangle

from jaxvision import plots

VALUES = np.array([[0.0, -1.0, -2.0], [-1.0, np.nan, -3.25]])
POLICY = np.zeros((2, 3, 4))
POLICY[..., 3] = 1.0
POLICY[1, 2] = [0.5, 0.0, 0.0, 0.5]
TERMINAL = VALUES == 0


def arrows(axes):
    """Where each arrow points: (column, row) of its head, relative to its cell."""
    heads = [text.xy for text in axes.texts if text.get_text() == ""]
    return {
        (round(y), round(x)): [] for x, y in heads
    } | {
        cell: sorted(
            (round(x - cell[1], 2), round(y - cell[0], 2))
            for x, y in heads
            if (round(y), round(x)) == cell
        )
        for cell in {(round(y), round(x)) for x, y in heads}
    }  # fmt: skip


def test_numbers_stand_in_their_cells_and_walls_have_none():
    axes = plots.gridworld(VALUES, title="a world").axes[0]
    shown = {(text._y, text._x): text.get_text() for text in axes.texts}
    assert shown == {(0, 0): "0.0", (0, 1): "-1.0", (0, 2): "-2.0", (1, 0): "-1.0", (1, 2): "-3.2"}
    assert axes.figure.get_suptitle() == "a world"
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first row is on top


def test_arrows_go_where_the_policy_goes():
    axes = plots.gridworld(VALUES, POLICY, terminal=TERMINAL).axes[0]
    pointed = arrows(axes)
    assert set(pointed) == {(0, 1), (0, 2), (1, 0), (1, 2)}  # neither walls nor ends
    assert pointed[0, 1] == [(-0.44, 0.0)]
    assert pointed[1, 2] == [(-0.44, 0.0), (0.0, -0.44)]
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [(patch.get_x(), patch.get_y()) for patch in frames] == [(-0.45, -0.45)]


def test_traps_are_told_from_goals():
    values, ends = np.zeros((1, 3)), np.array([[True, True, False]])
    axes = plots.gridworld(values, terminal=ends, traps=np.array([[False, True, False]])).axes[0]
    goal, trap = (patch for patch in axes.patches if isinstance(patch, Rectangle))
    assert goal.get_edgecolor() != trap.get_edgecolor()
    assert (goal.get_hatch(), bool(trap.get_hatch())) == (None, True)
    words = {text.get_text(): round(text.get_position()[0]) for text in axes.texts}
    assert (words["goal"], words["trap"]) == (0, 1)
    plain = plots.gridworld(values, terminal=ends).axes[0]
    assert [text.get_text() for text in plain.texts].count("end") == 2


def test_arrows_are_as_long_as_actions_are_probable():
    policy = np.zeros((1, 1, 4))
    policy[0, 0] = [0.8, 0.4, 0.01, 0.0]
    heads = arrows(plots.gridworld(np.zeros((1, 1)), policy).axes[0])[0, 0]
    assert heads == [(0.0, -0.44), (0.34, 0.0)]


def test_the_best_cell_is_the_darkest():
    axes = plots.gridworld(VALUES).axes[0]
    image = axes.images[0]
    colors = image.cmap(image.norm(image.get_array()))
    lightness = colors[..., :3].sum(-1)
    assert lightness[0, 0] == lightness[np.isfinite(VALUES)].min()
    ink = {text.get_text(): text.get_color() for text in axes.texts}
    assert (ink["0.0"], ink["-3.2"]) == ("white", "black")


@pytest.mark.usefixtures("unchecked")
def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"policy must have the shape \(2, 3, 4\), got \(2, 3\)"):
        plots.gridworld(VALUES, VALUES)
    with pytest.raises(ValueError, match=r"terminal must have the shape \(2, 3\), got \(3, 2\)"):
        plots.gridworld(VALUES, terminal=TERMINAL.T)
    with pytest.raises(ValueError, match=r"not all walls, got shape \(1, 1\)"):
        plots.gridworld(np.array([[np.nan]]))


def test_a_trap_is_gray_and_hatched_and_a_goal_has_the_color_of_its_value() -> None:
    values, terminal = np.array([[0.0, -1.0, 0.0]]), np.array([[True, False, True]])
    figure = plots.gridworld(values, terminal=terminal, traps=np.array([[True, False, False]]))
    trap, goal = figure.axes[0].patches
    assert trap.get_fill()
    assert len(set(trap.get_facecolor()[:3])) == 1
    assert trap.get_hatch()
    assert not goal.get_fill()
