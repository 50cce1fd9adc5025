"""Application of a function to all batches of a data set."""

import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from jaxvision._reprs import brief
from jaxvision.data import Dataset, Prefetch
from jaxvision.train._evaluator import gather
from jaxvision.train.evaluation import Rows
from jaxvision.train.parallel import ParallelStep
from jaxvision.train.sharding import data_mesh

PyTree = Any
Batch = Mapping[str, Any]


class Mapped(NamedTuple):
    """The results of a function for each example of some data.

    Attributes:
        rows: The function's results as NumPy arrays, with the examples along the first axis:
            without padding, in the order of the data.
        indices: The index of each example in the data. Examples that could not be decoded are
            missing.
    """

    rows: PyTree
    indices: Int[np.ndarray, " examples"]

    def __repr__(self) -> str:
        return brief(self)


def map_batches(
    fn: Callable[[Any, Any], PyTree],
    variables: PyTree,
    data: Dataset | Iterable[Batch] | None,
    *,
    batch_size: int = 128,
    mesh: jax.sharding.Mesh | None = None,
) -> Mapped:
    """Applies a function to data, batch by batch, on all devices.

    Args:
        fn: `fn(variables, batch) -> tree`, whose arrays have a row for each row of the batch, such
            as embeddings of images. It is compiled.
        variables: The first argument of `fn`, such as the variables of a model.
        data: A data set; or batches, dicts of arrays, in which a `weight` of 0 marks padding. Each
            of several processes passes its own rows.
        batch_size: Rows of a batch, if `data` is a data set; rounded up to a multiple of the
            devices.
        mesh: The devices; None takes all.

    Returns:
        The function's results for each example.

    Raises:
        TypeError: The data are an array or a path, or a batch is no dict.
        ValueError: There is no example in the data, no data, or images of another shape than the
            variables were made for.

    >>> from jaxvision import data
    >>> images = np.arange(5.0).reshape(5, 1, 1, 1)
    >>> sums = lambda factor, batch: factor * batch["image"].sum(axis=(1, 2, 3))
    >>> map_batches(sums, 2.0, data.from_arrays({"image": images}), batch_size=2).rows.tolist()
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    if data is None:
        raise ValueError("there are no data to compute with: give a data set or batches")
    if isinstance(data, Mapping):
        raise ValueError("give a data set or several batches; put one batch in a list")
    if isinstance(data, str | pathlib.Path | np.ndarray | jax.Array):
        got = f"the shape {data.shape}" if hasattr(data, "shape") else repr(str(data))
        raise TypeError(
            f"data must be a data set or batches, got {got}: data.from_arrays({{'image': images}}) "
            "makes a data set of arrays, data.load_folder one of files, and `answers` of a trained "
            "run takes single images of any size"
        )
    parallel = ParallelStep(step=_no_step, mesh=data_mesh() if mesh is None else mesh)
    multiple = parallel.mesh.size
    if isinstance(data, Dataset):
        size = -(-min(batch_size, len(data)) // multiple) * multiple
        data = data.batches(size, shuffle=False, epochs=1)

    def rows_of(variables: PyTree, batch: Batch) -> Rows:
        weight = batch["weight"]
        made = fn(variables, {**batch, "weight": jnp.maximum(weight, 0)})
        return Rows((made, weight), weight)  # `weight` too, to count the examples

    compiled = parallel.compile_evaluation(rows_of, variables)
    variables = parallel.place_state(variables)
    weights: list[np.ndarray] = []

    def place(batch: Batch) -> Any:
        return parallel.place_batch(_filled(batch, multiple // jax.process_count()))

    with Prefetch(_not_empty(data), place) as placed:

        def measured() -> Iterator[Rows]:
            for batch in placed:
                rows = compiled(variables, batch)
                weights.append(np.asarray(rows.weight))
                yield rows

        gathered = gather(measured())
    if gathered is None or not len(gathered[1]):
        raise ValueError("there is nothing to compute: the data hold no example")
    places = np.concatenate(weights)
    return Mapped(gathered[0], np.flatnonzero(places[places >= 0] > 0))


def _no_step(state: Any, batch: Any) -> tuple[Any, dict[str, Any]]:
    return state, {}


def _not_empty(batches: Iterable[Batch]) -> Iterator[Batch]:
    for batch in batches:
        if not isinstance(batch, Mapping):
            raise TypeError(
                f"a batch must be a dict such as {{'image': images}}, got {type(batch).__name__}"
            )
        if len(next(iter(batch.values()))):
            yield batch


def _filled(batch: Batch, multiple: int) -> dict[str, np.ndarray]:
    """A batch with weights, filled up with rows of weight -1 to a multiple of the devices."""
    arrays = {name: np.asarray(value) for name, value in batch.items()}
    rows = len(next(iter(arrays.values())))
    arrays.setdefault("weight", np.ones(rows, np.float32))
    index = np.arange(rows + -rows % multiple) % rows
    filled = {name: array[index] for name, array in arrays.items()}
    filled["weight"] = np.where(np.arange(len(index)) < rows, filled["weight"], -1)
    return filled
