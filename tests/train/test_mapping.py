"""A function of batches on all of some data, whatever the devices, the sizes and the padding."""

import jax
import numpy as np
import pytest

from jaxvision import data, train


def numbers(count: int) -> data.Dataset:
    return data.from_arrays({"number": np.arange(count)})


def twice(factor, batch):
    return {"twice": factor * batch["number"], "weight": batch["weight"]}


@pytest.mark.parametrize(("count", "batch_size"), [(1, 128), (11, 8), (16, 5), (40, 16)])
def test_rows_come_in_order_on_all_devices(count: int, batch_size: int) -> None:
    rows, indices = train.map_batches(twice, np.int32(2), numbers(count), batch_size=batch_size)
    assert rows["twice"].tolist() == list(range(0, 2 * count, 2))
    assert rows["weight"].tolist() == [1] * count
    assert indices.tolist() == list(range(count))


def test_batches_of_any_size_with_rows_that_do_not_count() -> None:
    batches = [
        {"number": np.array([3, 4, 5]), "weight": np.float32([1, 0, 0.5])},
        {"number": np.zeros(0, int)},
        {"number": np.array([6])},
    ]
    for given in (batches, iter(batches)):
        rows, indices = train.map_batches(twice, np.int32(2), given)
        assert rows["twice"].tolist() == [6, 10, 12]
        assert rows["weight"].tolist() == [1, 0.5, 1]
        assert indices.tolist() == [0, 2, 3]


def test_devices_are_chosen() -> None:
    seen = []

    def spy(variables, batch):
        jax.debug.inspect_array_sharding(batch["number"], callback=seen.append)
        return batch["number"] + variables

    mesh = train.data_mesh(jax.devices()[:2])
    variables = jax.device_put(np.int32(1), jax.devices()[5])  # wherever they are
    rows, _ = train.map_batches(spy, variables, numbers(6), mesh=mesh)
    assert rows.tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("nothing", [[], [{"number": np.zeros(0)}]])
def test_nothing(nothing) -> None:
    with pytest.raises(ValueError, match="nothing to compute: the data hold no example"):
        train.map_batches(twice, 1, nothing)


def test_one_batch_is_no_data(unchecked) -> None:
    with pytest.raises(ValueError, match="put one batch in a list"):
        train.map_batches(twice, 1, {"number": np.zeros(8)})
