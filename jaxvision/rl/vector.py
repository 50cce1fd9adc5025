"""Many copies of an environment, stepped together."""

import dataclasses
import numbers
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxvision.checks import check_count
from jaxvision.rl import registry
from jaxvision.rl.environment import Environment, EnvParams
from jaxvision.rl.spaces import Space, as_space

PyTree = Any
Info = dict[str, Any]
StepResult = tuple[
    Array,
    PyTree,
    Float[Array, "envs"],
    Bool[Array, "envs"],
    Bool[Array, "envs"],
    Info,
]
"""Observations (of the next episode where one is over), state, rewards, terminated, truncated, and
info.

`info["final_observation"]` is what the actions led to, in every environment. Where
`info["valid"]` is there and false, an environment ignored the action to begin anew, and the row is
no transition."""


@runtime_checkable
class VectorEnv(Protocol):
    """What agents act in: `num_envs` environments, of one kind, that begin anew by themselves."""

    @property
    def num_envs(self) -> int:
        """How many environments there are."""

    @property
    def observation_space(self) -> Space:
        """What the observations of one can be."""

    @property
    def action_space(self) -> Space:
        """What the actions of one can be."""

    def reset(self, key: Key[Array, ""]) -> tuple[Array, PyTree]:
        """Begins an episode in every environment.

        Args:
            key: For what is random.

        Returns:
            The observations and the state.
        """

    def step(self, key: Key[Array, ""], state: PyTree, actions: Int[Array, "envs"]) -> StepResult:
        """Goes one step in every environment, and begins a new episode where one is over.

        Args:
            key: For what is random.
            state: Of all environments.
            actions: One for each.

        Returns:
            See `StepResult`.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class Vectorized:
    """Copies of an environment that is written in JAX; made by `vectorize`."""

    environment: Any
    params: Any
    num_envs: int
    keeps_final_state: bool = False
    """Whether `info["final_state"]` is the state that the actions led to, as a film needs it."""

    @property
    def observation_space(self) -> Space:
        """What the observations of one can be."""
        return as_space(self.environment.observation_space(self.params))

    @property
    def action_space(self) -> Space:
        """What the actions of one can be."""
        return as_space(self.environment.action_space(self.params))

    def reset(self, key: Key[Array, ""]) -> tuple[Array, PyTree]:
        """Begins an episode in every environment.

        Args:
            key: For what is random.

        Returns:
            The observations and the state.
        """
        keys = jax.random.split(key, self.num_envs)
        return jax.vmap(self.environment.reset, (0, None))(keys, self.params)

    def step(self, key: Key[Array, ""], state: PyTree, actions: Int[Array, "envs"]) -> StepResult:
        """Goes one step in every environment, and begins a new episode where one is over.

        Args:
            key: For what is random.
            state: Of all environments.
            actions: One for each.

        Returns:
            See `StepResult`.
        """
        if self._is_open:
            return self._step_open(key, state, actions)
        keys = jax.random.split(key, self.num_envs)
        return jax.vmap(self.environment.step, (0, 0, 0, None))(keys, state, actions, self.params)

    @property
    def _is_open(self) -> bool:
        """Whether the parts of a step may be called apart; a wrapper's own `step` may do more."""
        cls = type(self.environment)
        return isinstance(self.environment, Environment) and cls.step is Environment.step

    def _step_open(self, key: Key[Array, ""], state: PyTree, actions: Array) -> StepResult:
        """As the environment's own `step`, but begins anew only in steps where an episode ends."""
        environment, params = self.environment, self.params
        # An environment without chance leaves its keys unused, and XLA then makes none.
        keys = jax.random.split(jax.random.fold_in(key, 0), self.num_envs)
        final, stepped, rewards, terminated, info = jax.vmap(environment.step_env, (0, 0, 0, None))(
            keys, state, actions, params
        )
        truncated = jax.vmap(environment.is_truncated, (0, None))(stepped, params)
        over = terminated | truncated

        def begin_anew() -> tuple[Array, PyTree]:
            return select(over, self.reset(jax.random.fold_in(key, 1)), (final, stepped))

        observations, state = jax.lax.cond(over.any(), begin_anew, lambda: (final, stepped))
        info = {**info, "final_observation": final}
        if self.keeps_final_state:
            info["final_state"] = stepped
        return observations, state, rewards, terminated, truncated, info


