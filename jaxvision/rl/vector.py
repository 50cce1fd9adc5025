"""Many copies of an environment that step together."""

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
"""`(observations, state, rewards, terminated, truncated, info)`; where an episode is over, the
observation is the first of the next episode.

`info["final_observation"]` is what the actions led to, in every environment. If `info["valid"]`
exists, it is False where an environment ignored the action and started a new episode instead; such
a row is not a transition."""


@runtime_checkable
class VectorEnv(Protocol):
    """Interface of vector environments: environments of one kind that reset themselves."""

    @property
    def num_envs(self) -> int:
        """Number of environments."""

    @property
    def observation_space(self) -> Space:
        """Space of the observations of one environment."""

    @property
    def action_space(self) -> Space:
        """Space of the actions of one environment."""

    def reset(self, key: Key[Array, ""]) -> tuple[Array, PyTree]:
        """Starts an episode in every environment; returns the observations and the state."""

    def step(self, key: Key[Array, ""], state: PyTree, actions: Int[Array, "envs"]) -> StepResult:
        """Steps every environment, and resets those whose episode is over; see `StepResult`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Vectorized:
    """Copies of an environment written in JAX; made by `vectorize`."""

    environment: Any
    params: Any
    num_envs: int
    keeps_final_state: bool = False
    """Whether `info["final_state"]` is the state that the actions led to, which `film` needs."""

    @property
    def observation_space(self) -> Space:
        """Space of the observations of one environment."""
        return as_space(self.environment.observation_space(self.params))

    @property
    def action_space(self) -> Space:
        """Space of the actions of one environment."""
        return as_space(self.environment.action_space(self.params))

    def reset(self, key: Key[Array, ""]) -> tuple[Array, PyTree]:
        """Starts an episode in every environment; returns the observations and the state."""
        keys = jax.random.split(key, self.num_envs)
        return jax.vmap(self.environment.reset, (0, None))(keys, self.params)

    def step(self, key: Key[Array, ""], state: PyTree, actions: Int[Array, "envs"]) -> StepResult:
        """Steps every environment, and resets those whose episode is over; see `StepResult`."""
        if self._is_open:
            return self._step_open(key, state, actions)
        keys = jax.random.split(key, self.num_envs)
        return jax.vmap(self.environment.step, (0, 0, 0, None))(keys, state, actions, self.params)

    @property
    def _is_open(self) -> bool:
        """Whether `step` is not overridden, so that its parts may be called separately."""
        cls = type(self.environment)
        return isinstance(self.environment, Environment) and cls.step is Environment.step

    def _step_open(self, key: Key[Array, ""], state: PyTree, actions: Array) -> StepResult:
        """Like the environment's `step`, but computes resets only when an episode ends."""
        environment, params = self.environment, self.params
        # A deterministic environment does not use its keys, and XLA then does not compute them.
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
    """Makes a vector environment of many copies of an environment.

    Args:
        environment: A name for `make`, or an environment with the interface of gymnax 1.x: methods
            `reset(key, params)` and `step(key, state, action, params)`; `step` returns six values.
        num_envs: Number of copies.
        params: Constants of the environment; None uses its defaults.
        options: Options for `make`, if `environment` is a name.

    Raises:
        ValueError: `num_envs` is not positive, the name or an option is unknown, options come with
            an environment that is not a name (or `params` with one that is), a constant is out of
            range (arrays are not checked), or the environment has another interface.

    >>> envs = vectorize("CartPole-v1", 3)
    >>> observations, state = jax.jit(envs.reset)(jax.random.key(0))
    >>> observations.shape
    (3, 4)
    """
    check_count("num_envs", num_envs)
    if isinstance(environment, str):
        if params is not None:
            raise ValueError(
                f"params need an environment object, and {environment!r} is a name: "
                "give them as options"
            )
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
    """Takes the rows of tree `new` where `chosen`, else those of `old`.

    >>> print(select(jnp.array([True, False]), jnp.ones((2, 2)), jnp.zeros((2, 2))))
    [[1. 1.]
     [0. 0.]]
    """

    def mix(new: Array, old: Array) -> Array:
        return jnp.where(chosen.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(mix, new, old)


def check_vector_env(envs: Any) -> None:
    """Raises ValueError unless `envs` is a vector environment."""
    if isinstance(envs, type) or not isinstance(envs, VectorEnv):
        raise ValueError(
            f"envs must be a vector environment, as rl.vectorize makes one, got {envs!r}"
        )


def _is_known(params: EnvParams) -> bool:
    """Whether all constants are plain numbers, and none is an array, which may be traced."""
    return all(isinstance(leaf, numbers.Real) for leaf in jax.tree.leaves(params))


def _check(environment: Any, params: Any) -> None:
    """Raises a clear ValueError for an environment with another interface."""
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
            f"a step of {name} must give info['final_observation'], the observation that the "
            f"action led to; info has {', '.join(info) or 'nothing'} in it"
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
