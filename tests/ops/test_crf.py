"""Dense CRFs, by a mean field in NumPy and by pydensecrf2 (fixtures/make_dense_crf.py)."""

import functools

import jax
import jax.numpy as jnp
import make_dense_crf as fixture
import numpy as np
import pytest
import quick

from jaxvision import ops
from jaxvision.ops import crf, permutohedral

PEER = np.load(fixture.PATH)
RNG = np.random.default_rng(0)


def distances(space, image, kernel):
    """Squared distances of all pixels in widths of the kernel."""
    spatial = np.broadcast_to(kernel.spatial, len(space))
    points = np.indices(space).reshape(len(space), -1).T / spatial
    if isinstance(kernel, ops.BilateralKernel):
        points = np.concatenate([points, image.reshape(len(points), -1) / kernel.color], axis=1)
    return ((points[:, None] - points[None]) ** 2).sum(-1)


def dense_kernel(space, image, kernel):
    matrix = np.exp(-distances(space, image.astype(np.float64), kernel) / 2)
    total = matrix.sum(1)
    return matrix / np.sqrt(total[:, None] * total)


def softmax(x):
    exponential = np.exp(x - x.max(-1, keepdims=True))
    return exponential / exponential.sum(-1, keepdims=True)


def mean_field(logits, image, kernels, costs=None, num_steps=5):
    """Probabilities of the pixels of one image, in float64."""
    classes = logits.shape[-1]
    unary = logits.reshape(-1, classes).astype(np.float64)
    costs = 1 - np.eye(classes) if costs is None else np.asarray(costs, np.float64)
    matrices = [dense_kernel(logits.shape[:-1], image, kernel) for kernel in kernels]
    q = softmax(unary)
    for _ in range(num_steps):
        energy = sum(k.weight * (m @ q) for k, m in zip(kernels, matrices, strict=True)) @ costs.T
        q = softmax(unary - energy)
    return q.reshape(logits.shape)


def kernels_of(gaussians, bilaterals):
    return [
        *(ops.GaussianKernel(**each) for each in gaussians),
        *(ops.BilateralKernel(**each) for each in bilaterals),
    ]


RUNS = [*((name, "exact") for name in fixture.CASES), ("bilateral", "lattice"), ("both", "lattice")]


@functools.cache
def refined():
    """The probabilities of the fixture's cases."""
    logits, image, _ = fixture.draw()

    def refine(logits, image):
        return {
            (name, method): jnp.exp(
                ops.dense_crf(
                    logits[None],
                    image[None],
                    kernels_of(gaussians, bilaterals),
                    num_steps=fixture.STEPS,
                    compatibility=None if costs is None else jnp.asarray(costs),
                    method=method,
                )[0]
            )
            for name, (gaussians, bilaterals, costs) in fixture.CASES.items()
            for method in ("exact", "lattice")
            if (name, method) in RUNS
        }

    return quick.numbers(quick.jit(refine)(logits, image))


def same_labels(p, q):
    return (p.argmax(-1) == q.argmax(-1)).mean()


@pytest.mark.parametrize("name", fixture.CASES)
def test_the_exact_form_is_the_mean_field(name):
    logits, image, _ = fixture.draw()
    gaussians, bilaterals, costs = fixture.CASES[name]
    wanted = mean_field(logits, image, kernels_of(gaussians, bilaterals), costs, fixture.STEPS)
    np.testing.assert_allclose(refined()[name, "exact"], wanted, atol=2e-6)


def test_the_lattice_is_that_of_pydensecrf():
    np.testing.assert_allclose(refined()["bilateral", "lattice"], PEER["bilateral"], atol=2e-6)


@pytest.mark.parametrize(
    ("name", "method", "mean", "largest"),
    [  # pydensecrf approximates every kernel, the lattice here only those with color
        ("gaussian", "exact", 0.0015, 0.012),
        ("bilateral", "exact", 0.003, 0.055),
        ("both", "exact", 0.0015, 0.09),
        ("both", "lattice", 0.0005, 0.025),
        ("costs", "exact", 0.002, 0.05),
    ],
)
def test_pydensecrf_is_near(name, method, mean, largest):
    found, wanted = refined()[name, method], PEER[name]
    assert np.abs(found - wanted).mean() < mean
    assert np.abs(found - wanted).max() < largest
    assert same_labels(found, wanted) > 0.99


@pytest.mark.parametrize(("name", "largest"), [("bilateral", 0.055), ("both", 0.08)])
def test_the_lattice_is_near_the_exact_form(name, largest):
    exact, lattice = refined()[name, "exact"], refined()[name, "lattice"]
    assert np.abs(exact - lattice).mean() < 0.003
    assert np.abs(exact - lattice).max() < largest
    assert same_labels(exact, lattice) > 0.99


