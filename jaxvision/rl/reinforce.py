"""Policy gradients from whole episodes."""

import dataclasses
from typing import Any, ClassVar, Literal, get_args

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvision._reprs import brief
from jaxvision.checks import check_name
from jaxvision.losses import reinforcement, weighted_mean
from jaxvision.rl.agent import PolicyAgent
from jaxvision.rl.learner import Metrics, one
from jaxvision.rl.rollout import Position, flat, of_steps
from jaxvision.rl.vector import select

PyTree = Any
Baseline = Literal["none", "constant", "learned"]


class Episodes(flax.struct.PyTreeNode):
    """One episode of each environment, with the axes (time, environments).

    `weights` are 1 in the episode and 0 after it. `final_observations`, one for each environment,
    follow the last step.
    """

    observations: Any
    actions: Any
    rewards: Any
    terminated: Any
    truncated: Any
    weights: Any
    final_observations: Any

    def __repr__(self) -> str:
        return brief(self)


class _Played(flax.struct.PyTreeNode):
    """Episodes in progress: the time, the environments, which episodes ended, and all steps."""

    time: Any
    position: Any
    ended: Any
    log: Any


class ReinforceState(flax.struct.PyTreeNode):
    """State of training; all random draws derive from `key`.

    `step` counts updates, `env_steps` environment steps. The next episodes start at `position`.
    `mean_return` is a moving average, the constant baseline.
    """

    step: Any
    params: PyTree
    opt_state: PyTree
    position: Any
    mean_return: Any
    env_steps: Any
    key: Any

    def __repr__(self) -> str:
        return brief(self)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Reinforce(PolicyAgent):
    """REINFORCE: an update is one episode in every environment, and a gradient step on them.

    The gradient is that of the mean over episodes of `-sum_t log p(a_t|s_t) (R_t - b_t)`. R_t is
    the return of the whole episode or, with `reward_to_go`, the return from the action on, since an
    action does not affect earlier rewards. b_t is the baseline. Without a discount, neither changes
    the expected gradient, and both reduce its variance. With a discount, the reward to go is
    discounted from the action on, as usual, and not from the start of the episode, so late actions
    count as much as early ones.

    With the learned baseline, the return of a truncated episode includes the value of its last
    observation. Without a critic that value is unknown, and the return ends there.

    Attributes:
        network: An `ActorCritic`; only the learned baseline uses its critic.
        max_steps: Length at which episodes are truncated.
        reward_to_go: Whether R_t leaves out the rewards before the action.
        baseline: "none"; "constant", a moving average of returns; or "learned", the critic.
        entropy_weight: Weight of the entropy, which keeps the policy from becoming deterministic
            early.
        value_weight: Weight of the critic's loss.

    Raises:
        ValueError: An option is out of range, or the network does not fit the environments.

    Reference: Williams, Simple statistical gradient-following algorithms for connectionist
    reinforcement learning, Machine Learning 8, 1992.

    >>> import optax
    >>> from jaxvision import rl
    >>> envs = rl.vectorize("CartPole-v1", 4)
    >>> network = rl.ActorCritic(envs.observation_space, 2, rl.MLP(), rl.MLP())
    >>> agent = rl.Reinforce(envs=envs, network=network, optimizer=optax.adam(3e-4), max_steps=500)
    >>> agent.units_per_step
    40
    """

    max_steps: int
    reward_to_go: bool = True
    baseline: Baseline = "learned"
    entropy_weight: float = 0.0
    value_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("baseline", self.baseline, get_args(Baseline))
        if self.baseline == "learned" and not self.reward_to_go:
            raise ValueError(
                "the critic learns what follows a state: use reward_to_go=True with the baseline "
                "'learned', or the baseline 'constant'"
            )
        self._check_counts("max_steps")
        self._check_weights("entropy_weight", "value_weight")

    unit: ClassVar[str] = "episodes"

    @property
    def units_per_update(self) -> int:
        """One episode in every environment."""
        return self.envs.num_envs

    def begin(self, key: Key[Array, ""]) -> Position:
        """Starts an episode in every environment."""
        observations, environments = self.envs.reset(key)
        return Position(environments, observations)

    def play(self, params: PyTree, position: Position, key: Key[Array, ""]) -> Episodes:
        """Plays an episode in every environment from `position` to its end."""
        no = jnp.zeros(self.envs.num_envs, bool)

        def going_on(played: _Played) -> Array:
            return (played.time < self.max_steps) & ~played.ended.all()

        def step(played: _Played) -> _Played:
            time, ended, log = played.time, played.ended, played.log
            observations = played.position.observations
            act_key, env_key = jax.random.split(jax.random.fold_in(key, time))
            actions = self.act(params, observations, act_key)
            following, environments, rewards, terminated, truncated, info = self.envs.step(
                env_key, played.position.environments, actions
            )
            counts = ~ended & info.get("valid", ~no)
            last = time == self.max_steps - 1
            final = select(ended, log.final_observations, info["final_observation"])
            log = Episodes(
                observations=log.observations.at[time].set(observations),
                actions=log.actions.at[time].set(actions),
                rewards=log.rewards.at[time].set(jnp.where(counts, rewards, 0)),
                terminated=log.terminated.at[time].set(terminated | ended),
                truncated=log.truncated.at[time].set((truncated | last) & ~terminated & ~ended),
                weights=log.weights.at[time].set(counts.astype(jnp.float32)),
                final_observations=final,
            )
            over = ended | terminated | truncated
            return _Played(time + 1, Position(environments, following), over, log)

        begin = _Played(jnp.int32(0), position, no, self._no_steps(position.observations))
        return jax.lax.while_loop(going_on, step, begin).log

    def advantages(
        self, params: PyTree, episodes: Episodes, mean_return: Float[Array, ""]
    ) -> tuple[Float[Array, "time envs"], Float[Array, "time envs"]]:
        """Computes the advantages `R_t - b_t`, and the discounted returns from each step on.

        `mean_return` is the constant baseline.
        """
        following = jnp.zeros_like(episodes.rewards)
        if self.baseline == "learned":
            following = following + self._values(params, episodes.final_observations)
        to_go = reinforcement.discounted_returns(
            episodes.rewards,
            jnp.where(episodes.terminated, 0, self.discount),
            following,
            truncated=episodes.truncated,
        )
        returns = self._returns(to_go)
        if self.baseline == "constant":
            return returns - mean_return, to_go
        if self.baseline == "learned":
            values = of_steps(lambda seen: self._values(params, seen), episodes.observations)
            return returns - values, to_go
        return returns, to_go

    def gradients(
        self, params: PyTree, episodes: Episodes, advantages: Float[Array, "time envs"]
    ) -> Float[Array, "envs params"]:
        """Estimates the gradient of the expected return from each episode alone.

        The mean of these gradients is that of an update; the sum of their variances over the
        parameters is the expected squared error of a single episode's.

        Returns:
            A flat gradient for each episode, zero for the parameters of the critic.
        """

        def surrogate(params: PyTree, episode: Episodes, advantages: Array) -> Array:
            logits = self._scores(params, episode.observations)
            losses = reinforcement.policy_gradient(logits, episode.actions, advantages)
            return -jnp.sum(jnp.where(episode.weights > 0, losses, 0))

        along_time = episodes.replace(final_observations=None)
        each = jax.vmap(jax.grad(surrogate), in_axes=(None, 1, 1))(params, along_time, advantages)
        return jnp.concatenate(
            [leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(each)], axis=1
        )

    def _no_steps(self, observations: Array) -> Episodes:
        """Episodes without steps."""
        shape = (self.max_steps, self.envs.num_envs)
        return Episodes(
            observations=jnp.zeros((self.max_steps, *observations.shape), observations.dtype),
            actions=jnp.zeros(shape, jnp.int32),
            rewards=jnp.zeros(shape),
            terminated=jnp.zeros(shape, bool),
            truncated=jnp.zeros(shape, bool),
            weights=jnp.zeros(shape),
            final_observations=observations,
        )

    def _init(self, key: Key[Array, ""]) -> ReinforceState:
        param_key, env_key, run_key = jax.random.split(key, 3)
        position = self.begin(env_key)
        params = self.network.init(param_key, position.observations)
        return ReinforceState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=self.optimizer.init(params),
            position=position,
            mean_return=jnp.zeros(()),
            env_steps=jnp.zeros((), jnp.int32),
            key=run_key,
        )

    def _update(self, state: ReinforceState) -> tuple[ReinforceState, Metrics]:
        play_key, begin_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        episodes = self.play(state.params, state.position, play_key)
        advantages, to_go = self.advantages(state.params, episodes, state.mean_return)
        gradients, metrics = jax.grad(self._loss, has_aux=True)(
            state.params, episodes, advantages, to_go
        )
        params, opt_state = self._descend(state.params, state.opt_state, gradients)
        mean = weighted_mean(self._returns(to_go), episodes.weights)
        decay = jnp.where(state.step == 0, 0, 0.9)
        count = jnp.float32(self.envs.num_envs)
        state = state.replace(
            step=state.step + 1,
            params=params,
            opt_state=opt_state,
            position=self.begin(begin_key),
            mean_return=decay * state.mean_return + (1 - decay) * mean,
            env_steps=state.env_steps + episodes.weights.sum().astype(jnp.int32),
        )
        return state, {
            **metrics,
            "episode_return": (episodes.rewards.sum(), count),
            "episode_length": (episodes.weights.sum(), count),
        }

    def _returns(self, to_go: Array) -> Array:
        """R_t of each action: the reward to go, or the return of the whole episode."""
        return to_go if self.reward_to_go else jnp.broadcast_to(to_go[:1], to_go.shape)

    def _loss(
        self, params: PyTree, episodes: Episodes, advantages: Array, to_go: Array
    ) -> tuple[Array, Metrics]:
        logits, values = self._apply(params, flat(episodes.observations))
        weights = flat(episodes.weights)
        # Steps after the end of an episode are masked, as their losses may not be finite.
        losses = reinforcement.policy_gradient(logits, flat(episodes.actions), flat(advantages))
        policy_loss = jnp.sum(jnp.where(weights > 0, losses, 0)) / self.envs.num_envs
        entropy = weighted_mean(reinforcement.entropy(logits), weights)
        loss = policy_loss - self.entropy_weight * entropy
        metrics = {"policy_loss": one(policy_loss), "entropy": one(entropy)}
        if self.baseline == "learned":
            errors = jnp.square(values - jax.lax.stop_gradient(flat(to_go)))
            value_loss = weighted_mean(errors, weights) / 2
            loss = loss + self.value_weight * value_loss
            metrics["value_loss"] = one(value_loss)
        return loss, {"loss": one(loss), **metrics}

    def _values(self, params: PyTree, observations: Array) -> Array:
        return self._apply(params, observations, "values")
