"""Compilation of a step for one or many devices."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Int

from jaxvision.train._arguments import made_for
from jaxvision.train._mapped import by_pmap
from jaxvision.train.constant import Constant
from jaxvision.train.protocols import Step, check_metrics
from jaxvision.train.sharding import BATCH_AXIS, ShardRule, data_mesh, state_shardings

PyTree = Any
Strategy = Literal["jit", "pmap"]


@dataclasses.dataclass(frozen=True, eq=False)
class ParallelStep:
    """A step compiled for a mesh of devices; still `(state, batch) -> (state, metrics)`.

    The state passed in is donated: use the returned one. Batches are passed whole: they are split
    over the devices, and metrics merged, inside.
    """

    step: Step
    mesh: jax.sharding.Mesh
    strategy: Strategy = "jit"
    shard: ShardRule | None = None
    constant: Constant | None = None
    _compiled: dict[Any, Callable] = dataclasses.field(default_factory=dict, repr=False)

    def with_constant(self, constant: Constant) -> "ParallelStep":
        """Returns the same step for a constant batch, passed as `place_batch(constant.batch)`.

        Raises:
            ValueError: The strategy is `pmap`, which splits every batch.
        """
        if self.strategy == "pmap":
            raise ValueError("pmap cuts every batch over the devices; a constant one needs 'jit'")
        return dataclasses.replace(self, constant=constant, _compiled={})

    def __call__(self, state: PyTree, batch: PyTree) -> tuple[PyTree, PyTree]:
        """Runs one step on a global batch, or on the result of `place_batch`."""
        return self._compile("one", state)(state, self._checked(batch))

    def many(
        self, state: PyTree, batches: PyTree, count: int, capacity: int
    ) -> tuple[PyTree, PyTree]:
        """Runs several steps in one program, without returning to Python in between.

        Args:
            state: The state; it is donated.
            batches: `capacity` batches, stacked along a new first axis; or the constant batch
                itself.
            count: How many steps to run. The program does not depend on it, so that a run that was
                interrupted elsewhere computes the same numbers.
            capacity: The maximal number of steps of the program.

        Returns:
            The new state, and the stacked metrics of all steps (zeros from `count` on).
        """
        batches = self._checked(batches, axis=1)
        return self._compile("many", state, capacity)(state, batches, jnp.int32(count))

    def prepare(self, state: PyTree) -> PyTree:
        """Applies the step's own `prepare`, if it has one, and places the state on the mesh."""
        if hasattr(self.step, "prepare"):
            state = self.step.prepare(state)
        return self.place_state(state)

    def place_state(self, state: PyTree) -> PyTree:
        """Puts a state on the devices, sharded by the rule.

        Args:
            state: A state that every process holds whole, or that is on the devices already.
        """
        shardings = self.shardings(state)
        if jax.process_count() == 1:
            return jax.device_put(state, shardings)
        # With several processes, NumPy arrays count as equal everywhere, unlike local JAX arrays.
        leaves, structure = jax.tree.flatten(state)
        kinds = [jax.random.key_impl(leaf) if _is_key(leaf) else None for leaf in leaves]

        def place(leaves: list[Array]) -> PyTree:
            made = [
                leaf if kind is None else jax.random.wrap_key_data(leaf, impl=kind)
                for leaf, kind in zip(leaves, kinds, strict=True)
            ]
            return jax.tree.unflatten(structure, made)

        return jax.jit(place, out_shardings=shardings)([_numbers(leaf) for leaf in leaves])

    def place_batch(self, batch: PyTree, *, stacked: bool = False) -> PyTree:
        """Puts a batch on the devices, split along its rows.

        Args:
            batch: This process's rows of the batch, as NumPy arrays; None stays None.
            stacked: Whether several batches are stacked along a first axis.

        Returns:
            Global arrays.

        Raises:
            ValueError: The batch does not divide over the devices.
        """
        if self.constant is not None:
            placed: PyTree = dataclasses.replace(
                self, shard=self.constant.shard, constant=None
            ).place_state(batch)
            return placed
        axis = 1 if stacked else 0
        self._checked(batch, axis, processes=jax.process_count())
        sharding = self.batch_sharding(stacked=stacked)
        if jax.process_count() == 1:
            return jax.device_put(batch, sharding)
        return jax.tree.map(
            lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), batch
        )

    def batch_sharding(self, *, stacked: bool = False) -> jax.NamedSharding:
        """Returns the sharding that splits batches by rows; `stacked` ones have a leading axis."""
        axes = (None, BATCH_AXIS) if stacked else (BATCH_AXIS,)
        return jax.NamedSharding(self.mesh, jax.P(*axes))

    def shardings(self, state: PyTree) -> PyTree:
        """Returns a tree of shardings for a state, or for its shapes."""
        return state_shardings(state, self.mesh, self.shard)

    def lower(self, state: PyTree, batch: PyTree) -> jax.stages.Lowered:
        """Traces and lowers one step; a later call with the same shapes reuses the result.

        Args:
            state: A state, or its shapes.
            batch: A batch of all processes together, its shapes, or None.
        """

        def described(leaf: Any, sharding: jax.NamedSharding | None = None) -> Any:
            dtype = jax.dtypes.result_type(leaf)
            return jax.ShapeDtypeStruct(np.shape(leaf), dtype, sharding=sharding)

        lowered: Any = self._compile("one", state)
        if self.strategy == "pmap":
            return lowered.lower(*jax.tree.map(described, (state, self._checked(batch))))
        rows = self.batch_sharding()
        shardings = jax.tree.map(lambda _: rows, self._checked(batch))
        if self.constant is not None:
            shardings = self.constant.shardings(self.mesh)
        return lowered.lower(
            jax.tree.map(described, state, self.shardings(state)),
            jax.tree.map(described, batch, shardings),
        )

    def compile_evaluation(self, measure: Callable, state: PyTree) -> Callable:
        """Compiles a function of a state and a batch for the same devices.

        Args:
            measure: `measure(state, batch) -> tree`.
            state: The state, or its shapes.

        Returns:
            The compiled function, which donates nothing. Every device gets the whole result.
        """
        compiled = jax.jit(  # of the function itself, so that JAX finds its program again
            measure,
            in_shardings=(self.shardings(state), self.batch_sharding()),
            out_shardings=jax.NamedSharding(self.mesh, jax.P()),
        )

        def measured(state: PyTree, batch: PyTree) -> PyTree:
            with made_for(batch):
                return compiled(state, batch)

        return measured

    def _compile(self, what: Literal["one", "many"], state: PyTree, capacity: int = 1) -> Callable:
        key: Any = (what, capacity, jax.tree.structure(state))
        if self.shard is not None:  # a rule may look at shapes
            key = (*key, tuple(leaf.shape for leaf in jax.tree.leaves(state)))
        if key not in self._compiled:
            step = _checked_step(self.step)
            if what == "many":
                step = _repeat(step, capacity, stacked=self.constant is None)
            build = _by_pmap if self.strategy == "pmap" else _by_jit
            self._compiled[key] = build(self, step, state, stacked=what == "many")
        return self._compiled[key]

    def _checked(self, batch: PyTree, axis: int = 0, processes: int = 1) -> PyTree:
        parts = self.mesh.shape[BATCH_AXIS]
        if self.constant is not None:
            return batch
        for leaf in jax.tree.leaves(batch):
            if np.ndim(leaf) <= axis:
                raise ValueError(
                    f"every leaf of a batch needs the rows along its first axis, got {leaf!r}"
                )
            rows = np.shape(leaf)[axis] * processes
            if rows % parts:
                raise ValueError(
                    f"a batch of {rows} rows does not divide over {parts} devices; choose a "
                    f"multiple of {parts}, such as {max(1, round(rows / parts)) * parts}"
                )
        return batch


