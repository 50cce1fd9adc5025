"""Trains a policy by REINFORCE, or measures the variance of its gradient under several baselines.

    python experiments/reinforce.py
    python experiments/reinforce.py --baseline none --no-reward-to-go
    python experiments/reinforce.py --variance

The same command continues interrupted runs. The run folder has a folder for each seed, summary.json
and learning_curves.png; with --variance, it has variance.png and variance.json instead.
"""

import dataclasses
import pathlib
from typing import Any, Literal

from common import agents, script

import jax
import jax.numpy as jnp
import optax

from jaxvision import losses, plots, rl
from jaxvision.files import write_json
from jaxvision.rl.rollout import flat


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(agents.Settings):
    """Settings of a run of REINFORCE."""

    run_dir: str = "runs/reinforce"
    environment: str = "CartPole-v1"
    num_envs: int = 8
    budget: int = 1_600
    learning_rate: float = 3e-3
    clip_norm: float | None = 1.0

    baseline: Literal["none", "constant", "learned"] = "learned"
    """Baseline that is subtracted from returns: none, constant (a moving average of returns) or
    learned (a critic)."""
    reward_to_go: bool = True
    """Weigh each action by the rewards that follow it, rather than by those of the whole
    episode."""
    max_steps: int = 500
    """Maximal number of steps of an episode; longer ones are cut there."""
    entropy_weight: float = 0.0
    """Weight of the entropy bonus, which keeps the policy from becoming deterministic too early."""
    value_weight: float = 0.5
    """Weight of the critic's loss."""
    updates_per_step: int = 10
    """Number of updates that run in one compiled program; an update takes one episode per
    environment."""
    variance: bool = False
    """Measure the variance of the gradient under each kind of baseline, instead of training."""

    def __post_init__(self) -> None:
        """Checks the values, so that wrong ones end the script before anything runs."""
        super().__post_init__()
        agents.check_counts(self, "max_steps", "updates_per_step")
        if self.variance and not self.in_jax:
            raise SystemExit("--variance is for environments written in JAX")

    def algorithm_of(self, agent: Any) -> str:
        """The name of the agent's algorithm, for titles."""
        return "REINFORCE"


