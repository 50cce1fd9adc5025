import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision.explain.attribution import Attribution, AttributionWarning, certified, relative_error
from jaxvision.explain.target import score_of

LOGITS = np.array([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]], np.float32)


def test_a_missed_axiom_is_said_and_a_kept_one_is_not() -> None:
    kept = Attribution(jnp.zeros((2, 4)), jnp.array([0.0, 0.01]), "the map adds up to 1", 0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert certified(kept) is kept
    for worse in (0.5, np.nan):
        missed = kept.replace(error=jnp.array([0.0, worse]))
        with pytest.warns(AttributionWarning, match=r"1 of 2 maps miss.*0.5|1 of 2.*nan"):
            certified(missed)
        assert missed.holds.tolist() == [True, False]


def test_under_jit_the_error_is_returned() -> None:
    @jax.jit
    def explain(error):
        return certified(Attribution(error, error, "the map is 0", 0.1))

    assert explain(jnp.ones(2)).holds.tolist() == [False, False]


def test_errors_near_zero_are_absolute() -> None:
    errors = relative_error(jnp.array([1e-5, 11.0]), jnp.array([0.0, 10.0]))
    np.testing.assert_allclose(errors, [1e-2, 0.1], rtol=1e-5)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, [3.0, 6.0]),
        (0, [1.0, 5.0]),
        (np.array([2, 0]), [2.0, 5.0]),
        (lambda logits: logits.sum(axis=1), [6.0, 15.0]),
    ],
)
def test_scores(target, expected) -> None:
    assert score_of(LOGITS, target)(LOGITS).tolist() == expected


@pytest.mark.parametrize(
    ("outputs", "target", "message"),
    [
        (LOGITS, 3, "class from 0 to 2, got 3"),
        (LOGITS, np.array([0]), r"one class per row, 2, got the shape \(1,\)"),
        (LOGITS, np.array([0, -1]), "class from 0 to 2, got -1"),
        (LOGITS[0], None, r"logits of the shape \(batch, classes\), got \(3,\)"),
        ({"a": 1}, None, "got dict; give a function"),
    ],
)
def test_targets_that_cannot_be(outputs, target, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message):
        score_of(outputs, target)