def test_the_noise_is_cleaned():
    logits, _, truth = fixture.draw()
    assert (logits.argmax(-1) == truth).mean() < 0.65
    for method in ("exact", "lattice"):
        assert (refined()["both", method].argmax(-1) == truth).mean() > 0.99


FILTERS = [
    ((23, 17), 0, ops.GaussianKernel((1.5, 0.7))),  # blocks, the last of which is not full
    ((40,), 2, ops.BilateralKernel(6, 0.2)),
    ((5, 6, 7), 1, ops.BilateralKernel((3.0, 4.0, 2.0), 0.2)),
]


def test_filters_are_matrices(monkeypatch):
    """Of images, volumes and signals; the lattice approximates, and its derivative is exact."""
    monkeypatch.setattr(crf, "_PAIRS", 1000)  # several blocks, and pixels that fill none
    inputs = []
    for space, channels, _ in FILTERS:
        smooth = np.indices((*space, channels))[0][..., None] * np.ones(max(channels, 1)) / space[0]
        image = 0.5 * smooth[..., 0, :channels] if channels else np.zeros((*space, 0))
        image = image + 0.1 * RNG.standard_normal(image.shape)
        inputs.append((image.astype("f"), *RNG.random((2, *space, 3)).astype("f")))

    def filter_all(inputs):
        results = []
        for (_, channels, kernel), (image, values, others) in zip(FILTERS, inputs, strict=True):
            for exact in (True, False) if channels else (True,):
                apply = crf.normalized_filter(kernel, image, exact=exact)
                found, pull = jax.vjp(apply, values)
                results.append((found, (found * others).sum(), (pull(others)[0] * values).sum()))
        return results

    found = iter(jax.device_get(quick.jit(filter_all)(inputs)))
    for (space, channels, kernel), (image, values, _) in zip(FILTERS, inputs, strict=True):
        wanted = (dense_kernel(space, image, kernel) @ values.reshape(-1, 3)).reshape(values.shape)
        sums, there, back = next(found)
        np.testing.assert_allclose(sums, wanted, rtol=2e-5, err_msg=str(kernel))
        np.testing.assert_allclose(there, back, rtol=1e-5)
        if channels:
            sums, there, back = next(found)
            deviation = np.sqrt(((sums - wanted) ** 2).mean() / (wanted**2).mean())
            assert deviation < 0.06, kernel
            np.testing.assert_allclose(there, back, rtol=1e-5)


def test_sizes_of_tables_and_blocks_change_nothing(monkeypatch):
    points = RNG.uniform(0, 9, (300, 3)).astype("f")
    both = np.stack([0.1 * points, points])  # vertices that fit into a smaller table, and do not
    values = jnp.asarray(RNG.random((300, 2)), jnp.float32)

    def filter_both():
        def filter_points(points):
            lattice = permutohedral.make_lattice(points)
            return lattice.used, permutohedral.filter_on_lattice(lattice, values)

        return jax.device_get(quick.jit(lambda x: jax.lax.map(filter_points, x))(both))

    used, wanted = filter_both()
    monkeypatch.setattr(permutohedral, "BLOCK", 64)
    monkeypatch.setattr(permutohedral, "SMALLEST_TABLE", 100)
    again, found = filter_both()
    assert used.tolist() == again.tolist()
    assert used[0] < 300 < used[1]  # a quarter of 1216 rows is the smaller table
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def find_vertices(points):
    """The corners of the simplices: for each remainder, the nearest vertex with that remainder."""
    corners = points.shape[1] + 1
    plane = points @ permutohedral._embedding(points.shape[1])
    vertices = []
    for remainder in range(corners):
        nearest = remainder + corners * np.round((plane - remainder) / corners)
        excess = np.round(nearest.sum(1, keepdims=True) / corners)
        rank = (plane - nearest).argsort(1).argsort(1)
        nearest += corners * ((rank >= corners + excess) * 1.0 - (rank < excess))
        assert np.abs(nearest.sum(1)).max() < 1e-9
        vertices.append(nearest)
    return plane, np.stack(vertices, axis=1)


def test_points_lie_between_the_vertices():
    points = RNG.uniform(-40, 40, (600, 5))
    points[300:] = points[:300] + RNG.uniform(-0.5, 0.5, (300, 5))  # which share vertices
    with jax.enable_x64(True):
        lattice = jax.device_get(quick.jit(permutohedral.make_lattice)(points))
    plane, vertices = find_vertices(points)
    assert lattice.weights.min() > -1e-9
    between = (lattice.weights[..., None] * vertices).sum(1)
    np.testing.assert_allclose(between, plane, atol=1e-9)
    different, place = np.unique(vertices.reshape(-1, 6), axis=0, return_inverse=True)
    assert lattice.used == 1 + len(different)
    pairs = np.stack([lattice.vertices.ravel(), place.ravel()])
    assert len(np.unique(pairs, axis=1).T) == len(different)


