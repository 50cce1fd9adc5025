"""Rendered scenes of shapes on a background, with their annotations."""

import colorsys
import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

Plane = Float[np.ndarray, "height width"]
Masks = Bool[np.ndarray, "objects height width"]
T = TypeVar("T")

SHAPES = ("circle", "square", "triangle")
"""Classes of objects."""

BACKGROUND = "background"
"""Class of mask pixels without an object."""

HUES = {"red": 0, "orange": 32, "yellow": 56, "green": 120, "cyan": 180, "blue": 226, "purple": 282}
"""Hue of each object color, in degrees."""

_TRIES = 1_000
"""Largest number of arrangements of objects that are tried for one scene."""

PATTERNS = ("plain", "striped", "checked", "cloudy")
"""Patterns of backgrounds and objects."""


class Draws:
    """Random numbers from a generator's raw bits, which NumPy keeps the same in all versions."""

    def __init__(self, *key: int) -> None:
        """Starts a stream.

        Args:
            *key: At most two whole numbers; different keys give independent streams.
        """
        self._bits = np.random.Philox(key=np.array(key, np.uint64))

    @classmethod
    def of_example(cls, seed: int, split: int, index: int) -> "Draws":
        """Starts the stream of an example, a different one for each seed, split and index."""
        return cls(seed, split << 48 | index)

    def uniform(
        self, low: int | float = 0, high: int | float = 1, shape: tuple[int, ...] = ()
    ) -> Any:
        """Draws numbers that are uniform between `low` and `high`."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        unit = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
        drawn = low + (high - low) * unit.reshape(shape)
        return drawn if shape else float(drawn)

    def normal(self, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
        """Draws nearly normal numbers of mean 0 and deviation 1: sums of four uniform ones."""
        sums: np.ndarray = self.uniform(-0.5, 0.5, (4, *shape)).sum(axis=0)
        return sums * np.sqrt(12 / 4)

    def between(self, low: int, high: int) -> int:
        """Draws a whole number from `low` to `high`, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def one_of(self, options: Sequence[T]) -> T:
        """Draws one of several options."""
        return options[self.between(0, len(options) - 1)]


@dataclasses.dataclass(frozen=True)
class Thing:
    """An object of a scene: one shape, or a crowd of small ones.

    Attributes:
        kind: Index of the object's class in `SHAPES`.
        color: Name of the color.
        parts: Center x, center y, radius and angle of each shape, in pixels and radians. The radius
            is that of a circle of the same area.
    """

    kind: int
    color: str
    parts: tuple[tuple[float, float, float, float], ...]

    @property
    def is_crowd(self) -> bool:
        """Whether there are several shapes."""
        return len(self.parts) > 1

    def distance(self, x: Plane, y: Plane) -> Plane:
        """Distance of each pixel from the outline, negative inside."""
        distances = [_OUTLINES[self.kind](*_turned(x, y, part), part[2]) for part in self.parts]
        return np.minimum.reduce(distances)


@dataclasses.dataclass(frozen=True)
class Scene:
    """A rendered scene.

    Attributes:
        image: Pixels.
        masks: Visible pixels of each object, in the order in which the objects were painted.
        kinds: Class of each object, an index in `SHAPES`.
        crowds: Which objects are crowds.
        main: Class of the object, crowds not counted, with the largest visible area.
        caption: Description in words.
    """

    image: UInt8[np.ndarray, "height width 3"]
    masks: Masks
    kinds: tuple[int, ...]
    crowds: tuple[bool, ...]
    main: int
    caption: str

    @property
    def classes(self) -> UInt8[np.ndarray, "height width"]:
        """Class of each pixel: 0 for the background, else 1 + the index in `SHAPES`."""
        kinds = np.array(self.kinds)[:, None, None] + 1
        return (self.masks * kinds).sum(axis=0).astype(np.uint8)


def render(
    draws: Draws,
    size: tuple[int, int],
    *,
    num_objects: tuple[int, int] = (2, 5),
    crowd: int | float = 0.1,
    noise: tuple[int | float, int | float] = (0.01, 0.06),
) -> Scene:
    """Draws and paints a scene; raises a ValueError if the objects do not fit.

    Objects overlap each other and the border. At least two fifths of each are visible, and the
    visible area of the largest, `main`, is at least a fifth larger than that of any other. `crowd`
    is the probability of a crowd, which `num_objects` does not count; `noise` bounds the deviation
    of the noise, for values from 0 to 1.
    """
    things, distances, masks, seen = _laid_out(draws, size, num_objects, crowd)
    pattern, color = _background(draws, size)
    for thing, distance in zip(things, distances, strict=True):
        cover = np.clip(0.5 - distance, 0, 1)[..., None]
        color = cover * _surface(draws, size, thing.color) + (1 - cover) * color
    lit = color * _light(draws, size)[..., None]
    lit = lit + draws.uniform(*noise) * draws.normal((*size, 3))
    kinds, crowds = (thing.kind for thing in things), (thing.is_crowd for thing in things)
    return Scene(
        image=np.round(np.clip(lit, 0, 1) * 255).astype(np.uint8),
        masks=masks,
        kinds=tuple(kinds),
        crowds=tuple(crowds),
        main=things[int(np.argmax(_areas_alone(things, masks)))].kind,
        caption=_describe(things, masks, seen, pattern),
    )


