"""Training of an agent with several seeds in one program."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jaxvision.checks import check_count
from jaxvision.rl.adapters import GymnasiumEnvs
from jaxvision.rl.learner import Metrics
from jaxvision.rl.wrappers import innermost

PyTree = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Seeds:
    """An agent trained with several seeds at once: a step `(state, None) -> (state, metrics)`.

    Every seed has its own key, and so its own parameters, environments and exploration. The metrics
    of seed 0 are called `NAME/seed0`, and so on.

    Attributes:
        agent: The agent that every seed trains.
        num_seeds: Number of seeds.

    Raises:
        ValueError: The number of seeds is not positive, or the environments are Gymnasium's or
            Atari's.

    >>> from jaxvision.rl import tabular
    >>> from jaxvision.rl.environments import GridWorld
    >>> seeds = Seeds(tabular.TemporalDifference(environment=GridWorld("S..T")), 3)
    >>> seeds.init(jax.random.key(0)).params.shape
    (3, 4, 4)
    """

    agent: Any
    num_seeds: int

    def __post_init__(self) -> None:
        check_count("num_seeds", self.num_seeds)
        if isinstance(innermost(getattr(self.agent, "envs", None)), GymnasiumEnvs):
            raise ValueError(
                "several seeds need environments written in JAX; those of Gymnasium and Atari "
                "serve one agent only: train one seed after the other"
            )

    @property
    def unit(self) -> str:
        """The unit of experience; see `Learner.unit`."""
        return self.agent.unit

    @property
    def units_per_step(self) -> int:
        """Units of experience that each agent uses in a step."""
        return self.agent.units_per_step

    @property
    def units_before(self) -> int:
        """Units of experience that each agent uses in `init`."""
        return self.agent.units_before

    def describe(self) -> dict[str, Any]:
        """Describes the step for the record of a run: the agent, and the number of seeds."""
        return {**self.agent.describe(), "num_seeds": self.num_seeds}

    def init(self, key: Key[Array, ""]) -> PyTree:
        """Initializes every agent with a key split from `key`; returns their states, stacked."""
        return self.init_each(jax.random.split(key, self.num_seeds))

    def init_each(self, keys: Key[Array, "seeds"]) -> PyTree:
        """Initializes every agent with its own key; returns their states, stacked."""
        # One seed after the other: on a CPU, XLA would compute several batches of orthogonal
        # matrices at once, which can occupy all threads and deadlock.
        return jax.jit(lambda keys: jax.lax.map(self.agent.init, keys))(keys)

    def __call__(self, state: PyTree, batch: None = None) -> tuple[PyTree, Metrics]:
        """Runs one step of every agent; returns the stacked states and every seed's metrics."""
        del batch

        # The devices divide the seeds among them, never the rows of one seed.
        mesh = jax.sharding.get_abstract_mesh()
        step = jax.vmap(self.agent)
        if mesh.size > 1 and self.num_seeds % mesh.size == 0:
            (axis,) = mesh.axis_names
            cut = jax.P(axis)
            state, metrics = jax.shard_map(step, in_specs=cut, out_specs=cut, check_vma=False)(
                state
            )
        else:
            with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
                state, metrics = step(state)
        numbers = _everywhere(metrics)
        return state, {
            f"{name}/seed{seed}": (total[seed], count[seed])
            for name, (total, count) in numbers.items()
            for seed in range(self.num_seeds)
        }


def _everywhere(metrics: Metrics) -> Metrics:
    """Copies the metrics of all seeds to every device, as one array.

    XLA starts the exchanges of several arrays all at once; on a CPU they can occupy all threads and
    deadlock.
    """
    mesh = jax.sharding.get_abstract_mesh()
    leaves, structure = jax.tree.flatten(metrics)
    rows = jnp.stack([jnp.asarray(leaf, jnp.float32) for leaf in leaves])
    if mesh.size > 1:
        rows = jax.lax.with_sharding_constraint(rows, jax.P())
    return jax.tree.unflatten(structure, list(rows))


def split_history(history: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
    """Splits the history of a run with several seeds.

    Args:
        history: The history that `fit` returned for `Seeds`.

    Returns:
        One history per seed, as `plots.learning_curves_by_seed` takes them.

    >>> lines = [{"step": 1, "split": "train", "loss/seed0": 2.0, "loss/seed1": 3.0}]
    >>> [histories[0]["loss"] for histories in split_history(lines)]
    [2.0, 3.0]
    """
    seeds = sorted(
        {name.rpartition("/seed")[2] for line in history for name in line if "/seed" in name},
        key=int,
    )
    return [
        [
            {
                name.removesuffix(f"/seed{seed}"): value
                for name, value in line.items()
                if "/seed" not in name or name.endswith(f"/seed{seed}")
            }
            for line in history
        ]
        for seed in seeds
    ]
