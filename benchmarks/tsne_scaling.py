"""Steps of t-SNE of many points: time, memory, and what a whole embedding would take."""

import resource
import time

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from tables import Table
from tsne import CLUSTERS, PERPLEXITY, STEPS, draw_mixture

from jaxvision import classical, manifold

TIMED, SAMPLE = 20, 512
EARLY = 250
DENSITY = 70_000 / 185**2
"""Points on a square of 1 by 1 at the end of an embedding of 70,000."""


def scaling_table(sizes: tuple[int, ...]) -> Table:
    """A row for each number of points."""
    titles = "search s", "early ms", "late ms", "ns/point", "total s", "peak GB"
    table = Table("scaling", {"points": ",d", **dict.fromkeys(titles, ".2f")})
    for size in sizes:
        points, owners = draw_mixture(size, spread=20.0)
        search = seconds_of_search(points)
        problem = manifold.make_problem(affinities(points, owners), method="mesh")
        early = seconds_of_step(problem, 1e-4 * disk(size))
        late = seconds_of_step(problem, disk(size))
        total = search + EARLY * early + (STEPS - EARLY) * late
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        table.add(size, search, 1e3 * early, 1e3 * late, 1e9 * late / size, total, peak)
    return table


def affinities(
    points: Float[np.ndarray, "points features"], owners: np.ndarray
) -> manifold.Affinities:
    """Affinities of clusters that lie so far apart that all neighbors are in one's own."""
    k = 3 * PERPLEXITY
    indices = np.empty((len(points), k), np.int32)
    distances = np.empty((len(points), k), np.float32)
    for cluster in range(CLUSTERS):
        (own,) = np.nonzero(owners == cluster)
        each = np.arange(len(own))
        found = classical.nearest_neighbors(
            points[own], points[own], k, query_groups=each, reference_groups=each
        )
        indices[own], distances[own] = own[np.asarray(found.indices)], found.distances
    given = manifold.conditional(np.square(distances), float(PERPLEXITY))
    near = classical.Neighbors(jnp.asarray(indices), jnp.asarray(distances))
    return manifold.symmetric(near, given)


def seconds_of_search(points: Float[np.ndarray, "points features"]) -> float:
    """How long the search for all neighbors among all points takes, from that of some."""
    some = points[:SAMPLE]

    def search() -> float:
        began = time.perf_counter()
        jax.block_until_ready(classical.nearest_neighbors(some, points, 3 * PERPLEXITY))
        return time.perf_counter() - began

    search()
    return search() * len(points) / len(some)


def seconds_of_step(problem: manifold.Problem, places: Float[np.ndarray, "points 2"]) -> float:
    """The time of a step from a place of the points, without compilation."""
    step = manifold.EmbeddingStep(measure_every=STEPS)
    state = manifold.init_embedding(jax.random.key(0), places, init=places)
    many = jax.jit(
        lambda state, problem, count: jax.lax.fori_loop(
            0, count, lambda _, state: step(state, problem)[0], state
        )
    )
    jax.block_until_ready(many(state, problem, 1))
    began = time.perf_counter()
    jax.block_until_ready(many(state, problem, TIMED))
    return (time.perf_counter() - began) / TIMED


def disk(size: int) -> Float[np.ndarray, "points 2"]:
    """Points on a disk, as densely as at the end of an embedding of 70,000."""
    rng = np.random.default_rng(0)
    radius = np.sqrt(size / DENSITY / np.pi * rng.random(size))
    angle = 2 * np.pi * rng.random(size)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