def parallelize(
    step: Step,
    mesh: jax.sharding.Mesh | None = None,
    strategy: Strategy = "jit",
    shard: ShardRule | None = None,
) -> ParallelStep:
    """Compiles a step for many devices, each of which processes its part of every batch.

    With `jit`, the result equals that of one device with the whole batch: BatchNorm sees all rows,
    and dropout and augmentation draw the same numbers for any number of devices. With `pmap`, each
    device sees only its own rows: the step needs `axis_name="data"`, BatchNorm the same axis name,
    and the keys of dropout and augmentation are folded with the device's index.

    Args:
        step: The step. Its state may hold several models and optimizers; its batch may be None.
        mesh: The devices; batches are split over its axis `data`. None takes all devices.
        strategy: `jit`, or `pmap` for use with other pmap code, in a single process.
        shard: A rule that shards the state too, such as `fsdp()`; None copies it to every device.

    Raises:
        ValueError: The strategy is unknown, or is incompatible with the mesh, the rule or the step.

    >>> from jaxvision.train import data_mesh
    >>> def step(state, batch):
    ...     return state + batch.sum(), {"rows": (batch.sum(), batch.size)}
    >>> parallel = parallelize(step, data_mesh(jax.devices()[:1]))
    >>> state, metrics = parallel(jnp.zeros(()), jnp.ones(4))
    >>> float(state)
    4.0
    """
    mesh = data_mesh() if mesh is None else mesh
    if BATCH_AXIS not in mesh.shape:
        raise ValueError(
            f"the mesh has axes {tuple(mesh.shape)} and none called {BATCH_AXIS!r}; "
            "train.data_mesh() makes one that has"
        )
    if strategy not in ("jit", "pmap"):
        raise ValueError(f"unknown strategy {strategy!r}; use 'jit' or 'pmap'")
    axis_name = getattr(step, "axis_name", None)
    if strategy == "jit" and axis_name is not None:
        raise ValueError(
            f"this step averages over a pmap axis (axis_name={axis_name!r}); under jit make it "
            "with axis_name=None"
        )
    if strategy == "pmap":
        if shard is not None:
            raise ValueError("pmap keeps a copy of the state on every device; shard needs 'jit'")
        if jax.process_count() > 1:
            raise ValueError("pmap runs in one process here; several processes need 'jit'")
        if axis_name != BATCH_AXIS and hasattr(step, "axis_name"):
            raise ValueError(
                f"under pmap make the step with axis_name={BATCH_AXIS!r}, not {axis_name!r}"
            )
    return ParallelStep(step=step, mesh=mesh, strategy=strategy, shard=shard)


