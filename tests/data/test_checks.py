import numpy as np
import pytest

from jaxvision.data import checks


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_of_every_type(value):
    assert type(checks.whole("count", value)) is int
    assert checks.seed_of(value) == 3


@pytest.mark.parametrize("value", [3.0, np.float32(3), "3", None, True, [3], 3 + 0j])
def test_what_is_no_whole_number(value):
    with pytest.raises(ValueError, match="count must be a whole number, got "):
        checks.whole("count", value)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range(seed):
    with pytest.raises(ValueError, match=rf"seed must be in \[0, 2\*\*64\), got {seed}"):
        checks.seed_of(seed)


def test_names_that_are_one_text():
    with pytest.raises(ValueError, match="must be a sequence of names, got the text 'cat'"):
        checks.different_names("cat")