@pytest.mark.parametrize(
    ("method", "tolerance"), quick.only([("exact", 1e-9), ("lattice", 0.05)], "exact")
)
def test_gradients(method, tolerance):
    """Against differences, in float64; the value is that of the mean field."""
    logits, image, _ = (np.asarray(x[:6, 10:17], np.float64) for x in fixture.draw())
    kernels = kernels_of(
        [{**fixture.GAUSSIAN, "weight": np.float64(0.4)}],
        [{**fixture.BILATERAL, "weight": np.array([0.5, 1.0, 1.5, 0.7])}],
    )
    inputs = [logits, image, kernels, np.float64(fixture.COSTS)]
    target = RNG.random(logits.shape)
    directions = jax.tree.map(lambda x: RNG.standard_normal(np.shape(x)), inputs)

    def score(inputs):
        logits, image, kernels, costs = inputs
        found = ops.dense_crf(
            logits[None], image[None], kernels, num_steps=3, compatibility=costs, method=method
        )
        return (jnp.exp(found[0]) * target).sum()

    def slopes(inputs, moved):
        gradients = jax.grad(score)(inputs)
        products = jax.tree.map(lambda g, d: (g * d).sum(), gradients, directions)
        return products, jax.lax.map(score, moved)

    # Each of the inputs moved forth and back, and none.
    steps = 1e-6 * np.array([*np.eye(4), *-np.eye(4), np.zeros(4)])
    moved = [
        jax.tree.map(lambda x, d, by=by: x + np.multiply.outer(by, d), x, d)
        for x, d, by in zip(inputs, directions, steps.T, strict=True)
    ]
    with jax.enable_x64(True):
        products, values = jax.device_get(quick.jit(slopes)(inputs, moved))
    wanted = (mean_field(*inputs, num_steps=3) * target).sum()
    np.testing.assert_allclose(values[-1], wanted, rtol=tolerance)
    differences = (values[:4] - values[4:8]) / 2e-6
    assert np.abs(differences).min() > 1e-3
    found = [sum(jax.tree.leaves(product)) for product in products]
    np.testing.assert_allclose(found, differences, rtol=1e-4)


def test_edges():
    """One pixel, one class, nothing at all, bfloat16, logits of minus infinity, no step."""
    one = RNG.standard_normal((1, 1, 1, 3)).astype("f")
    logits, image, _ = (x[None, :4, :5] for x in fixture.draw())
    impossible = logits.copy()
    impossible[..., 1] = -np.inf
    nowhere = logits.copy()
    nowhere[0, 0, 0] = -np.inf
    both = np.concatenate([impossible, nowhere])
    kernels = kernels_of([], [fixture.BILATERAL])

    def refine(one, logits, both, image):
        run = functools.partial(ops.dense_crf, kernels=kernels)
        log_p, pull = jax.vjp(lambda x: run(x, image.repeat(2, 0)), both)
        return {
            "pixel": run(one, image[:, :1, :1]),
            "pixel on a lattice": run(one, image[:, :1, :1], method="lattice"),
            "class": run(logits[..., :1], image),
            "nothing": run(logits[:0], image[:0]),
            "half": run(logits.astype(jnp.bfloat16), image.astype(jnp.bfloat16)),
            "infinite": log_p,
            "gradient": pull(log_p)[0],
            "no step": run(logits, image, num_steps=0),
        }

    found = quick.numbers(quick.jit(refine)(one, logits, both, image))
    assert np.isfinite(found.pop("gradient")).all()
    for name, log_p in found.items():
        assert np.isfinite(log_p).all(), name
        assert log_p.dtype == np.float32, name
        np.testing.assert_allclose(np.exp(log_p).sum(-1), 1, rtol=1e-5, err_msg=name)
    for name in ("pixel", "pixel on a lattice"):
        wanted = mean_field(one[0], image[0, :1, :1], kernels)
        np.testing.assert_allclose(np.exp(found[name][0]), wanted, atol=1e-6)
    assert found["class"].tolist() == np.zeros((1, 4, 5, 1)).tolist()
    assert found["nothing"].shape == (0, 4, 5, 4)
    wanted = mean_field(logits[0], image[0], kernels)
    np.testing.assert_allclose(np.exp(found["half"][0]), wanted, atol=0.05)
    np.testing.assert_allclose(np.exp(found["no step"]), softmax(logits), atol=1e-6)
    rest = mean_field(logits[0][..., [0, 2, 3]], image[0], kernels)
    np.testing.assert_allclose(np.exp(found["infinite"][0][..., [0, 2, 3]]), rest, atol=2e-6)
    assert -10_100 < found["infinite"][0, ..., 1].max() < -9_900
    equal = logits[0].copy()
    equal[0, 0] = 0
    wanted = mean_field(equal, image[0], kernels)
    np.testing.assert_allclose(np.exp(found["infinite"][1]), wanted, atol=2e-6)


