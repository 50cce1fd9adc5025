"""New points in an embedding."""

import jax
import numpy as np
import pytest
from sklearn.datasets import load_iris

from jaxvision import manifold, metrics

POINTS, LABELS = load_iris(return_X_y=True)
POINTS = POINTS.astype(np.float32)
OLD, NEW = POINTS[::2], POINTS[1::2]


@pytest.fixture(scope="module")
def embedding():
    return manifold.tsne(OLD, key=jax.random.key(0), perplexity=10, num_steps=400).embedding


@pytest.mark.parametrize("method", ["exact", "mesh"])
def test_new_points_go_where_their_like_are(method, embedding) -> None:
    placed = manifold.transform(NEW, OLD, embedding, method=method)
    nearest = np.square(placed[:, None] - embedding).sum(axis=-1).argmin(axis=1)
    in_data, _ = metrics.nearest(NEW, OLD)
    assert (LABELS[::2][nearest] == LABELS[1::2]).mean() >= 0.93
    assert (LABELS[::2][in_data] == LABELS[1::2]).mean() >= 0.93
    reach = np.abs(embedding).max() * 1.2
    assert np.abs(placed).max() <= reach


def test_points_of_the_embedding_stay_about_where_they_are(embedding) -> None:
    placed = manifold.transform(OLD, OLD, embedding)
    away = np.linalg.norm(placed - embedding, axis=1)
    assert np.median(away) < 0.05 * np.ptp(embedding, axis=0).max()


def test_a_point_does_not_depend_on_the_others(embedding) -> None:
    together = manifold.transform(NEW[:5], OLD, embedding)
    alone = manifold.transform(NEW[3:4], OLD, embedding)
    np.testing.assert_allclose(alone[0], together[3], rtol=1e-4, atol=1e-4)


def test_at_the_end_the_gradient_is_0(embedding) -> None:
    """Each place is a minimum of the point's own divergence, by numbers in float64."""
    placed = np.asarray(manifold.transform(NEW[:6], OLD, embedding, num_steps=2000), np.float64)
    distances = np.linalg.norm(NEW[:6, None].astype(np.float64) - OLD, axis=-1)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :15]
    squares = np.square(np.take_along_axis(distances, nearest, axis=1)).astype(np.float32)
    given = np.asarray(manifold.conditional(squares, 5.0), np.float64)
    around = np.asarray(embedding, np.float64)

    def cost(place, row):
        similar = 1 / (1 + np.square(place - around).sum(axis=1))
        return np.log(similar.sum()) - (given[row] * np.log(similar[nearest[row]])).sum()

    for row, place in enumerate(placed):
        for side in 1e-4 * np.array([[1, 0], [0, 1]]):
            slope = (cost(place + side, row) - cost(place - side, row)) / 2e-4
            assert abs(slope) < 2e-3


def test_no_new_points_have_no_places(embedding) -> None:
    assert manifold.transform(NEW[:0], OLD, embedding).shape == (0, 2)


def test_what_does_not_fit_is_refused(embedding, unchecked) -> None:
    broken = NEW.copy()
    broken[4] = np.inf
    for message, arguments, options in [
        ("new points of as many features", (NEW[:, :2], OLD, embedding), {}),
        ("as many rows of the embedding", (NEW, OLD[:-1], embedding), {}),
        ("the first of 1 that are not is number 4", (broken, OLD, embedding), {}),
        ("perplexity must be more than 1", (NEW, OLD, embedding), {"perplexity": 80}),
        ("unknown metric", (NEW, OLD, embedding), {"metric": "l3"}),
        ("unknown method", (NEW, OLD, embedding), {"method": "grid"}),
        ("the mesh is for embeddings of two", (NEW, OLD, OLD[:, :3]), {"method": "mesh"}),
    ]:
        with pytest.raises(ValueError, match=message):
            manifold.transform(*arguments, **options)