def _laid_out(
    draws: Draws, size: tuple[int, int], num_objects: tuple[int, int], crowd: int | float
) -> tuple[list[Thing], list[Plane], Masks, Float[np.ndarray, " objects"]]:
    """Returns objects that are visible enough, pixels' distances from each, and `_seen`."""
    y, x = _places(size)
    for _ in range(_TRIES):
        things = _arrange(draws, size, num_objects, crowd)
        distances = [thing.distance(x, y) for thing in things]
        masks, seen = _seen(things, distances)
        *_, second, largest = np.sort([0, *_areas_alone(things, masks)])
        if seen.min() >= 0.4 and masks.sum(axis=(1, 2)).min() >= 12 and largest >= 1.2 * second:
            return things, distances, masks, seen
    raise ValueError(
        f"{num_objects[0]} to {num_objects[1]} objects find no room in {size[0]}x{size[1]} pixels: "
        "give fewer objects, or more pixels"
    )


def _seen(
    things: Sequence[Thing], distances: Sequence[Plane]
) -> tuple[Masks, Float[np.ndarray, " objects"]]:
    """Returns the visible pixels of each object, and their share of its area."""
    whole = np.stack([distance <= 0 for distance in distances])
    hiding: np.ndarray = np.cumsum(whole[::-1], axis=0)[::-1] - whole
    masks = whole & (hiding == 0)
    areas = [sum(np.pi * radius**2 for _, _, radius, _ in thing.parts) for thing in things]
    return masks, masks.sum(axis=(1, 2)) / areas


def _areas_alone(things: Sequence[Thing], masks: Masks) -> Int[np.ndarray, " objects"]:
    """Returns the visible area of each object, and 0 for crowds."""
    return np.where([thing.is_crowd for thing in things], 0, masks.sum(axis=(1, 2)))


def _arrange(
    draws: Draws, size: tuple[int, int], num_objects: tuple[int, int], crowd: int | float
) -> list[Thing]:
    """Draws random objects, from the farthest to the nearest."""
    short = min(size)
    things = []
    for _ in range(draws.between(*num_objects)):
        radius = short * 0.08 * 3.0 ** draws.uniform()
        center = draws.uniform(0.05, 0.95) * size[1], draws.uniform(0.05, 0.95) * size[0]
        things.append(_thing(draws, [(*center, radius)]))
    if draws.uniform() < crowd:
        center = draws.uniform(0.2, 0.8) * size[1], draws.uniform(0.2, 0.8) * size[0]
        apart = draws.uniform(-0.16, 0.16, (draws.between(5, 9), 2)) * short
        radius = short * draws.uniform(0.04, 0.055)
        parts = [(center[0] + dx, center[1] + dy, radius) for dx, dy in apart.tolist()]
        things.insert(draws.between(0, len(things)), _thing(draws, parts))
    return things


def _thing(draws: Draws, circles: Sequence[tuple[float, float, float]]) -> Thing:
    kind, color = draws.between(0, len(SHAPES) - 1), draws.one_of(tuple(HUES))
    return Thing(kind, color, tuple((*each, draws.uniform(0, 2 * np.pi)) for each in circles))


def _surface(
    draws: Draws, size: tuple[int, int], color: str
) -> Float[np.ndarray, "height width 3"]:
    """Paints a surface in a color, with a darker pattern."""
    hue = HUES[color] + draws.uniform(-8, 8)
    paint = _rgb(hue, draws.uniform(0.5, 1), draws.uniform(0.5, 1))
    _, pattern = _pattern(draws, size)
    painted: np.ndarray = paint * (1 - draws.uniform(0.1, 0.45) * pattern)[..., None]
    return painted


def _background(
    draws: Draws, size: tuple[int, int]
) -> tuple[str, Float[np.ndarray, "height width 3"]]:
    """Returns the name of a pattern, and a background with it in two colors."""
    one, two = (
        _rgb(draws.uniform(0, 360), draws.uniform(0, 0.5), draws.uniform(0.2, 0.95))
        for _ in range(2)
    )
    name, pattern = _pattern(draws, size)
    grain = 0.15 * (clouds(draws, size, 16) - 0.5)
    share = pattern[..., None] * draws.uniform(0.3, 1)
    return name, np.clip(one * (1 - share) + two * share + grain[..., None], 0, 1)


