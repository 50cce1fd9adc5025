"""Rendered volumes: balls and tubes among plates and specks, and the class of every voxel."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxvision.data.builders.scenes import Draws, clouds

Size = tuple[int, int, int]
Distance = Float[np.ndarray, "depth height width"]
Points = Float[np.ndarray, "points 3"]
Balls = tuple[Points, Float[np.ndarray, " points"]]

SOLIDS = ("ball", "tube")
"""Classes of objects."""

_TRIES = 200
"""Largest number of positions tried for an object, and of arrangements tried for a volume."""

_APART = 1.5
"""Least distance between two objects, in voxels."""

_SAMPLES = 48
"""Number of balls along a curve that make a tube."""


@dataclasses.dataclass(frozen=True)
class Solids:
    """A rendered volume.

    Attributes:
        volume: Intensity of each voxel.
        classes: Class of each voxel: 0 for the background, else 1 + the index in `SOLIDS`.
        main: Class with the most voxels, an index in `SOLIDS`.
    """

    volume: UInt8[np.ndarray, "depth height width"]
    classes: UInt8[np.ndarray, "depth height width"]
    main: int


def render_solids(
    draws: Draws,
    size: Size,
    *,
    num_balls: tuple[int, int] = (1, 4),
    num_tubes: tuple[int, int] = (1, 3),
    num_plates: tuple[int, int] = (1, 3),
    noise: tuple[int | float, int | float] = (0.02, 0.08),
) -> Solids:
    """Draws and paints a volume; raises a ValueError if the objects do not fit.

    Balls and tubes, which do not touch, lie over plates (thin disks) and specks, which are
    background. Each has its own contrast, brighter or darker than its surroundings, so that
    intensity does not reveal the class; a smooth bias field varies the brightness. One class has at
    least a fifth more voxels than the other. `noise` bounds the deviation of the noise, for values
    from 0 to 1.
    """
    distances, classes = _laid_out(draws, size, num_balls, num_tubes)
    tissue = draws.uniform(0.4, 0.6) + 0.12 * (clouds(draws, size, 6) - 0.5)
    intensity = tissue
    plates = [_plate(draws, size) for _ in range(draws.between(*num_plates))]
    specks = [_speck(draws, size) for _ in range(draws.between(4, 10))]
    for distance in (*plates, *specks, *distances):
        contrast = draws.uniform(0.15, 0.35) * draws.one_of((-1, 1))
        cover = np.clip(0.5 - distance, 0, 1)
        intensity = cover * (tissue + contrast) + (1 - cover) * intensity
    bias = 1 + draws.uniform(0.2, 0.6) * (clouds(draws, size, 2) - 0.5)
    noisy = intensity * bias + draws.uniform(*noise) * draws.normal(size)
    return Solids(
        volume=np.round(np.clip(noisy, 0, 1) * 255).astype(np.uint8),
        classes=classes,
        main=int(np.argmax(_counts(classes))),
    )


def _laid_out(
    draws: Draws, size: Size, num_balls: tuple[int, int], num_tubes: tuple[int, int]
) -> tuple[list[Distance], UInt8[np.ndarray, "depth height width"]]:
    """Returns each voxel's distance from each object, negative inside, and each voxel's class."""
    for _ in range(_TRIES):
        balls, tubes = draws.between(*num_balls), draws.between(*num_tubes)
        found = _arranged(draws, size, balls, tubes)
        if found is None:
            continue
        classes = np.zeros(size, np.uint8)
        for number, distance in enumerate(found):
            kind = SOLIDS.index("tube" if number < tubes else "ball")
            classes[distance <= 0] = kind + 1
        fewer, more = sorted(_counts(classes).tolist())
        if fewer > 0 and more >= 1.2 * fewer:
            return found, classes
    raise ValueError(
        f"{num_balls[0]} to {num_balls[1]} balls and {num_tubes[0]} to {num_tubes[1]} tubes find "
        f"no room in {size[0]}x{size[1]}x{size[2]} voxels: give fewer objects, or more voxels"
    )


def _arranged(draws: Draws, size: Size, balls: int, tubes: int) -> list[Distance] | None:
    """Returns the distances from tubes, then balls, that do not touch; None if they do not fit."""
    nearest = np.full(size, np.inf)
    found = []
    for draw_object in [_curve] * tubes + [_center] * balls:
        for _ in range(_TRIES):
            centers, radii = draw_object(draws, size)
            places = np.clip(np.round(centers), 0, np.array(size) - 1).astype(int)
            if (nearest[tuple(places.T)] > radii + _APART).all():
                break
        else:
            return None
        found.append(_distance(size, centers, radii))
        nearest = np.minimum(nearest, found[-1])
    return found


def _center(draws: Draws, size: Size) -> Balls:
    """Draws a ball."""
    radius = min(size) * 0.12 * 1.9 ** draws.uniform()
    return _inside(draws, size), np.array([radius])


def _curve(draws: Draws, size: Size) -> Balls:
    """Draws the balls of a tube, on a Bezier curve from one face of the volume to its opposite."""
    controls = draws.uniform(-0.1, 1.1, (4, 3))
    controls[[0, 3]] = draws.uniform(0.15, 0.85, (2, 3))
    controls[:, draws.between(0, 2)] = 0, 1 / 3, 2 / 3, 1
    t = np.linspace(0, 1, _SAMPLES)[:, None]
    shares = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
    places = sum(share * control for share, control in zip(shares, controls, strict=True))
    waves = np.sin(2 * np.pi * (t[:, 0] + draws.uniform()))
    radii = min(size) * draws.uniform(0.045, 0.095) * (1 + draws.uniform(0, 0.3) * waves)
    return places * (np.array(size) - 1), radii


def _speck(draws: Draws, size: Size) -> Distance:
    return _distance(size, _inside(draws, size), np.array([draws.uniform(0.7, 1.3)]))


def _plate(draws: Draws, size: Size) -> Distance:
    """Returns the distances from a randomly oriented disk, one to two voxels thick."""
    towards = draws.normal((3,))
    normal = towards / np.sqrt((towards**2).sum())
    from_center = _places(size) - _inside(draws, size)[0][:, None, None, None]
    above = sum(part * along for part, along in zip(normal, from_center, strict=True))
    aside = np.sqrt(np.maximum((from_center**2).sum(axis=0) - above**2, 0))
    thickness, radius = draws.uniform(1, 2), min(size) * draws.uniform(0.2, 0.4)
    distance: Distance = np.maximum(np.abs(above) - thickness / 2, aside - radius)
    return distance


def _distance(size: Size, centers: Points, radii: Float[np.ndarray, " points"]) -> Distance:
    """Returns the distance of each voxel from the nearest of several balls."""
    nearest = np.full(size, np.inf)
    for (z, y, x), radius in zip(centers, radii, strict=True):
        depth, height, width = (
            (np.arange(length) - at) ** 2 for length, at in zip(size, (z, y, x), strict=True)
        )
        squares = depth[:, None, None] + height[:, None] + width
        np.minimum(nearest, np.sqrt(squares) - radius, out=nearest)
    return nearest


def _inside(draws: Draws, size: Size) -> Points:
    """Draws a point inside a volume, away from its border."""
    return draws.uniform(0.12, 0.88, (1, 3)) * (np.array(size) - 1)


def _counts(classes: UInt8[np.ndarray, "..."]) -> Int[np.ndarray, " solids"]:
    """Returns the number of voxels of each class except the background."""
    return np.bincount(classes.ravel(), minlength=len(SOLIDS) + 1)[1:]


def _places(size: Size) -> Float[np.ndarray, "3 depth height width"]:
    return np.mgrid[: size[0], : size[1], : size[2]].astype(np.float64)
