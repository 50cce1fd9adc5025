"""Worlds of cells, drawn as text."""

import dataclasses
import inspect
import math
import numbers
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from jaxvision.checks import check_share
from jaxvision.rl import drawing
from jaxvision.rl.environment import Environment, EnvParams, EnvState
from jaxvision.rl.registry import register
from jaxvision.rl.spaces import Discrete

FREE, WALL, START = ".", "#", "S"
MOVES = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1)}
"""Rows and columns that each action goes, in the order of the actions."""

FOUR_BY_FOUR = "T...\n....\n....\n...T"
"""The world of Sutton and Barto's example 4.1, with `terminals={"T": 0.0}`."""

FIVE_BY_FIVE = ".A.B.\n.....\n...b.\n.....\n.a..."
"""That of example 3.5, with `step_reward=0.0`, `bump_reward=-1.0` and
`jumps={"A": ("a", 10.0), "B": ("b", 5.0)}`."""

_CELL = 32  # pixels


class GridWorldState(EnvState):
    """The cell, counted over those that are no wall, in reading order."""

    cell: Any


class GridWorldParams(EnvParams):
    """An episode is over after `max_steps_in_episode`, or in a terminal cell."""

    max_steps_in_episode: Any = 200


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """What every action does in every cell, if nothing slips.

    Attributes:
        next_cells: Where it leads.
        rewards: What it brings.
        terminal: Which cells end an episode.
        starts: The probability that an episode begins in a cell.
        positions: Row and column of every cell.
    """

    next_cells: Int[np.ndarray, "cells 4"]
    rewards: Float[np.ndarray, "cells 4"]
    terminal: Bool[np.ndarray, "cells"]
    starts: Float[np.ndarray, "cells"]
    positions: Int[np.ndarray, "cells 2"]