def test_volumes_and_signals_and_batches():
    batch = RNG.standard_normal((2, 4, 5, 6, 3)).astype("f")
    volumes = RNG.random((2, 4, 5, 6, 1)).astype("f")
    of_volumes = [ops.BilateralKernel((1.0, 2.0, 3.0), 0.4, 1.5)]
    of_signals = [ops.BilateralKernel(4.0, 0.4, 1.5), ops.GaussianKernel(1.0, 1.0)]

    def refine(batch, volumes):
        return jnp.exp(ops.dense_crf(batch, volumes, of_volumes)), jnp.exp(
            ops.dense_crf(batch.reshape(2, 120, 3), volumes.reshape(2, 120, 1), of_signals)
        )

    found = jax.device_get(quick.jit(refine)(batch, volumes))
    for index in range(2):
        wanted = mean_field(batch[index], volumes[index], of_volumes)
        np.testing.assert_allclose(found[0][index], wanted, atol=2e-6)
        signal = batch[index].reshape(120, 3), volumes[index].reshape(120, 1)
        np.testing.assert_allclose(found[1][index], mean_field(*signal, of_signals), atol=2e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"image": np.ones((1, 4, 6, 3), "f")},
            r"same batch and space.*\(1, 4, 5, 2\) and \(1, 4, 6",
        ),
        ({"logits": np.ones((5, 2), "f"), "image": np.ones((5, 3), "f")}, "of one axis or more"),
        ({"method": "latice"}, "unknown method 'latice'; did you mean 'lattice'"),
        ({"num_steps": -1}, "num_steps must not be negative, got -1"),
        ({"compatibility": np.ones((3, 3), "f")}, r"shape \(2, 2\) for 2 classes, got \(3, 3\)"),
        ({"kernels": [ops.GaussianKernel((1.0, 2.0, 3.0))]}, "one for each of 2 axes"),
        ({"kernels": [ops.GaussianKernel(1.0, np.ones(3))]}, r"each of 2 classes.*\(3,\)"),
    ],
)
def test_what_does_not_fit(changed, message, unchecked):
    fits = {"logits": np.ones((1, 4, 5, 2), "f"), "image": np.ones((1, 4, 5, 3), "f")}
    with pytest.raises(ValueError, match=message):
        ops.dense_crf(**{**fits, **changed})


@pytest.mark.parametrize("width", [0, -1.0, float("nan"), float("inf"), (1.0, 0.0), ()])
def test_widths_are_positive(width, unchecked):
    with pytest.raises(ValueError, match="spatial of a GaussianKernel must be positive and finite"):
        ops.GaussianKernel(width)
    if not isinstance(width, tuple):
        with pytest.raises(ValueError, match="color of a BilateralKernel must be positive"):
            ops.BilateralKernel(1.0, width)


def test_images_of_bytes_are_refused(unchecked):
    with pytest.raises(TypeError, match="got uint8; divide an image of bytes by 255"):
        ops.dense_crf(np.ones((1, 4, 5, 2), "f"), np.ones((1, 4, 5, 3), np.uint8))


@pytest.mark.slow
@pytest.mark.optimized
def test_a_large_image():
    """480x640 pixels with 21 classes: the four regions come out of noise."""
    rows, columns = np.mgrid[:480, :640]
    truth = (rows > 200 + 60 * np.sin(columns / 50)) * 2 + (columns > 300 + rows / 5)
    image = np.array([[0.2, 0.3, 0.5], [0.7, 0.4, 0.3], [0.4, 0.8, 0.6], [0.8, 0.8, 0.2]])[truth]
    image = (image + 0.03 * RNG.standard_normal(image.shape)).astype("f")
    logits = RNG.standard_normal((480, 640, 21)).astype("f") + np.eye(21, dtype="f")[truth]
    found = np.asarray(jax.jit(ops.dense_crf)(logits[None], image[None])[0])
    assert np.isfinite(found).all()
    assert (logits.argmax(-1) == truth).mean() < 0.3
    assert (found.argmax(-1) == truth).mean() > 0.99
