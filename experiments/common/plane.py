"""A distribution of points around eight centers in the plane, and the coverage of its modes."""

import dataclasses

import numpy as np
from jaxtyping import Float, Float32, Float64

from jaxvision import data, metrics

Points = Float[np.ndarray, "points 2"]


@dataclasses.dataclass(frozen=True)
class Ring:
    """An equal mixture of normal distributions around centers on a circle, in [-1, 1] squared.

    Attributes:
        count: Number of centers.
        radius: Radius of the circle.
        deviation: Standard deviation of the points around a center, along each axis.
    """

    count: int = 8
    radius: float = 0.7
    deviation: float = 0.02

    @property
    def centers(self) -> Float64[np.ndarray, "centers 2"]:
        """The centers."""
        angles = 2 * np.pi * np.arange(self.count) / self.count
        return self.radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def draw(self, count: int, seed: int) -> Float64[np.ndarray, "points 2"]:
        """Draws points."""
        random = np.random.default_rng(seed)
        chosen = self.centers[random.integers(self.count, size=count)]
        return chosen + self.deviation * random.standard_normal((count, 2))

    def dataset(self, count: int, seed: int = 0) -> data.Dataset:
        """Points as images of one pixel with two channels, in [0, 1]."""
        pixels = (self.draw(count, seed) / 2 + 0.5).astype(np.float32)
        return data.from_arrays({"image": pixels.reshape(-1, 1, 1, 2)}, name="ring", split="train")

    def scores(self, samples: Points, *, least_share: float = 0.02) -> dict[str, float]:
        """Measures samples.

        `near`: the share of samples within three deviations of a center; `modes`: the number of
        centers with at least `least_share` of these; `divergence`: the divergence of the centers'
        shares from equal ones, in nats.
        """
        squares = np.square(samples[:, None] - self.centers).sum(axis=-1)
        near = squares.min(axis=1) <= (3 * self.deviation) ** 2
        if not near.any():
            return {"near": 0.0, "modes": 0.0, "divergence": float(np.log(self.count))}
        found = metrics.mode_coverage(
            squares.argmin(axis=1)[near], self.count, least_share=least_share
        )
        return {
            "near": float(near.mean()),
            "modes": float(found.modes),
            "divergence": found.divergence,
        }

    def density(
        self, axis: Float[np.ndarray, " positions"], noise: float
    ) -> Float64[np.ndarray, "positions positions"]:
        """The density of points plus normal noise, on a grid `[vertical, horizontal]`."""
        deviation = float(np.hypot(self.deviation, noise))
        return smoothed(self.centers, axis, deviation)


def smoothed(
    points: Points, axis: Float[np.ndarray, " positions"], deviation: float
) -> Float64[np.ndarray, "positions positions"]:
    """The mean of normal densities around points, on a grid `[vertical, horizontal]`."""
    horizontal, vertical = (
        np.exp(-np.square((axis[:, None] - points[:, side]) / deviation) / 2)
        / (deviation * np.sqrt(2 * np.pi))
        for side in (0, 1)
    )
    return vertical @ horizontal.T / len(points)


def as_points(images: Float32[np.ndarray, "batch 1 1 2"]) -> Points:
    """The points that images in [0, 1] stand for."""
    return 2 * images.reshape(-1, 2) - 1
