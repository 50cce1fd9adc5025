import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import metrics

LOGITS = jax.random.normal(jax.random.key(0), (24, 5))
LABELS = jax.random.randint(jax.random.key(1), (24,), 0, 5)
WEIGHT = jnp.arange(24) % 3 / 2


def value(pair):
    return metrics.compute({"value": pair})["value"]


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
def test_accuracy_equals_numpy(weight):
    right = np.argmax(LOGITS, axis=-1) == LABELS
    total, count = jax.jit(metrics.accuracy)(LOGITS, LABELS, weight)
    assert (total.dtype, count.dtype) == (jnp.float32, jnp.float32)
    np.testing.assert_allclose(total / count, np.average(right, weights=weight), rtol=1e-6)
    assert 0 < total < count == (24 if weight is None else WEIGHT.sum())


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("ties", [False, True])
def test_top_k_is_that_of_lax(k, ties):
    logits = LOGITS.round() + 0.0 if ties else LOGITS  # top_k ranks -0.0 below 0.0
    _, best = jax.lax.top_k(logits, k)
    expected = jnp.any(best == LABELS[:, None], axis=-1).mean()
    np.testing.assert_allclose(
        value(metrics.top_k_accuracy(logits, LABELS, k)), expected, rtol=1e-6
    )


def test_a_dead_network_is_as_good_as_one_class():
    labels = jnp.array([0, 1, 2, 2])
    assert value(metrics.accuracy(jnp.zeros((4, 3)), labels)) == 0.25
    assert value(metrics.top_k_accuracy(jnp.zeros((4, 3)), labels, 2)) == 0.5


@pytest.mark.parametrize("column", [0, 1])
def test_nan_logits_are_wrong(column):
    logits = jnp.array([[1.0, 2.0], [1.0, 2.0]]).at[1, column].set(jnp.nan)
    for k in (1, 2):
        assert value(metrics.top_k_accuracy(logits, jnp.array([1, 1]), k)) == 0.5


def test_infinite_logits_are_ranked():
    logits = jnp.array([[jnp.inf, 1.0, -jnp.inf]])
    ranks = [value(metrics.top_k_accuracy(logits, jnp.array([2]), k)) for k in (1, 2, 3)]
    assert ranks == [0, 0, 1]
    assert value(metrics.accuracy(logits, jnp.array([0]))) == 1


@pytest.mark.parametrize("label", [-1, 5, 255])
def test_labels_that_are_no_class_are_wrong(label):
    assert value(metrics.top_k_accuracy(LOGITS[:1], jnp.array([label]), 5)) == 0


def test_soft_labels_count_as_their_most_probable_class():
    soft = 0.1 + 0.5 * jax.nn.one_hot(LABELS, 5)
    chex.assert_trees_all_equal(metrics.accuracy(LOGITS, soft), metrics.accuracy(LOGITS, LABELS))


def test_pixels_are_weighed_by_their_image():
    logits, labels = LOGITS.reshape(2, 4, 3, 5), LABELS.reshape(2, 4, 3)
    chex.assert_trees_all_equal(
        metrics.accuracy(logits, labels, jnp.array([True, False])),
        metrics.accuracy(logits[0], labels[0]),
    )


def test_padded_and_uneven_batches_average_exactly():
    def batch(rows, size):
        pad = size - len(range(24)[rows])
        logits = jnp.pad(LOGITS[rows], ((0, pad), (0, 0)), constant_values=jnp.nan)
        labels = jnp.pad(LABELS[rows], (0, pad), constant_values=-1)
        weight = jnp.pad(WEIGHT[rows], (0, pad))
        losses = jnp.where(labels < 0, jnp.nan, labels / 7)
        return {
            "accuracy": metrics.accuracy(logits, labels, weight),
            "loss": metrics.mean(losses, weight),
        }

    parts = [batch(slice(0, 10), 10), batch(slice(10, 20), 10), batch(slice(20, 24), 10)]
    whole = batch(slice(0, 24), 24)
    merged = metrics.merge(metrics.merge(parts[0], parts[1]), parts[2])
    chex.assert_trees_all_close(merged, whole, rtol=1e-6)
    expected = {
        "accuracy": np.average(np.argmax(LOGITS, -1) == LABELS, weights=WEIGHT),
        "loss": np.average(LABELS / 7, weights=WEIGHT),
    }
    chex.assert_trees_all_close(metrics.compute(merged), expected, rtol=1e-6)


def test_mean_of_half_precision_is_summed_in_float32():
    total, count = metrics.mean(jnp.full(4096, 1.0, jnp.bfloat16).at[0].set(2.0))
    assert (float(total), float(count), total.dtype) == (4097, 4096, jnp.float32)


def test_mean_of_booleans_integers_and_float64():
    assert value(metrics.mean(jnp.array([True, False]), jnp.array([3, 1]))) == 0.75
    with jax.enable_x64(True):
        total, _ = metrics.mean(jnp.array([1 + 1e-12]))
        assert (total.dtype, float(total)) == (jnp.float64, 1 + 1e-12)


def test_nothing_counted_is_nan():
    assert np.isnan(value(metrics.accuracy(LOGITS[:0], LABELS[:0])))
    assert np.isnan(value(metrics.mean(jnp.array([1.0]), jnp.array([0.0]))))


def test_compute_gives_floats():
    assert metrics.compute({"a": (np.float32(3), 4), "b": (jnp.array(1.0), jnp.array(2))}) == {
        "a": 0.75,
        "b": 0.5,
    }
    assert isinstance(value(metrics.accuracy(LOGITS, LABELS)), float)


def test_merge_names_what_is_missing():
    pair = metrics.mean(jnp.ones(1))
    with pytest.raises(ValueError, match=r"\['accuracy', 'top5'\]"):
        metrics.merge({"loss": pair, "top5": pair}, {"loss": pair, "accuracy": pair})


@pytest.mark.parametrize("k", [0, 6])
def test_impossible_k(k):
    with pytest.raises(ValueError, match=f"got {k}"):
        metrics.top_k_accuracy(LOGITS, LABELS, k)


@pytest.mark.usefixtures("unchecked")
def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(24, 5\).*int32 labels of shape \(23,\)"):
        metrics.accuracy(LOGITS, LABELS[:-1])
    with pytest.raises(ValueError, match=r"float32 labels of shape \(24,\)"):
        metrics.accuracy(LOGITS, LABELS.astype(jnp.float32))
    with pytest.raises(ValueError, match=r"\(24,\), got \(23,\)"):
        metrics.accuracy(LOGITS, LABELS, WEIGHT[:-1])