def _pattern(draws: Draws, size: tuple[int, int]) -> tuple[str, Plane]:
    """Returns a name of `PATTERNS`, and that pattern with values from 0 to 1."""
    name = draws.one_of(PATTERNS)
    angle, period = draws.uniform(0, np.pi), draws.uniform(0.06, 0.2) * min(size)
    y, x = _places(size)
    along, across = _turned(x, y, (0.0, 0.0, 0.0, angle))
    waves = np.sin(2 * np.pi * along / period)
    if name == "striped":
        return name, 0.5 + 0.5 * np.tanh(3 * waves)
    if name == "checked":
        return name, 0.5 + 0.5 * np.tanh(6 * waves * np.sin(2 * np.pi * across / period))
    if name == "cloudy":
        return name, clouds(draws, size, draws.between(3, 8))
    return name, np.zeros(size)


def clouds(draws: Draws, size: tuple[int, ...], cells: int) -> Float[np.ndarray, "..."]:
    """Makes smooth noise from 0 to 1, interpolated on a grid of `cells` cells along each axis.

    >>> clouds(Draws(0, 0), (8, 12, 16), 2).shape
    (8, 12, 16)
    """
    noise: np.ndarray = draws.uniform(0, 1, (cells + 2,) * len(size))
    for axis in reversed(range(len(size))):
        place, part = np.divmod(np.arange(size[axis]) * (cells / size[axis]), 1)
        part = (part * part * (3 - 2 * part)).reshape(-1, *[1] * (len(size) - 1 - axis))
        before = place.astype(int)
        noise = noise.take(before, axis) * (1 - part) + noise.take(before + 1, axis) * part
    return noise


def _light(draws: Draws, size: tuple[int, int]) -> Plane:
    """Returns the brightness of each pixel: more light from one side, and soft shadows."""
    angle = draws.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    slope = draws.uniform(0, 0.35) * (np.cos(angle) * x + np.sin(angle) * y)
    shadows = draws.uniform(0, 0.4) * clouds(draws, size, 2)
    light: Plane = draws.uniform(0.8, 1.15) * (1 + slope - shadows)
    return light


def _places(size: tuple[int, int]) -> Float[np.ndarray, "2 height width"]:
    """Returns the y and x of each pixel's center."""
    return np.mgrid[: size[0], : size[1]].astype(np.float64)


def _turned(x: Plane, y: Plane, part: tuple[float, float, float, float]) -> tuple[Plane, Plane]:
    """Returns coordinates relative to the center of a shape, along its axes."""
    center_x, center_y, _, angle = part
    right, down = x - center_x, y - center_y
    cosine, sine = np.cos(angle), np.sin(angle)
    return cosine * right + sine * down, cosine * down - sine * right


def _circle(x: Plane, y: Plane, radius: float) -> Plane:
    distance: Plane = np.sqrt(x * x + y * y) - radius
    return distance


def _square(x: Plane, y: Plane, radius: float) -> Plane:
    distance: Plane = np.maximum(np.abs(x), np.abs(y)) - radius * np.sqrt(np.pi) / 2
    return distance


def _triangle(x: Plane, y: Plane, radius: float) -> Plane:
    sides = [x * np.cos(turn) + y * np.sin(turn) for turn in 2 * np.pi / 3 * np.arange(3)]
    distance: Plane = np.maximum.reduce(sides) - radius * np.sqrt(np.pi / np.sqrt(27))
    return distance


_OUTLINES = (_circle, _square, _triangle)


def _rgb(hue: float, saturation: float, value: float) -> Float[np.ndarray, " 3"]:
    return np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value))


def _describe(
    things: Sequence[Thing],
    masks: Masks,
    seen: Float[np.ndarray, " objects"],
    pattern: str,
) -> str:
    """Describes the objects, from the largest to the smallest."""
    areas = masks.mean(axis=(1, 2))
    phrases = []
    for index in np.argsort(-areas, kind="stable").tolist():
        thing = things[index]
        words = [thing.color, SHAPES[thing.kind]]
        if thing.is_crowd:
            words = ["crowd", "of", thing.color, f"{SHAPES[thing.kind]}s"]
        elif seen[index] < 0.75:
            words.insert(0, "hidden")
        elif areas[index] > 0.08 or areas[index] < 0.03:
            words.insert(0, "large" if areas[index] > 0.08 else "small")
        article = "an" if words[0] == "orange" else "a"
        phrases.append(" ".join([article, *words, _place(masks[index])]))
    *most, last = phrases
    listed = f"{', '.join(most)} and {last}" if most else last
    return f"{listed}, before a {pattern} background"


def _place(mask: Bool[np.ndarray, "height width"]) -> str:
    """Describes the position of a mask."""
    rows, columns = np.nonzero(mask)
    vertical = ("top", "", "bottom")[min(int(3 * (rows.mean() + 0.5) / mask.shape[0]), 2)]
    horizontal = ("left", "", "right")[min(int(3 * (columns.mean() + 0.5) / mask.shape[1]), 2)]
    place = " ".join(word for word in (vertical, horizontal) if word)
    return f"at the {place}" if place else "in the center"
