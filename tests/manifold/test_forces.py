"""Attraction and repulsion against sums over all pairs, and against gradients of the divergence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick
import scipy.integrate
import scipy.stats
from sklearn.datasets import load_iris

from jaxvision import classical, manifold
from jaxvision.manifold import attraction, mesh, repulsion, splines

KERNELS = {
    "student": manifold.Student(),
    "heavy": manifold.Student(0.5),
    "light": manifold.Student(3.0),
    "gaussian": manifold.Gaussian(),
}
IRIS = load_iris().data.astype(np.float32)


def cluster(count: int, span: float = 120.0, seed: int = 0, components: int = 2) -> np.ndarray:
    """Points as an embedding has them: filled clusters on a disk."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(-0.4, 0.4, (12, components)) * span
    points = centers[rng.integers(12, size=count)] + rng.uniform(-8, 8, (count, components))
    return points.astype(np.float32)


def pairs(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    away = points.astype(np.float64)[:, None] - points.astype(np.float64)
    return away, np.square(away).sum(axis=-1)


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_fall_as_they_say(name) -> None:
    kernel = KERNELS[name]
    squares = np.array([0.0, 0.3, 2.0, 9.0], np.float32)

    @quick.jit
    def all_of(squares):
        slope = jax.vmap(jax.grad(kernel.similarity))(squares)
        similarity = kernel.similarity(squares)
        return (
            slope,
            similarity,
            kernel.descent(squares),
            kernel.pull(squares),
            kernel.cost(squares),
        )

    slope, similarity, descent, pull, cost = all_of(squares)
    assert similarity[0] == 1
    np.testing.assert_allclose(descent, -slope, rtol=1e-5)
    np.testing.assert_allclose(pull, -slope / similarity, rtol=1e-5)
    np.testing.assert_allclose(cost, -np.log(similarity), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("components", [1, 2, 3])
@pytest.mark.parametrize("count", [2, 128, 300])
def test_attraction_is_the_sum_over_neighbors(count, components) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.random((count, count)) * (rng.random((count, count)) < 0.1) / count
    matrix[0] = rng.random(count)  # a point with many neighbors
    matrix = np.triu(matrix, 1) + np.triu(matrix, 1).T
    rows, columns = np.nonzero(matrix)
    near = manifold.Affinities(
        rows, columns, jnp.asarray(matrix[rows, columns], jnp.float32), jnp.zeros(()), count
    )
    points = cluster(count, 30.0, components=components)
    kernel = manifold.Student()
    edges = attraction.lay_out(near)
    assert edges.values.sum() == pytest.approx(matrix.sum(), rel=1e-5)

    def both(points):
        force = attraction.attraction(points, edges, kernel)
        return force, attraction.cross_entropy(points, edges, kernel)

    force, cost = quick.jit(both)(points)
    away, squares = pairs(points)
    expected = ((matrix / (1 + squares))[:, :, None] * away).sum(axis=1)
    np.testing.assert_allclose(force, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert cost == pytest.approx((matrix * np.log1p(squares)).sum(), rel=1e-5)


@pytest.mark.parametrize("by_point", [False, True])
@pytest.mark.parametrize("name", ["student", "heavy", "gaussian"])
def test_repulsion_is_the_gradient_of_the_sum_of_similarities(name, by_point) -> None:
    kernel, points = KERNELS[name], cluster(53, 10.0, components=3) / 5

    def log_total(points):
        squares = jnp.square(points[:, None] - points).sum(axis=-1)
        similar = kernel.similarity(squares) * (1 - jnp.eye(len(points)))
        if by_point:
            return jnp.log(similar.sum(axis=1)).mean()
        return jnp.log(similar.sum())

    @quick.jit
    def found_and_expected(points):
        found = repulsion.exact_repulsion(points, kernel, by_point=by_point)
        return found, *jax.value_and_grad(log_total)(points)

    found, total, gradient = found_and_expected(points)
    assert float(found.log_total) == pytest.approx(float(total), rel=1e-5)
    np.testing.assert_allclose(
        found.force, gradient / -4, rtol=1e-4, atol=1e-5 * np.abs(gradient).max()
    )


@pytest.mark.parametrize("count", [1, 7, 50])
def test_both_orders_of_adding_up_give_the_same(count) -> None:
    points, others = cluster(9, 20.0), cluster(count, 20.0, seed=1)
    weights, other_weights = np.linspace(0, 1, 9, dtype=np.float32), np.ones(count, np.float32)
    of_cpu, of_accelerator = quick.jit(
        lambda *rows: [
            add(*rows, manifold.Student())
            for add in (repulsion._point_after_point, repulsion._block_after_block)
        ]
    )(points, weights, others, other_weights)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6),
        of_cpu,
        of_accelerator,
    )


@pytest.mark.parametrize(("kernel", "by_point"), [("student", 0), ("gaussian", 0), ("gaussian", 1)])
def test_the_step_goes_down_the_gradient_of_the_divergence(kernel, by_point) -> None:
    """The divergence is that of the definition, and the first update is along its gradient."""
    data, each = IRIS[::5], np.arange(30)
    near = classical.nearest_neighbors(data, data, 15, query_groups=each, reference_groups=each)
    given = manifold.conditional(np.square(near.distances), 5.0)
    affinities = manifold.symmetric(near, given)
    step = manifold.EmbeddingStep(KERNELS[kernel], by_point=bool(by_point), measure_every=1)
    schedule = manifold.make_schedule(30, exaggeration=1.0)
    problem = manifold.make_problem(affinities, step, schedule=schedule)
    points = np.random.default_rng(0).standard_normal((30, 2)).astype(np.float32)
    state = manifold.init_embedding(jax.random.key(0), data, init=points)
    rows = np.zeros((30, 30), np.float32)
    np.put_along_axis(rows, np.asarray(near.indices), np.asarray(given), axis=1)
    probabilities = rows / 30 if by_point else (rows + rows.T) / 60
    positive = probabilities > 1e-30  # smaller numbers are 0 in a program

    def divergence(points):
        squares = jnp.square(points[:, None] - points).sum(axis=-1)
        similar = step.kernel.similarity(squares) * (1 - jnp.eye(30))
        total = 30 * similar.sum(axis=1, keepdims=True) if by_point else similar.sum()
        similar = jnp.where(positive, similar, 1)
        ratio = jnp.where(positive, probabilities * total, similar) / similar
        return (probabilities * jnp.log(ratio)).sum()

    @quick.jit
    def run(state):
        return step(state, problem), jax.value_and_grad(divergence)(state.embedding)

    (after, metrics), (kl, gradient) = run(state)
    assert float(metrics["kl"][0]) == pytest.approx(float(kl), abs=2e-5)
    expected = -30 * 1.2 * gradient
    np.testing.assert_allclose(
        after.velocity, expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max()
    )
    np.testing.assert_allclose(after.embedding.mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("name", KERNELS)
def test_the_wide_part_is_the_integral_over_wide_distributions(name) -> None:
    """A similarity of dof d is a mixture of `exp(-t s)`, t by a gamma distribution."""
    kernel = KERNELS[name]
    squares = np.array([0.0, 1.0, 30.0, 2000.0])
    for sharpest in (0.1, 2.0):
        if isinstance(kernel, manifold.Gaussian):
            expected = np.exp(-squares) * (sharpest > 1)
        else:
            shape = (kernel.dof + 1) / 2
            density = scipy.stats.gamma(shape, scale=1 / kernel.dof).pdf

            def integrand(t, s, density=density):
                return density(t) * np.exp(-t * s)

            ends = 0, sharpest
            expected = [scipy.integrate.quad(integrand, *ends, (each,))[0] for each in squares]
        found = kernel.wide_part(squares, sharpest)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
        traced = quick.jit(kernel.wide_part)(squares.astype(np.float32), np.float32(sharpest))
        np.testing.assert_allclose(traced, expected, rtol=1e-4, atol=1e-6)


def test_a_coarse_grid_has_the_charges_and_the_function_of_a_fine_one() -> None:
    points, rng = np.random.default_rng(0).uniform(-20, 20, (200, 2)), np.random.default_rng(1)
    points, nodes = points.astype(np.float32), rng.standard_normal((16, 16)).astype(np.float32)

    @quick.jit
    def both(points, nodes):
        fine, coarse = splines.make_stencil(points, 64), splines.make_stencil(points / 4, 16)
        refined, slopes = splines.read(splines.refine(nodes), fine)
        return (
            (splines.coarsen(splines.spread(fine, 64)), refined, 4 * slopes),
            (splines.spread(coarse, 16), *splines.read(nodes, coarse)),
        )

    for found, expected in zip(*both(points, nodes), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-6)


def on_mesh(points, kernel, meshes=None):
    meshes = meshes or mesh.make_meshes(len(points), kernel)

    def both(points, meshes):
        return mesh.mesh_repulsion(points, meshes, kernel), repulsion.exact_repulsion(
            points, kernel
        )

    return jax.jit(both)(points, meshes)


def relative(found, expected) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize(
    ("name", "span"),
    [
        ("student", 120.0),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ("student", 20.0),
                ("student", 210.0),
                ("heavy", 120.0),
                ("light", 120.0),
                ("gaussian", 120.0),
            ]
        ),
    ],
)
def test_forces_of_the_mesh_are_within_4_percent(name, span) -> None:
    points = cluster(3000) * (span / 120)
    points[0] = 0.6 * span  # one that lies apart is not lost
    found, exact = on_mesh(points, KERNELS[name])
    assert relative(found.force, exact.force) < 0.04
    assert abs(float(found.log_total - exact.log_total)) < 0.01


def test_points_beyond_the_largest_grid_are_kept_and_none_is_read_elsewhere() -> None:
    """One program for three embeddings: on a grid, too large for any, and not a number."""
    kernel = manifold.Student()
    meshes = mesh.make_meshes(500, kernel)
    far = cluster(500) * 5
    found, exact = on_mesh(far, kernel, meshes)
    assert abs(float(found.log_total - exact.log_total)) < 0.05
    assert relative(found.force, exact.force) < 0.5
    lost = far.copy()
    lost[7, 1] = np.nan
    assert np.isnan(on_mesh(lost, kernel, meshes)[0].log_total)


@pytest.mark.slow
def test_the_mesh_gives_the_same_bits_again() -> None:
    kernel, points = manifold.Student(), cluster(3000)
    meshes = mesh.make_meshes(3000, kernel)
    repulse = jax.jit(lambda points: mesh.mesh_repulsion(points, meshes, kernel).force)
    first = np.asarray(repulse(points))
    for _ in range(20):
        np.testing.assert_array_equal(repulse(points), first)
