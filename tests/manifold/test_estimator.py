"""The estimator against the functions that it calls, and against scikit-learn's own checks."""

import pathlib
import pickle
import subprocess
import sys

import jax
import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jaxvision import manifold
from jaxvision.manifold import TSNE

ROOT = pathlib.Path(__file__).parent.parent.parent
POINTS, LABELS = load_iris(return_X_y=True)
SEEN, NEW = POINTS[::2], POINTS[1::2]
QUICK = {"perplexity": 8, "num_steps": 50, "random_state": 0}

EXPECTED_FAILURES = dict.fromkeys(
    ("check_transformer_general", "check_transformer_data_not_an_array"),
    "transform places the points that were embedded like new ones, near to where they are and not "
    "there; these checks want fit(X).transform(X) to be fit_transform(X)",
)


@pytest.fixture(scope="module")
def fitted() -> TSNE:
    return TSNE(perplexity=8, num_steps=300, random_state=0).fit(SEEN)


def test_every_parameter_reaches_the_functions() -> None:
    start = np.random.default_rng(0).normal(0, 1e-2, (len(SEEN), 3)).astype(np.float32)
    estimator = TSNE(
        3,
        perplexity=6,
        num_steps=60,
        init=start,
        method="exact",
        metric="l1",
        dof=0.5,
        exaggeration=4,
        early_steps=20,
        learning_rate=30,
        transform_perplexity=3,
    )
    embedding = estimator.fit_transform(SEEN)
    seen, new = (each.astype(np.float32) for each in (SEEN, NEW))
    found = manifold.tsne(
        seen,
        key=jax.random.key(0),
        perplexity=6,
        num_steps=60,
        init=start,
        method="exact",
        num_components=3,
        metric="l1",
        dof=0.5,
        schedule=manifold.make_schedule(
            len(seen), learning_rate=30, exaggeration=4, early_steps=20
        ),
    )
    np.testing.assert_array_equal(embedding, found.embedding)
    assert estimator.kl_divergence_ == float(found.kl)
    assert (estimator.n_iter_, estimator.method_) == (60, "exact")
    placed = manifold.transform(new, seen, embedding, perplexity=3, metric="l1", dof=0.5)
    np.testing.assert_array_equal(estimator.transform(NEW), placed)
    with pytest.raises(ValueError, match="the mesh is for embeddings of two components"):
        estimator.set_params(method="mesh").transform(NEW)


def test_random_state_is_that_of_scikit_learn() -> None:
    states = [0, np.random.RandomState(0), 1, None]
    one, same, *others = (
        TSNE(**{**QUICK, "random_state": state}).fit_transform(SEEN) for state in states
    )
    np.testing.assert_array_equal(one, same)
    for other in others:
        assert not np.array_equal(one, other)


def test_points_go_where_their_neighbors_are(fitted) -> None:
    size = fitted.embedding_.std()
    away = np.linalg.norm(fitted.transform(SEEN) - fitted.embedding_, axis=1)
    assert np.median(away) < 0.1 * size
    by_place = KNeighborsClassifier(5).fit(fitted.embedding_, LABELS[::2])
    assert by_place.score(fitted.transform(NEW), LABELS[1::2]) > 0.9


def test_where_a_point_goes_does_not_depend_on_the_others(fitted) -> None:
    together = fitted.transform(NEW)
    alone = np.concatenate([fitted.transform(row[None]) for row in NEW[:5]])
    np.testing.assert_allclose(alone, together[:5], atol=1e-3)


def test_points_of_any_type() -> None:
    whole = (10 * SEEN).astype(np.int64)
    expected = TSNE(**QUICK).fit_transform(whole.astype(np.float32))
    assert expected.dtype == np.float32
    for points in (whole, whole.astype(np.float64), whole.tolist(), np.asfortranarray(whole)):
        np.testing.assert_array_equal(TSNE(**QUICK).fit_transform(points), expected)


def test_points_are_copied(fitted) -> None:
    points = SEEN.astype(np.float32)
    estimator = clone(fitted).fit(points)
    before = estimator.transform(NEW)
    points[:] = 0
    np.testing.assert_array_equal(estimator.transform(NEW), before)


def test_clones_and_pickles(fitted) -> None:
    assert clone(fitted).get_params() == fitted.get_params()
    assert not hasattr(clone(fitted), "embedding_")
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.transform(NEW), fitted.transform(NEW))


def test_names_and_pipelines(fitted) -> None:
    assert fitted.get_feature_names_out().tolist() == ["tsne0", "tsne1"]
    assert fitted.n_features_in_ == 4
    assert not hasattr(fitted, "feature_names_in_")
    assert isinstance(clone(fitted).set_output(transform="default").fit_transform(SEEN), np.ndarray)
    pipeline = make_pipeline(StandardScaler(), TSNE(**QUICK)).set_params(tsne__num_steps=60)
    assert pipeline.fit_transform(SEEN).shape == (75, 2)
    assert pipeline["tsne"].n_iter_ == 60
    assert pipeline.transform(NEW).shape == (75, 2)
    assert pipeline.get_feature_names_out().tolist() == ["tsne0", "tsne1"]