@register("GridWorld")
class GridWorld(Environment):
    r"""A world of cells, with walls, terminal cells, jumps and slippery ground.

    Actions go up (0), right (1), down (2) or left (3); a wall and the edge of the world stop a
    move. Observations are the numbers of cells.

    >>> world = GridWorld("S.G\n.#X", terminals={"G": 10.0, "X": -10.0})
    >>> world.num_cells, world.tables.terminal.tolist()
    (5, [False, False, True, False, True])
    """

    def __init__(
        self,
        map: str = FOUR_BY_FOUR,
        *,
        terminals: Mapping[str, float] | None = None,
        jumps: Mapping[str, tuple[str, float]] | None = None,
        step_reward: float = -1.0,
        bump_reward: float = 0.0,
        slip: float = 0.0,
    ) -> None:
        """Reads a map.

        Args:
            map: Lines of one length, indented or not: `.` free, `#` wall, `S` where episodes begin
                (anywhere, if there is none), and letters that the next two explain.
            terminals: What entering a cell with this letter brings, besides `step_reward`, and ends
                the episode; None takes `{"T": 0.0}`.
            jumps: Where every action in a cell with this letter leads, and what it brings besides.
            step_reward: What every action brings.
            bump_reward: What being stopped brings besides.
            slip: The probability that a move goes to one of the two sides instead, either as often.

        Raises:
            ValueError: The map cannot be read, what explains it is of another kind, a reward is
                not finite, or `slip` is no probability.
        """
        check_share("slip", slip)
        terminals = {"T": 0.0} if terminals is None else terminals
        jumps = {} if jumps is None else jumps
        _check_kinds(map, terminals, jumps)
        self.lines = inspect.cleandoc(map).splitlines()
        self.terminals = dict(terminals)
        self.jumps = dict(jumps)
        self.slip = slip
        _check(self.lines, self.terminals, self.jumps)
        bonuses = (*self.terminals.values(), *(bonus for _, bonus in self.jumps.values()))
        for reward in (step_reward, bump_reward, *bonuses):
            if not isinstance(reward, numbers.Real) or not math.isfinite(reward):
                raise ValueError(
                    f"rewards must be finite numbers, got step_reward={step_reward!r}, "
                    f"bump_reward={bump_reward!r}, terminals={self.terminals}, jumps={self.jumps}"
                )
        self.tables = _read(self.lines, self.terminals, self.jumps, step_reward, bump_reward)

    @property
    def num_cells(self) -> int:
        """How many cells are no wall."""
        return len(self.tables.terminal)

    @property
    def default_params(self) -> GridWorldParams:
        """The constants."""
        return GridWorldParams()

    @property
    def num_actions(self) -> int:
        """Up, right, down, left."""
        return len(MOVES)

    def observation_space(self, params: GridWorldParams) -> Discrete:
        """The cells."""
        del params
        return Discrete(self.num_cells)

    def reset_env(
        self, key: Key[Array, ""], params: GridWorldParams
    ) -> tuple[Array, GridWorldState]:
        """Begins in a cell where episodes begin."""
        del params
        cell = jax.random.categorical(key, jnp.log(jnp.asarray(self.tables.starts))).astype(
            jnp.int32
        )
        return cell, GridWorldState(jnp.int32(0), cell)

    def step_env(
        self, key: Key[Array, ""], state: GridWorldState, action: Array, params: GridWorldParams
    ) -> tuple[Array, GridWorldState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Moves by one cell, if nothing is in the way."""
        del params
        if self.slip:
            sides = jnp.array([0, -1, 1])
            odds = jnp.log(jnp.array([1 - self.slip, self.slip / 2, self.slip / 2]))
            action = (action + sides[jax.random.categorical(key, odds)]) % len(MOVES)
        reward = jnp.asarray(self.tables.rewards, jnp.float32)[state.cell, action]
        cell = jnp.asarray(self.tables.next_cells, jnp.int32)[state.cell, action]
        terminated = jnp.asarray(self.tables.terminal)[cell]
        return cell, GridWorldState(state.time + 1, cell), reward, terminated, {}

    def render(
        self, state: GridWorldState, params: GridWorldParams
    ) -> UInt8[Array, "height width 3"]:
        """Draws the map, and a disc where the agent is."""
        del params
        rows, columns = len(self.lines), len(self.lines[0])
        canvas = drawing.Canvas.blank(
            (0.0, 0.0), (float(columns), float(rows)), height=_CELL * rows, color=drawing.LIGHT
        )
        for row, line in enumerate(self.lines):
            for column, letter in enumerate(line):
                low = (column + 0.03, rows - row - 0.97)
                high = (column + 0.97, rows - row - 0.03)
                canvas = canvas.rectangle(low, high, self._color(letter))
        row, column = jnp.asarray(self.tables.positions)[state.cell]
        return canvas.disc((column + 0.5, rows - row - 0.5), 0.3, drawing.BLUE).image()

    def _color(self, letter: str) -> drawing.Color:
        if letter == WALL:
            return drawing.INK
        if letter in self.terminals:
            return drawing.GREEN if self.terminals[letter] >= 0 else drawing.VERMILLION
        return drawing.ORANGE if letter in self.jumps else drawing.WHITE


def _check_kinds(map: Any, terminals: Any, jumps: Any) -> None:
    """Makes sure that arguments are what they should be."""
    if not isinstance(map, str):
        raise ValueError(f"map must be text, got {map!r}")
    if not isinstance(terminals, Mapping):
        raise ValueError(f"terminals must be rewards by letter, as {{'T': 0.0}}, got {terminals!r}")
    pairs = jumps.values() if isinstance(jumps, Mapping) else [jumps]
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise ValueError(
            f"jumps must be pairs of a letter and a reward by letter, as {{'A': ('B', 10.0)}}, got "
            f"{jumps!r}"
        )


def _check(
    lines: list[str], terminals: Mapping[str, float], jumps: Mapping[str, tuple[str, float]]
) -> None:
    """Makes sure that a map can be read."""
    if len({len(line) for line in lines}) != 1 or not lines[0]:
        raise ValueError(f"a map must have lines, all of one length, got {lines}")
    letters = "".join(lines)
    known = {FREE, WALL, START, *terminals, *jumps, *(target for target, _ in jumps.values())}
    strange = sorted(set(letters) - known)
    if strange:
        raise ValueError(
            f"the map has {', '.join(strange)}, which is neither {FREE!r} (free), "
            f"{WALL!r} (wall), {START!r} (start), nor in terminals or jumps"
        )
    twice = sorted(({FREE, WALL, START} | set(jumps)) & set(terminals) | {FREE, WALL} & set(jumps))
    if twice:
        raise ValueError(f"{', '.join(map(repr, twice))}: a letter must have one meaning")
    for letter, (target, _) in jumps.items():
        if letters.count(target) != 1 or target == WALL:
            raise ValueError(f"{letter!r} jumps to {target!r}, which must be one cell of the map")
    if not set(letters) - {WALL, *terminals}:
        raise ValueError("the map has no cell to begin in")


def _read(
    lines: list[str],
    terminals: Mapping[str, float],
    jumps: Mapping[str, tuple[str, float]],
    step_reward: float,
    bump_reward: float,
) -> Tables:
    """What every action does in every cell."""
    cells = {
        (row, column): letter
        for row, line in enumerate(lines)
        for column, letter in enumerate(line)
        if letter != WALL
    }
    number = {position: index for index, position in enumerate(cells)}
    where = {letter: position for position, letter in cells.items()}
    next_cells = np.zeros((len(cells), len(MOVES)), np.int32)
    rewards = np.zeros((len(cells), len(MOVES)))
    for (row, column), letter in cells.items():
        for action, (down, right) in enumerate(MOVES.values()):
            target, reward = (row + down, column + right), step_reward
            if letter in jumps:
                target, reward = where[jumps[letter][0]], step_reward + jumps[letter][1]
            elif target not in cells:
                target, reward = (row, column), step_reward + bump_reward
            if letter in terminals:  # nothing follows
                target, reward = (row, column), 0.0
            elif cells[target] in terminals:
                reward += terminals[cells[target]]
            next_cells[number[row, column], action] = number[target]
            rewards[number[row, column], action] = reward
    letters = np.array(list(cells.values()))
    terminal = np.isin(letters, list(terminals))
    starts = letters == START if START in letters else ~terminal
    return Tables(
        next_cells=next_cells,
        rewards=rewards,
        terminal=terminal,
        starts=starts / starts.sum(),
        positions=np.array(list(cells), np.int32),
    )
