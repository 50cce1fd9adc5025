"""GridWorld: worlds of cells, drawn as text."""

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
"""Row and column offsets of each action, in the order of the actions."""

FOUR_BY_FOUR = "T...\n....\n....\n...T"
"""The map of Sutton and Barto's example 4.1, with `terminals={"T": 0.0}`."""

FIVE_BY_FIVE = ".A.B.\n.....\n...b.\n.....\n.a..."
"""The map of Sutton and Barto's example 3.5, with `step_reward=0.0`, `bump_reward=-1.0` and
`jumps={"A": ("a", 10.0), "B": ("b", 5.0)}`."""

_CELL = 32  # pixels


class GridWorldState(EnvState):
    """Number of the agent's cell, counted in reading order without walls."""

    cell: Any


class GridWorldParams(EnvParams):
    """Constants; an episode ends after `max_steps_in_episode` steps, or in a terminal cell."""

    max_steps_in_episode: Any = 200


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """Next cell and reward of every action in every cell, if nothing slips.

    `terminal` marks terminal cells, `starts` is the probability that an episode starts in a cell,
    and `positions` are the rows and columns of the cells.
    """

    next_cells: Int[np.ndarray, "cells 4"]
    rewards: Float[np.ndarray, "cells 4"]
    terminal: Bool[np.ndarray, "cells"]
    starts: Float[np.ndarray, "cells"]
    positions: Int[np.ndarray, "cells 2"]


@register("GridWorld")
class GridWorld(Environment):
    r"""A grid of cells, with walls, terminal cells, jumps and slippery ground.

    Actions move up (0), right (1), down (2) or left (3); walls and the edge of the map stop a move.
    Observations are the numbers of cells.

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
            map: Lines of one length, indented or not: `.` is free, `#` a wall, `S` a start cell
                (without any, episodes start in a random cell that is not terminal), and other
                letters are those of `terminals` and `jumps`.
            terminals: Reward for entering a terminal cell, added to `step_reward`, by the cell's
                letter; None uses `{"T": 0.0}`.
            jumps: Letter of the target and reward added to `step_reward`, by the letter of the cell
                in which every action jumps.
            step_reward: Reward of every action.
            bump_reward: Reward added when a wall or the edge stops a move.
            slip: Probability that a move goes to one of its two sides instead, each equally likely.

        Raises:
            ValueError: The map cannot be read, `terminals` or `jumps` have another form, a reward
                is not finite, or `slip` is not a probability.
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
        """Number of cells that are not walls."""
        return len(self.tables.terminal)

    @property
    def default_params(self) -> GridWorldParams:
        """The default constants."""
        return GridWorldParams()

    action_names = ("up", "right", "down", "left")

    @property
    def num_actions(self) -> int:
        """Up, right, down and left."""
        return len(MOVES)

    def observation_space(self, params: GridWorldParams) -> Discrete:
        """The numbers of cells."""
        del params
        return Discrete(self.num_cells)

    def reset_env(
        self, key: Key[Array, ""], params: GridWorldParams
    ) -> tuple[Array, GridWorldState]:
        """Starts in a random start cell."""
        del params
        cell = jax.random.categorical(key, jnp.log(jnp.asarray(self.tables.starts))).astype(
            jnp.int32
        )
        return cell, GridWorldState(jnp.int32(0), cell)

    def step_env(
        self, key: Key[Array, ""], state: GridWorldState, action: Array, params: GridWorldParams
    ) -> tuple[Array, GridWorldState, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """Moves by one cell, unless something stops the move, or jumps."""
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
        """Draws the map, and the agent as a disc."""
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
    """Raises ValueError if an argument has the wrong type."""
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
    """Raises ValueError if a map cannot be read."""
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
    """Computes next cell and reward of every action in every cell."""
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
