"""Trains a Q-network from replayed transitions, or from many environments at once (PQN).

    python experiments/dqn.py
    python experiments/dqn.py --double --dueling --prioritized --head categorical
    python experiments/dqn.py --algorithm pqn --num-envs 32

Options go together in any way that the algorithm has them. Started again with the same command, a
run that was cut off goes on where it was. The run folder holds a folder for each seed, summary.json
and learning_curves.png.
"""

import dataclasses
from typing import Literal

import optax
from common import agents, script

from jaxvision import rl
from jaxvision.rl.value_heads import ValueHead


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(agents.Settings):
    """Settings of a run of Q-learning."""

    run_dir: str = "runs/dqn"
    environment: str = "CartPole-v1"
    num_envs: int = 10
    hidden_sizes: tuple[int, ...] = (120, 84)
    clip_norm: float | None = 10.0

    algorithm: Literal["dqn", "pqn"] = "dqn"
    """Replay and target network, or neither."""
    head: Literal["expected", "categorical", "quantile"] = "expected"
    """What is learned of the return: its mean, a distribution over points (C51), quantiles."""
    low: float = 0.0
    """The least return of the categorical head."""
    high: float = 100.0
    """The greatest return of the categorical head."""
    atoms: int = 51
    """Points or quantiles of a distribution."""
    huber: float | None = None
    """Errors above this count by their size; None squares all."""
    dueling: bool = False
    """Heads apart for the state and for actions."""
    double: bool = False
    """Let the network that learns choose the next action (DQN)."""
    n_step: int = 3
    """Over how many rewards a transition leads (DQN)."""
    prioritized: bool = False
    """Draw transitions by what there is to learn from them (DQN)."""
    alpha: float = 0.6
    """How much errors count in that."""
    beta: float = 0.4
    """How much weights make up for it at first; all at the end."""

    capacity: int = 50_000
    """Transitions in memory (DQN)."""
    batch_size: int = 128
    """Transitions in an update (DQN)."""
    learning_starts: int = 10_000
    """Environment steps before the first update, which count in the budget (DQN)."""
    train_every: int = 10
    """Environment steps between updates (DQN)."""
    target_every: int = 200
    """Updates between copies to the target network (DQN)."""
    num_steps: int = 32
    """Steps of each environment in a rollout (PQN)."""
    epochs: int = 2
    """How often an update goes through a rollout (PQN)."""
    minibatches: int = 4
    """In how many parts (PQN)."""
    lambda_: float | None = None
    """How much longer sums of rewards count (PQN); None takes 0.65, and 0 for distributions."""
    epsilon: float = 0.05
    """The probability of an action at random in the end; it begins with 1."""
    exploration_share: float = 0.5
    """In what share of the run it falls."""
    updates_per_step: int | None = None
    """Updates in one program; None takes 500 of DQN, 10 of PQN."""

    def __post_init__(self) -> None:
        """Says what is wrong before anything runs."""
        super().__post_init__()
        agents.check_counts(self, "batch_size", "learning_starts", "train_every", "num_steps")
        agents.check_counts(self, "epochs", "minibatches", "updates_per_step")
        agents.check_shares(self, "epsilon", "exploration_share", "alpha", "beta")
        if self.algorithm == "pqn" and (self.double or self.prioritized):
            raise SystemExit("PQN has neither target network nor memory: no double, prioritized")


def make_head(settings: Settings) -> ValueHead:
    """What is learned of the return."""
    if settings.head == "categorical":
        return rl.Categorical(settings.low, settings.high, settings.atoms)
    if settings.head == "quantile":
        return rl.Quantile(settings.atoms)
    return rl.Expected(huber=settings.huber)


def _lambda(settings: Settings) -> float:
    if settings.lambda_ is not None:
        return settings.lambda_
    return 0.65 if settings.head == "expected" else 0.0


def _updates_per_step(settings: Settings, usual: int) -> int:
    return usual if settings.updates_per_step is None else settings.updates_per_step


def make_agent(settings: Settings, envs: rl.VectorEnv) -> rl.Agent:
    """The agent that the settings describe."""
    head = make_head(settings)
    is_pqn = settings.algorithm == "pqn"
    options = {"activation": "relu", "layer_norm": is_pqn}
    torso = agents.make_torso(settings, envs.observation_space, **options)
    network = rl.QNetwork(
        envs.observation_space,
        agents.num_actions(envs),
        torso,
        outputs=head.outputs,
        dueling=settings.dueling,
    )
    exploration = optax.linear_schedule(
        1.0, settings.epsilon, max(1, round(settings.exploration_share * settings.budget))
    )
    if is_pqn:
        rollouts = settings.budget // (settings.num_steps * envs.num_envs)
        updates = rollouts * settings.epochs * settings.minibatches
        return rl.PQN(
            envs=envs,
            network=network,
            optimizer=agents.make_optimizer(settings, updates),
            head=head,
            num_steps=settings.num_steps,
            epochs=settings.epochs,
            minibatches=settings.minibatches,
            lambda_=_lambda(settings),
            discount=settings.discount,
            exploration=exploration,
            updates_per_step=_updates_per_step(settings, 10),
        )
    replay: rl.UniformReplay | rl.PrioritizedReplay = rl.UniformReplay(settings.capacity)
    if settings.prioritized:
        beta = optax.linear_schedule(settings.beta, 1.0, settings.budget)
        replay = rl.PrioritizedReplay(settings.capacity, alpha=settings.alpha, beta=beta)
    return rl.DQN(
        envs=envs,
        network=network,
        optimizer=agents.make_optimizer(
            settings, (settings.budget - settings.learning_starts) // settings.train_every
        ),
        head=head,
        replay=replay,
        batch_size=settings.batch_size,
        discount=settings.discount,
        n_step=settings.n_step,
        double=settings.double,
        exploration=exploration,
        learning_starts=settings.learning_starts,
        train_every=settings.train_every,
        target_every=settings.target_every,
        updates_per_step=_updates_per_step(settings, 500),
    )


def main(settings: Settings) -> agents.Outcome:
    """Trains every seed."""
    return agents.run(settings, make_agent)


if __name__ == "__main__":
    script.start(main, Settings, __doc__)
