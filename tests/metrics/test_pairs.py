import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import metrics

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(24, 5)).astype(np.float32)
LABELS = RANDOM.integers(0, 5, 24)
WEIGHT = np.arange(24, dtype=np.float32) % 3 / 2


def run(function, *arguments):
    return jax.device_get(quick.jit(function)(*arguments))


def value(pair):
    return metrics.compute({"value": pair})["value"]


def top_k(k):
    return lambda *inputs: metrics.top_k_accuracy(*inputs[:2], k, *inputs[2:])


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
def test_accuracy_equals_numpy(weight):
    right = np.argmax(LOGITS, axis=-1) == LABELS
    total, count = run(metrics.accuracy, LOGITS, LABELS, weight)
    assert (total.dtype, count.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose(total / count, np.average(right, weights=weight), rtol=1e-6)
    assert 0 < total < count == (24 if weight is None else WEIGHT.sum())


@pytest.mark.parametrize("ties", [False, True])
def test_top_k_is_that_of_lax(ties):
    def ours_and_theirs(logits, labels):
        return [
            (
                metrics.top_k_accuracy(logits, labels, k),
                jnp.any(jax.lax.top_k(logits, k)[1] == labels[:, None], axis=-1).mean(),
            )
            for k in range(1, 6)
        ]

    logits = LOGITS.round() + 0.0 if ties else LOGITS  # top_k ranks -0.0 below 0.0
    for pair, expected in run(ours_and_theirs, logits, LABELS):
        np.testing.assert_allclose(value(pair), expected, rtol=1e-6)


def test_a_dead_network_is_as_good_as_one_class():
    dead = np.zeros((4, 3), np.float32)
    one, two = run(lambda *x: (metrics.accuracy(*x), top_k(2)(*x)), dead, np.array([0, 1, 2, 2]))
    assert (value(one), value(two)) == (0.25, 0.5)


def test_nan_logits_are_wrong():
    logits = np.float32([[[1, 2], [np.nan, 2]], [[1, 2], [1, np.nan]]])
    both = jax.vmap(lambda *x: (top_k(1)(*x), top_k(2)(*x)), (0, None))
    for totals, counts in run(both, logits, np.array([1, 1])):
        np.testing.assert_array_equal(totals / counts, [0.5, 0.5])


def test_infinite_logits_are_ranked():
    def results(logits):
        worst, best = jnp.array([2]), jnp.array([0])
        ranks = [metrics.top_k_accuracy(logits, worst, k) for k in (1, 2, 3)]
        return *ranks, metrics.accuracy(logits, best)

    pairs = run(results, np.float32([[np.inf, 1.0, -np.inf]]))
    assert [value(pair) for pair in pairs] == [0, 0, 1, 1]


def test_labels_that_are_no_class_are_wrong():
    labels = np.array([-1, 5, 255])
    assert value(run(top_k(5), LOGITS[:3], labels)) == 0


def test_soft_labels_count_as_their_most_probable_class():
    soft = 0.1 + 0.5 * np.eye(5, dtype=np.float32)[LABELS]
    of_soft, of_indices = run(
        lambda logits, *labels: [metrics.accuracy(logits, each) for each in labels],
        LOGITS,
        soft,
        LABELS,
    )
    assert of_soft == of_indices


def test_a_distribution_with_nan_is_wrong():
    logits = np.float32([[9, 1], [9, 1], [1, 9], [9, 1]])
    labels = np.float32([[0.6, 0.4], [np.nan, 0.4], [0.6, np.nan], [np.nan, np.nan]])
    one, two = run(lambda *x: (metrics.accuracy(*x), top_k(2)(*x)), logits, labels)
    assert one == two == (1, 4)


def test_pixels_are_weighed_by_their_image():
    def both(logits, labels, weight):
        first_alone = metrics.accuracy(logits[0], labels[0])
        return metrics.accuracy(logits, labels, weight), first_alone

    logits, labels = LOGITS.reshape(2, 4, 3, 5), LABELS.reshape(2, 4, 3)
    weighed, first_alone = run(both, logits, labels, np.array([True, False]))
    assert weighed == first_alone


def test_padded_and_uneven_batches_average_exactly():
    def batch(rows, size):
        pad = size - len(range(24)[rows])
        logits = np.pad(LOGITS[rows], ((0, pad), (0, 0)), constant_values=np.nan)
        labels = np.pad(LABELS[rows], (0, pad), constant_values=-1)
        return logits, labels, np.pad(WEIGHT[rows], (0, pad))

    def of_batch(logits, labels, weight):
        losses = jnp.where(labels < 0, jnp.nan, labels / 7)
        return {
            "accuracy": metrics.accuracy(logits, labels, weight),
            "loss": metrics.mean(losses, weight),
        }

    def merged_and_whole(parts, whole):
        first, second, third = (of_batch(*part) for part in parts)
        return metrics.merge(metrics.merge(first, second), third), of_batch(*whole)

    parts = [batch(slice(0, 10), 10), batch(slice(10, 20), 10), batch(slice(20, 24), 10)]
    merged, whole = run(merged_and_whole, parts, batch(slice(0, 24), 24))
    chex.assert_trees_all_close(merged, whole, rtol=1e-6)
    expected = {
        "accuracy": np.average(np.argmax(LOGITS, -1) == LABELS, weights=WEIGHT),
        "loss": np.average(LABELS / 7, weights=WEIGHT),
    }
    chex.assert_trees_all_close(metrics.compute(merged), expected, rtol=1e-6)


def test_mean_of_half_precision_is_summed_in_float32():
    total, count = run(metrics.mean, np.append(2.0, np.ones(4095)).astype(jnp.bfloat16))
    assert (total, count, total.dtype) == (4097, 4096, np.float32)


def test_mean_of_booleans_integers_and_float64():
    assert value(run(metrics.mean, np.array([True, False]), np.array([3, 1]))) == 0.75
    with jax.enable_x64(True):
        total, _ = run(metrics.mean, np.array([1 + 1e-12]))
    assert (total.dtype, total) == (np.float64, 1 + 1e-12)


def test_nothing_counted_is_nan():
    def results(logits, labels):
        return metrics.accuracy(logits, labels), metrics.mean(jnp.ones(1), jnp.zeros(1))

    for pair in run(results, LOGITS[:0], LABELS[:0]):
        assert np.isnan(value(pair))


def test_compute_gives_floats():
    pairs = {"a": (np.float32(3), 4), "b": (jnp.array(1.0), jnp.array(2))}
    computed = metrics.compute(pairs)
    assert computed == {"a": 0.75, "b": 0.5}
    assert {type(each) for each in computed.values()} == {float}


def test_merge_names_what_is_missing():
    pair = (jnp.array(1.0), jnp.array(1.0))
    with pytest.raises(ValueError, match=r"\['accuracy', 'top5'\]"):
        metrics.merge({"loss": pair, "top5": pair}, {"loss": pair, "accuracy": pair})


@pytest.mark.parametrize("k", [0, 6])
def test_impossible_k(k):
    with pytest.raises(ValueError, match=f"got {k}"):
        jax.eval_shape(top_k(k), LOGITS, LABELS)


@pytest.mark.usefixtures("unchecked")
def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(24, 5\).*int32 labels of shape \(23,\)"):
        jax.eval_shape(metrics.accuracy, LOGITS, LABELS[:-1])
    with pytest.raises(ValueError, match=r"float32 labels of shape \(24,\)"):
        jax.eval_shape(metrics.accuracy, LOGITS, LABELS.astype(np.float32))
    with pytest.raises(ValueError, match=r"\(24,\), got \(23,\)"):
        jax.eval_shape(metrics.accuracy, LOGITS, LABELS, WEIGHT[:-1])
