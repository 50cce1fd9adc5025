"""Several runs of an agent, that differ in their seed alone, in one program."""

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
    """An agent with several seeds: a step `(state, None) -> (state, metrics)` of all at once.

    Every seed has a key of its own, and with it parameters, environments and exploration of its
    own. Metrics are called `NAME/seed0` and so on.

    Attributes:
        agent: One of them.
        num_seeds: How many there are.

    Raises:
        ValueError: The number is not positive, or the environments are not written in JAX.

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
                "seeds learn together in environments written in JAX; those of Gymnasium and Atari "
                "step in one place, for one agent: train one seed after the other"
            )

    @property
    def unit(self) -> str:
        """What experience is counted in, see `Learner.unit`."""
        return self.agent.unit

    @property
    def units_per_step(self) -> int:
        """How many units every agent takes in a step."""
        return self.agent.units_per_step

    @property
    def units_before(self) -> int:
        """How many units go by for every agent in `init`."""
        return self.agent.units_before

    def describe(self) -> dict[str, Any]:
        """What the record of a run keeps of this step.

        Returns:
            What it keeps of the agent, and how many seeds there are.
        """
        return {**self.agent.describe(), "num_seeds": self.num_seeds}

    def init(self, key: Key[Array, ""]) -> PyTree:
        """Begins with every seed.

        Args:
            key: All keys come from it.

        Returns:
            The states of all agents, stacked.
        """
        return self.init_each(jax.random.split(key, self.num_seeds))

    def init_each(self, keys: Key[Array, "seeds"]) -> PyTree:
        """Begins with given seeds.

        Args:
            keys: One for each.

        Returns:
            The states of all agents, stacked.
        """
        # One after the other: two batches of orthogonal matrices that XLA makes at once on a CPU
        # take all of its threads, and each waits for ever for one that is free.
        return jax.jit(lambda keys: jax.lax.map(self.agent.init, keys))(keys)

    def __call__(self, state: PyTree, batch: None = None) -> tuple[PyTree, Metrics]:
        """Acts and learns.

        Args:
            state: Of all agents.
            batch: None; agents make their own experience.

        Returns:
            The state, and the metrics of every seed.
        """
        del batch

        # Devices share the seeds, if anything, and not the rows of each.
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
    """The metrics of all seeds on every device.

    In one piece: of several exchanges XLA begins all at once on a CPU, and a device whose threads
    all wait in one has none left for another that the next device waits in.
    """
    mesh = jax.sharding.get_abstract_mesh()
    leaves, structure = jax.tree.flatten(metrics)
    rows = jnp.stack([jnp.asarray(leaf, jnp.float32) for leaf in leaves])
    if mesh.size > 1:
        rows = jax.lax.with_sharding_constraint(rows, jax.P())
    return jax.tree.unflatten(structure, list(rows))


def split_history(history: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
    """Takes the history of a run with several seeds apart.

    Args:
        history: What `fit` returned for `Seeds`.

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