def _is_key(leaf: Any) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _numbers(leaf: Array) -> Any:
    """A leaf without its key type, on the host if this process holds it whole."""
    leaf = jax.random.key_data(leaf) if _is_key(leaf) else leaf
    return np.asarray(leaf) if leaf.is_fully_addressable else leaf


def _checked_step(step: Step) -> Step:
    """The same step, with a check of its return value when it is traced."""

    @functools.wraps(step, updated=())
    def checked(state: PyTree, batch: PyTree) -> tuple[PyTree, PyTree]:
        with made_for(batch):
            result = step(state, batch)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"a step must return a pair (state, metrics), got a {type(result).__name__}"
            )
        check_metrics(result[1])
        return result

    return checked


def _repeat(step: Step, capacity: int, *, stacked: bool) -> Callable:
    """A loop over stacked batches, or over a constant one, with a length known only at run time."""

    def many(state: PyTree, batches: PyTree, count: Int[Array, ""]) -> tuple[PyTree, PyTree]:
        def at(index: ArrayLike) -> PyTree:
            if not stacked:
                return batches
            return jax.tree.map(
                lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), batches
            )

        _, shapes = jax.eval_shape(step, state, at(0))
        empty = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), shapes)

        def body(index: Array, carry: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            state, metrics = carry
            state, one = step(state, at(index))
            metrics = jax.tree.map(lambda all_, new: all_.at[index].set(new), metrics, one)
            return state, metrics

        return jax.lax.fori_loop(0, count, body, (state, empty))

    return many


def _by_jit(parallel: ParallelStep, step: Callable, state: PyTree, *, stacked: bool) -> Callable:
    @functools.wraps(step, updated=())
    def on_mesh(*args: PyTree) -> tuple[PyTree, PyTree]:
        # So that the step can use `with_sharding_constraint`, for arrays that it creates itself.
        with jax.sharding.use_abstract_mesh(parallel.mesh.abstract_mesh):
            return step(*args)

    shardings = parallel.shardings(state)
    replicated = jax.NamedSharding(parallel.mesh, jax.P())
    batch: PyTree = parallel.batch_sharding(stacked=stacked)
    if parallel.constant is not None:
        batch = parallel.constant.shardings(parallel.mesh)
    return jax.jit(
        on_mesh,
        in_shardings=(shardings, batch, replicated) if stacked else (shardings, batch),
        out_shardings=(shardings, replicated),
        donate_argnums=0,
    )


def _by_pmap(parallel: ParallelStep, step: Callable, state: PyTree, *, stacked: bool) -> Callable:
    del state
    return by_pmap(step, BATCH_AXIS, list(parallel.mesh.devices.flat), stacked=stacked)