def vectorize(environment: Any, num_envs: int, params: Any = None, **options: Any) -> Vectorized:
    """Makes many copies of an environment.

    Args:
        environment: A name for `make`, or an environment with the interface of gymnax 1.x: methods
            `reset(key, params)` and `step(key, state, action, params)`, the latter with six values.
        num_envs: How many.
        params: The environment's constants; None takes its default.
        options: For `make`, with a name.

    Returns:
        The vector environment.

    Raises:
        ValueError: The number is not positive, options do not go with the environment, a constant
            is out of range (those that are arrays are not looked at), or its step gives other
            values.

    >>> envs = vectorize("CartPole-v1", 3)
    >>> observations, state = jax.jit(envs.reset)(jax.random.key(0))
    >>> observations.shape
    (3, 4)
    """
    check_count("num_envs", num_envs)
    if isinstance(environment, str):
        if params is not None:
            raise ValueError(f"params are those of an environment; {environment!r} is only a name")
        environment, params = registry.make(environment, **options)
    elif options:
        raise ValueError(f"{', '.join(options)}: options are for an environment given by its name")
    if params is None:
        params = getattr(environment, "default_params", None)
    if isinstance(params, EnvParams) and _is_known(params):
        params.check()
    _check(environment, params)
    return Vectorized(environment, params, num_envs)


def select(chosen: Bool[Array, "envs"], new: PyTree, old: PyTree) -> PyTree:
    """Takes one tree where a row is chosen, else the other.

    Args:
        chosen: Which rows.
        new: Leaves with the rows first.
        old: The same.

    Returns:
        The mixture.

    >>> print(select(jnp.array([True, False]), jnp.ones((2, 2)), jnp.zeros((2, 2))))
    [[1. 1.]
     [0. 0.]]
    """

    def mix(new: Array, old: Array) -> Array:
        return jnp.where(chosen.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(mix, new, old)


def check_vector_env(envs: Any) -> None:
    """Makes sure that agents can act there.

    Args:
        envs: What should be a vector environment.

    Raises:
        ValueError: It is none.
    """
    if isinstance(envs, type) or not isinstance(envs, VectorEnv):
        raise ValueError(
            f"envs must be a vector environment, as rl.vectorize makes one, got {envs!r}"
        )


def _is_known(params: EnvParams) -> bool:
    """Whether all constants are plain numbers, and none an array of a compiled program."""
    return all(isinstance(leaf, numbers.Real) for leaf in jax.tree.leaves(params))


def _check(environment: Any, params: Any) -> None:
    """Tells an environment of another interface before it fails deep inside a program."""
    for part in ("reset", "step", "observation_space", "action_space"):
        if isinstance(environment, type) or not hasattr(environment, part):
            raise ValueError(
                "environment must be a name, or an object with reset, step, observation_space and "
                f"action_space, got {environment!r}"
            )

    name = type(environment).__name__
    seen_space, actions = (
        as_space(space(params))
        for space in (environment.observation_space, environment.action_space)
    )

    def one_step(key: Key[Array, ""]) -> Any:
        first, state = environment.reset(key, params)
        action = jnp.zeros(actions.shape, actions.dtype)
        return first, environment.step(key, state, action, params)

    first, result = jax.eval_shape(one_step, jax.random.key(0))
    if not isinstance(result, tuple) or len(result) != 6:
        given = f"{len(result)} values" if isinstance(result, tuple) else f"{result!r}"
        raise ValueError(
            f"a step of {name} gives {given}; it must give (observation, state, reward, "
            "terminated, truncated, info), as in gymnax 1.x"
        )
    after, _, reward, terminated, truncated, info = result
    if "final_observation" not in info:
        raise ValueError(
            f"a step of {name} must give info['final_observation'], what the action led to, "
            f"and has {', '.join(info) or 'nothing'} there"
        )
    shape = seen_space.shape
    for what, seen in (("reset", first), ("step", after), ("step", info["final_observation"])):
        if getattr(seen, "shape", None) != shape:
            raise ValueError(
                f"observations of {name} must have the shape {shape} of its observation_space, "
                f"and {what} gives {seen}"
            )
    for what, value in (("reward", reward), ("terminated", terminated), ("truncated", truncated)):
        if value.shape or (what != "reward" and value.dtype != bool):
            kind = "number" if what == "reward" else "truth value"
            raise ValueError(f"{what} must be one {kind}, and a step of {name} gives {value}")
