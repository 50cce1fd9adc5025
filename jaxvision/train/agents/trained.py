"""A trained agent, restored from its run folder."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from jaxvision import metrics, models, plots
from jaxvision._reprs import brief
from jaxvision.metrics import Score
from jaxvision.rl.actor_critic import A2C
from jaxvision.rl.agent import Agent, PolicyAgent, ValueAgent
from jaxvision.rl.describing import make_environments
from jaxvision.rl.dqn import DQN
from jaxvision.rl.evaluation import run_episodes
from jaxvision.rl.learner import Learner
from jaxvision.rl.ppo import PPO
from jaxvision.rl.pqn import PQN
from jaxvision.rl.reinforce import Reinforce
from jaxvision.rl.rendering import Film, can_be_drawn, film
from jaxvision.rl.spaces import Box, Discrete
from jaxvision.rl.tabular import MonteCarlo, TemporalDifference
from jaxvision.rl.value_heads import Categorical, Expected, Quantile
from jaxvision.rl.vector import VectorEnv
from jaxvision.rl.wrappers import innermost
from jaxvision.suggest import unknown
from jaxvision.train.checkpoint import CheckpointError
from jaxvision.train.run.precision import computing_in
from jaxvision.train.run.restore import SavedRun
from jaxvision.train.serving import BATCH, ArrayInfo, ScoreFunction, Serving
from jaxvision.train.tasks import Trained

PyTree = Any

_KINDS: dict[str, type[Learner]] = {
    kind.__name__: kind for kind in (A2C, DQN, PPO, PQN, Reinforce, TemporalDifference, MonteCarlo)
}
_HEADS = {head.__name__: head for head in (Categorical, Expected, Quantile)}


def register_agent(kind: type[Learner]) -> type[Learner]:
    """Registers an agent class for `train.restore`; a class decorator.

    Args:
        kind: The class of the agent.

    Returns:
        The class itself.

    Raises:
        ValueError: Another class is registered under the same name.

    >>> register_agent(PPO) is PPO
    True
    """
    known = _KINDS.get(kind.__name__, kind)
    if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(f"{known.__module__}.{known.__qualname__} is called {kind.__name__} too")
    _KINDS[kind.__name__] = kind
    return kind


class Episodes(NamedTuple):
    """Returns and lengths of complete episodes.

    Attributes:
        returns: Sum of the rewards of each episode.
        lengths: Number of steps of each episode.
    """

    returns: Float[np.ndarray, " episodes"]
    lengths: Int[np.ndarray, " episodes"]

    def __repr__(self) -> str:
        return brief(self)


class TrainedAgent(Trained):
    """A trained agent; `train.restore` makes it from a run folder.

    Attributes:
        num_seeds: Number of seeds trained together, of which `seed` selects one; None for a single
            agent.
        index: Index of the selected seed; None if none is selected.
    """

    needs_data = False

    def __init__(self, run: SavedRun, *, index: int | None = None) -> None:
        super().__init__(run)
        self._where = f"the record of the run in {run.folder}"
        described = run.record.step
        self.num_seeds: int | None = described.get("num_seeds")
        self.index = index
        environments = described.get("environments")
        if not isinstance(environments, Mapping):
            raise CheckpointError(
                f"{self._where} does not name its environments: make them by name, with "
                "rl.vectorize, rl.make_gymnasium or rl.make_atari"
            )
        self._environments: Mapping[str, Any] = environments
        try:
            self._agent = self._make(described)
        except CheckpointError:
            raise
        except Exception as error:  # a damaged record can fail anywhere
            raise CheckpointError(f"{self._where}: its agent cannot be made: {error}") from error
        if not isinstance(run.state, Mapping) or "params" not in run.state:
            raise CheckpointError(f"the checkpoint in {run.folder} holds no parameters of an agent")
        self._params = run.state["params"]
        if index is not None:
            self._params = jax.tree.map(lambda leaf: leaf[index], self._params)

    def seed(self, index: int) -> "TrainedAgent":
        """The agent of one of the seeds that were trained together.

        Args:
            index: Index of the seed, from 0.

        Raises:
            ValueError: There is no such seed.
        """
        if self.num_seeds is None or not 0 <= index < self.num_seeds:
            raise ValueError(
                f"{self.run.folder} holds {self.num_seeds or 'no'} seeds trained together, "
                f"and none at index {index}"
            )
        return TrainedAgent(self.run, index=index)

    @property
    def environment(self) -> str:
        """Name of the environment."""
        return str(self._environments["name"])

    @property
    def action_names(self) -> list[str]:
        """Names of the actions; "action 0" and so on, if the environment names none."""
        envs = self.make_environments(1)
        space: Any = envs.action_space
        return _names(envs, "action_names") or [f"action {index}" for index in range(space.n)]

    @property
    def observation_names(self) -> list[str]:
        """Names of the numbers in an observation; empty for images."""
        envs = self.make_environments(1)
        space = envs.observation_space
        if isinstance(space, Discrete):
            return [f"cell {index}" for index in range(space.n)]
        if len(space.shape) == 3:
            return []
        names = _names(envs, "observation_names")
        return names or [f"number {index}" for index in range(math.prod(space.shape))]

    def make_environments(self, num_envs: int) -> VectorEnv:
        """Makes `num_envs` environments like those of the training, with unclipped rewards."""
        return make_environments(self._environments, num_envs, whole_rewards=True)

    def act(
        self, observations: Array | np.ndarray, key: Key[Array, ""] | None = None
    ) -> Int[Array, "envs"]:
        """Chooses an action for each observation.

        Args:
            observations: One observation per environment.
            key: Random key to sample from a policy; None takes the best actions, as agents that
                learn values always do.
        """
        self._check_one()
        actions: Array = self._agent.act(self._params, jnp.asarray(observations), key)
        return actions

    def serving(self) -> Serving:
        """Function from observations to the scores of all actions and the best action."""
        self._check_one()
        agent, params = self._agent, self._params
        if not isinstance(agent, Agent):
            raise self._cannot(
                f"be exported where they learn a table, as {type(agent).__name__} does: take its "
                'values from `trained.run.state["params"]`, and write them with numpy.save'
            )
        space = agent.envs.observation_space
        dtype = jnp.dtype(space.dtype).name
        shape: tuple[int | str, ...] = (BATCH, *space.shape)
        observations = ArrayInfo("observations", shape, dtype, f"what the agent sees: {space}")
        return Serving(lambda seen: agent.answer(params, seen), [observations], agent.answers)

    def score_functions(self) -> dict[str, ScoreFunction]:
        """What the network computes of floating-point observations.

        Agents that learn a policy have its logits, as "policy", and the expected return, as
        "value", if a critic learns it. Those that learn values have these, as "values". Observed
        bytes are scaled to [0, 1], and numbers of cells are one-hot vectors.
        """
        self._check_one()
        agent, params = self._agent, self._params
        if not isinstance(agent, PolicyAgent | ValueAgent):
            raise self._cannot(
                f"be explained where a {type(agent).__name__} learns: it has no network of a "
                "policy or of values, which an explanation could look into"
            )
        network, space = agent.network, agent.envs.observation_space
        if isinstance(space, Discrete):
            network = network.clone(space=Box(0.0, 1.0, (space.n,)))

        def compute(seen: Any, method: str | None = None) -> Any:
            return network.apply(params, seen, method=method)

        actions, returns = self.action_names, "expected return"
        if isinstance(agent, ValueAgent):
            head = agent.head
            values = ScoreFunction(lambda seen: head.values(compute(seen)), actions, False, returns)
            return {"values": values}
        found = {"policy": ScoreFunction(lambda seen: compute(seen, "policy"), actions)}
        if getattr(agent, "baseline", "learned") == "learned":  # others leave the critic as it was
            found["value"] = ScoreFunction(
                lambda seen: compute(seen, "values")[:, None], ["value"], False, returns
            )
        return found

    def computing_in(self, dtype: str) -> "TrainedAgent":
        """The same agent with rounded kernels of its network; see `Trained`."""
        run = computing_in(self.run, dtype)
        return self if run is self.run else TrainedAgent(run, index=self.index)

    def predict(self, data: None = None, *, batch_size: int = 100) -> Episodes:
        """Plays `batch_size` complete episodes, always with the best action; `data` is ignored."""
        del data
        self._check_one()
        envs = self.make_environments(batch_size)
        play = jax.jit(lambda key: run_episodes(envs, lambda seen, _: self.act(seen), key))
        returns, lengths = jax.device_get(play(jax.random.key(0)))
        return Episodes(returns, lengths)

    def evaluate(self, predictions: Episodes, *, num_resamples: int = 0) -> dict[str, Score]:
        """Mean `return` and `length` of the episodes, with 95% t intervals."""
        del num_resamples
        return {
            name: Score(float(np.mean(values)), *metrics.t_interval(values))
            for name, values in (("return", predictions.returns), ("length", predictions.lengths))
        }

    def film(self, *, seed: int = 0, max_steps: int = 4_000) -> Film | None:
        """Plays an episode and renders each step; None if the environment cannot be rendered.

        Args:
            seed: Seed of the episode.
            max_steps: Number of steps after which an unfinished episode stops.
        """
        episode = self.play(seed=seed, max_steps=max_steps)
        return episode if episode.frames.size else None

    def play(self, *, seed: int = 0, max_steps: int = 4_000) -> Film:
        """Plays an episode like `film`; without images if the environment cannot be rendered."""
        self._check_one()
        envs = self.make_environments(1)
        return film(
            envs,
            lambda seen, _: self.act(seen),
            jax.random.key(seed),
            max_steps=max_steps,
            drawn=can_be_drawn(envs),
        )

    def draw(self, predictions: Any = None, data: None = None) -> list[pathlib.Path]:
        """Plays an episode and writes `episode.gif` and `episode.png` into the run folder.

        Writes nothing if the environment cannot be rendered; the arguments are ignored.
        """
        del predictions, data
        played = self.film()
        if played is None:
            return []
        paths = [self.run.folder / "episode.gif", self.run.folder / "episode.png"]
        plots.save_gif(played.frames, paths[0])
        plots.save_strip(played.frames, paths[1])
        return paths

    def _make(self, described: Mapping[str, Any]) -> Any:
        """The agent, with an optimizer that does nothing."""
        kind = described.get("kind")
        if kind not in _KINDS:
            raise CheckpointError(
                f"{self._where} is of an {unknown('kind of agent', str(kind), _KINDS)}; if the "
                "run's own code registers it, import that first"
            )
        cls: Any = _KINDS[str(kind)]
        numbers = dict(described["numbers"])
        envs: Any = make_environments(self._environments, described.get("num_envs", 1))
        fields = {field.name for field in dataclasses.fields(cls)}
        if "network" not in fields:
            return cls(environment=envs.environment, params=envs.params, **numbers)
        described_network = self.record.models.get("network")
        if described_network is None:
            raise CheckpointError(
                f"{self._where} does not say how its network was made: register its class with "
                "models.register_module"
            )
        options: dict[str, Any] = {"optimizer": optax.identity(), **numbers}
        if issubclass(cls, ValueAgent):
            head = dict(described["head"])
            options["head"] = _HEADS[head.pop("kind")](**head)
        network = models.from_description(
            described_network, supply={"space": envs.observation_space}
        )
        return cls(envs=envs, network=network, **options)

    def _check_one(self) -> None:
        if self.num_seeds is not None and self.index is None:
            raise ValueError(
                f"{self.run.folder} holds {self.num_seeds} seeds trained together: "
                "select one, such as trained.seed(0)"
            )


def _names(envs: VectorEnv, kind: str) -> list[str]:
    """The names that the environment inside all wrappers has; empty if it has none."""
    return [*getattr(getattr(innermost(envs), "environment", None), kind, ())]
