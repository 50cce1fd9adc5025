import pickle

import pytest

from jaxvision import data


@pytest.mark.parametrize("kind", [data.DatasetError, data.CorruptImageError])
def test_errors_come_whole_out_of_a_worker(kind):
    error = pickle.loads(pickle.dumps(kind("cannot decode x.png")))
    assert type(error) is kind
    assert str(error) == "cannot decode x.png"


def test_a_corrupt_image_is_an_error_of_the_data():
    assert issubclass(data.CorruptImageError, data.DatasetError)
