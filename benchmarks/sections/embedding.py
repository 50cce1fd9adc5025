"""A whole embedding by t-SNE, from the points to the plane."""

import time

import jax
from tsne import draw_mixture

from jaxvision import manifold
from sections.context import Context

COLUMNS = {"call": "", "points": ",d", "steps": ",d", "seconds": ".2f", "KL": ".4f"}


def tsne(context: Context) -> None:
    """70,000 points in 50 dimensions, perplexity 30, 1,000 steps, twice in one process."""
    count, steps = (200, 20) if context.toy else (70_000, 1_000)
    points = draw_mixture(count)[0]
    table = context.table(
        "embeddings",
        COLUMNS,
        "The search for neighbors counts. The first call compiles. KL is the divergence that the "
        "embedding reports, which is in nats and computed on the grid.",
    )
    for call in ("first", "second"):
        began = time.perf_counter()
        found = manifold.tsne(points, key=jax.random.key(0), perplexity=30, num_steps=steps)
        jax.block_until_ready(found.embedding)
        seconds = time.perf_counter() - began
        table.add(call, count, steps, seconds, float(found.kl))