def test_data_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(SEEN, columns=["a", "b", "c", "d"], index=range(100, 175))
    estimator = TSNE(**QUICK).set_output(transform="pandas")
    found = estimator.fit_transform(frame)
    assert estimator.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert found.columns.tolist() == ["tsne0", "tsne1"]
    assert found.index.equals(frame.index)
    np.testing.assert_array_equal(found.to_numpy(), estimator.embedding_)
    with pytest.raises(ValueError, match="feature names"):
        estimator.transform(frame.rename(columns={"a": "e"}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components must be a whole number, at least 1, got 0"),
        ({"perplexity": 74}, "less than the number of neighbors, 74 of 75 points here; got 74"),
        ({"num_steps": -1}, "num_steps must be a whole number of steps, at least 0, got -1"),
        ({"init": "PCA"}, r"unknown init 'PCA'; did you mean 'pca'\? \(known: pca, random\)"),
        ({"init": SEEN}, r"init must have the shape \(75, 2\), got \(75, 4\)"),
        ({"method": "barnes_hut"}, r"unknown method 'barnes_hut' \(known: auto, exact, mesh\)"),
        ({"method": "mesh", "n_components": 3}, "the mesh is for embeddings of two components"),
        # With this perplexity all points are neighbors, and nothing is searched for.
        ({"metric": "manhattan", "perplexity": 30}, "unknown metric 'manhattan'"),
        ({"dof": 0}, "dof must be positive, got 0"),
        ({"exaggeration": 0}, "exaggeration must be positive, got 0"),
        ({"early_steps": 0.5}, "early_steps must be a whole number"),
        ({"learning_rate": "auto"}, "learning_rate must be positive, got 'auto'"),
        ({"random_state": "a"}, "'a' cannot be used to seed"),
    ],
)
def test_parameters_that_are_not_allowed(options, message, unchecked) -> None:
    estimator = TSNE(**{**QUICK, **options})
    with pytest.raises(ValueError, match=message):
        estimator.fit(SEEN)


def test_points_that_are_not_allowed(fitted) -> None:
    for points, error, message in (
        (SEEN[:2], ValueError, r"2 sample\(s\) .* minimum of 3 is required by TSNE"),
        (np.where(SEEN > 7, np.nan, SEEN), ValueError, "contains NaN"),
        (scipy.sparse.csr_array(SEEN), TypeError, "Sparse data"),
    ):
        with pytest.raises(error, match=message):
            TSNE().fit(points)
    with pytest.raises(ValueError, match="X has 3 features, but TSNE is expecting 4 features"):
        fitted.transform(NEW[:, :3])
    with pytest.raises(ValueError, match=r"perplexity must be more than 1 .*; got 75"):
        clone(fitted).set_params(transform_perplexity=75).fit(SEEN).transform(NEW)
    with pytest.raises(NotFittedError, match="not fitted"):
        TSNE().transform(NEW)


def test_only_the_class_is_loaded_later() -> None:
    with pytest.raises(AttributeError, match="no attribute 'UMAP'"):
        manifold.UMAP


@pytest.mark.slow
def test_scikit_learn_is_loaded_at_the_first_use() -> None:
    code = (
        "import sys; from jaxvision import manifold; before = 'sklearn' in sys.modules\n"
        "print(before, manifold.TSNE.__name__, 'sklearn' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == ["False", "TSNE", "True"]


@pytest.mark.slow
def test_the_mesh_is_used_where_it_is_asked_for(fitted) -> None:
    estimator = clone(fitted).set_params(method="mesh").fit(SEEN)
    assert estimator.method_ == "mesh"
    assert estimator.kl_divergence_ == pytest.approx(fitted.kl_divergence_, abs=0.1)
    away = np.linalg.norm(estimator.transform(SEEN) - estimator.embedding_, axis=1)
    assert np.median(away) < 0.1 * estimator.embedding_.std()


@pytest.mark.slow
def test_the_checks_of_scikit_learn(unchecked) -> None:
    from sklearn.utils.estimator_checks import check_estimator  # takes a second to import

    results = check_estimator(
        TSNE(perplexity=2, num_steps=100),
        expected_failed_checks=EXPECTED_FAILURES,
        on_skip=None,
        on_fail=None,
    )
    problems = [
        f"{result['check_name']}: {result['exception']}"
        for result in results
        if result["status"] == "failed"
    ]
    assert problems == []
    failed = {result["check_name"]: result for result in results if result["status"] == "xfail"}
    assert failed.keys() == EXPECTED_FAILURES.keys()
    for result in failed.values():
        assert "fit_transform and transform outcomes" in str(result["exception"])
    assert sum(result["status"] == "passed" for result in results) > 40
