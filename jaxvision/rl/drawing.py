"""Pictures of environments: a canvas in scene coordinates, on which shapes are painted."""

from collections.abc import Sequence
from typing import Any

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

Point = Sequence[Any]
Color = tuple[int, int, int]

WHITE, INK, GRAY, LIGHT = (255, 255, 255), (51, 51, 51), (153, 153, 153), (228, 228, 228)
BLUE, VERMILLION, GREEN, ORANGE = (0, 114, 178), (213, 94, 0), (0, 158, 115), (230, 159, 0)


class Canvas(flax.struct.PyTreeNode):
    """An image in scene coordinates, with y upward; every method returns a new canvas.

    Edges are smoothed over one pixel. Colors are red, green and blue from 0 to 255.

    >>> import jax
    >>> @jax.jit
    ... def picture(x):
    ...     return Canvas.blank((0.0, 0.0), (2.0, 1.0), height=10).disc((x, 0.5), 0.3, BLUE).image()
    >>> picture(1.0).shape
    (10, 20, 3)
    """

    pixels: Any
    low: tuple[float, float] = flax.struct.field(pytree_node=False)
    high: tuple[float, float] = flax.struct.field(pytree_node=False)

    @classmethod
    def blank(
        cls,
        low: tuple[float, float],
        high: tuple[float, float],
        *,
        height: int,
        color: Color = WHITE,
    ) -> "Canvas":
        """Creates a canvas of one color from corner `low` to `high`, `height` pixels high."""
        width = round(height * (high[0] - low[0]) / (high[1] - low[1]))
        pixels = jnp.broadcast_to(jnp.array(color, jnp.float32), (height, width, 3))
        return cls(pixels=pixels, low=low, high=high)

    def image(self) -> UInt8[Array, "height width 3"]:
        """Converts the canvas to an RGB image."""
        return jnp.round(self.pixels).astype(jnp.uint8)

    def segment(self, start: Point, end: Point, width: Any, color: Color) -> "Canvas":
        """Paints a line with round ends."""
        x, y = self._grid()
        along_x, along_y = end[0] - start[0], end[1] - start[1]
        length = jnp.maximum(along_x**2 + along_y**2, 1e-12)
        share = ((x - start[0]) * along_x + (y - start[1]) * along_y) / length
        share = jnp.clip(share, min=0, max=1)
        distance = jnp.hypot(x - start[0] - share * along_x, y - start[1] - share * along_y)
        return self._paint(distance - width / 2, color)

    def disc(self, center: Point, radius: Any, color: Color) -> "Canvas":
        """Paints a disc."""
        x, y = self._grid()
        return self._paint(jnp.hypot(x - center[0], y - center[1]) - radius, color)

    def rectangle(self, low: Point, high: Point, color: Color) -> "Canvas":
        """Paints a rectangle, given its lower left and its upper right corner."""
        x, y = self._grid()
        outside_x = jnp.maximum(low[0] - x, x - high[0])
        outside_y = jnp.maximum(low[1] - y, y - high[1])
        return self._paint(jnp.maximum(outside_x, outside_y), color)

    def _paint(self, distance: Float[Array, "height width"], color: Color) -> "Canvas":
        """Paints the points at a negative distance."""
        pixel = (self.high[1] - self.low[1]) / self.pixels.shape[0]
        cover = jnp.clip(0.5 - distance / pixel, min=0, max=1)[..., None]
        pixels = self.pixels + cover * (jnp.array(color, jnp.float32) - self.pixels)
        return self.replace(pixels=pixels)

    def _grid(self) -> tuple[Float[Array, "1 width"], Float[Array, "height 1"]]:
        height, width, _ = self.pixels.shape
        across = (jnp.arange(width) + 0.5) / width
        down = (jnp.arange(height) + 0.5) / height
        x = self.low[0] + across * (self.high[0] - self.low[0])
        y = self.high[1] - down * (self.high[1] - self.low[1])
        return x[None, :], y[:, None]