def make_agent(settings: Settings, envs: rl.VectorEnv) -> rl.Reinforce:
    """Makes the agent."""
    return rl.Reinforce(
        envs=envs,
        network=agents.make_actor_critic(settings, envs),
        optimizer=agents.make_optimizer(settings, settings.budget // envs.num_envs),
        discount=settings.discount,
        max_steps=settings.max_steps,
        baseline=settings.baseline,
        reward_to_go=settings.reward_to_go,
        entropy_weight=settings.entropy_weight,
        value_weight=settings.value_weight,
        updates_per_step=settings.updates_per_step,
    )


KINDS: dict[str, dict[str, Any]] = {
    "return of the episode": {"baseline": "none", "reward_to_go": False},
    "reward to go": {"baseline": "none", "reward_to_go": True},
    "less a constant": {"baseline": "constant", "reward_to_go": True},
    "less a learned value": {"baseline": "learned", "reward_to_go": True},
}
"""Weights of the actions in the gradient, simplest first."""


def fit_critic(agent: rl.Reinforce, params: Any, episodes: Any, key: Any, steps: int = 500) -> Any:
    """Fits the critic to episodes. The policy, and a torso that both share, stay fixed."""
    _, to_go = agent.advantages(params, episodes, jnp.float32(0))
    seen, targets, weights = map(flat, (episodes.observations, to_go, episodes.weights))
    labels = {name: "critic" if name in ("critic", "value_head") else "policy"
              for name in params["params"]}  # fmt: skip
    optimizer = optax.partition(
        {"critic": optax.adam(1e-2), "policy": optax.set_to_zero()}, {"params": labels}
    )
    ends = jnp.cumsum(weights)  # to draw rows in proportion to their weights

    def loss(params: Any, rows: Any) -> Any:
        values: Any = agent.network.apply(params, seen[rows], method="values")
        return losses.weighted_mean(jnp.square(values - targets[rows]), weights[rows])

    def step(carry: Any, key: Any) -> Any:
        params, state = carry
        rows = jnp.searchsorted(ends, jax.random.uniform(key, (1_024,)) * ends[-1], side="right")
        updates, state = optimizer.update(jax.grad(loss)(params, rows), state)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(key, steps)
    return jax.lax.scan(step, (params, optimizer.init(params)), keys)[0][0]


def measure_variance(settings: Settings, episodes: int = 200) -> list[dict[str, Any]]:
    """The variance of the gradient of one episode, at several times while an agent learns.

    Every kind of weight sees the same policy and the same episodes; variances are summed over the
    parameters. The learned value is not the agent's critic, which lags behind the changing policy:
    a critic is fitted to other episodes of this policy, and the constant is their mean return.
    Rewards are not discounted and truncated episodes count as ended, so that all kinds have the
    same gradient in expectation.
    """
    with script.checking():
        agent = make_agent(settings, agents.make_envs(settings, settings.num_envs))
        measured = {
            name: dataclasses.replace(
                agent, envs=agents.make_envs(settings, episodes), discount=1.0, **options
            )
            for name, options in KINDS.items()
        }
    plain = measured["reward to go"]

    def play(params: Any, key: Any) -> Any:
        begin_key, play_key = jax.random.split(key)
        played = plain.play(params, plain.begin(begin_key), play_key)
        return played.replace(
            terminated=played.terminated | played.truncated,
            truncated=jnp.zeros_like(played.truncated),
        )

    @jax.jit
    def variances(params: Any, key: Any) -> tuple[dict[str, Any], Any, Any]:
        keys = jax.random.split(key, 3)
        earlier, played = play(params, keys[0]), play(params, keys[2])
        params = fit_critic(plain, params, earlier, keys[1])
        _, to_go = plain.advantages(params, earlier, jnp.float32(0))
        constant = losses.weighted_mean(to_go, earlier.weights)
        gradients = {
            name: kind.gradients(params, played, kind.advantages(params, played, constant)[0])
            for name, kind in measured.items()
        }
        signal = jnp.square(gradients["less a learned value"].mean(0)).sum()
        spread = {name: rows.var(0, ddof=1).sum() for name, rows in gradients.items()}
        return spread, signal, played.rewards.sum(0).mean()

    step = jax.jit(agent, donate_argnums=0)
    state = agent.init(jax.random.key(settings.seeds[0]))
    lines = []
    for index in range(max(1, settings.budget // agent.units_per_step)):
        spread, signal, mean_return = variances(state.params, jax.random.key(index))
        lines.append(
            {
                "episodes": index * agent.units_per_step,
                "return": float(mean_return),
                "gradient": float(signal) ** 0.5,
                "variance": {name: float(value) for name, value in spread.items()},
            }
        )
        state, _ = step(state)
    return lines


def show_variance(settings: Settings) -> list[dict[str, Any]]:
    """Prints, draws and writes a table of the variances."""
    agents.begin(settings)
    lines = measure_variance(settings)
    print("variance of the gradient of one episode, divided by that with a learned value")
    print(f"{'episodes':>8} {'return':>8}" + "".join(f"{name:>24}" for name in KINDS))
    for line in lines:
        least = line["variance"]["less a learned value"]
        ratios = "".join(f"{line['variance'][name] / least:24.1f}" for name in KINDS)
        print(f"{line['episodes']:8d} {line['return']:8.1f}{ratios}")
    folder = pathlib.Path(settings.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "variance.json", lines)
    if not settings.figures:
        return lines
    histories = [
        {"step": line["episodes"], "split": name, "variance of the gradient": value}
        for line in lines
        for name, value in line["variance"].items()
    ]
    title = f"REINFORCE on {settings.environment}"
    figure = plots.learning_curves(histories, title=title, x="episodes", log=True)
    plots.save(figure, folder / "variance.png")
    script.ending([folder / "variance.png"], "reinforce")
    return lines


def main(settings: Settings) -> agents.Outcome | None:
    """Trains every seed; or measures the variance of the gradient."""
    if settings.variance:
        show_variance(settings)
        return None
    return agents.run(settings, make_agent)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
