"""Trains a Q-network by DQN (with a replay memory) or PQN (with many environments instead).

    python experiments/dqn.py
    python experiments/dqn.py --double --dueling --prioritized --head categorical
    python experiments/dqn.py --algorithm pqn --num-envs 32

All options of an algorithm can be combined. The same command continues interrupted runs. The run
folder has a folder for each seed, summary.json and learning_curves.png.
"""

import dataclasses
from typing import Literal

from common import agents, script

import optax

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
    """Algorithm: dqn has a replay memory and a target network; pqn has neither, and learns from
    rollouts of many environments."""
    head: Literal["expected", "categorical", "quantile"] = "expected"
    """What the network predicts of the return: expected (its mean), categorical (a distribution
    over fixed points, C51) or quantile (quantiles, QR-DQN)."""
    low: float = 0.0
    """Categorical head: smallest return."""
    high: float = 100.0
    """Categorical head: largest return."""
    atoms: int = 51
    """Number of points of the categorical head, or of quantiles of the quantile head."""
    huber: float | None = None
    """Expected head: threshold of the Huber loss, which is linear in larger errors; None squares
    all errors."""
    dueling: bool = False
    """Use separate heads for the value of the state and the advantages of actions (dueling
    network)."""
    double: bool = False
    """DQN: choose the next action with the learning network, and value it with the target network
    (double DQN)."""
    n_step: int = 3
    """DQN: number of rewards in the n-step return."""
    prioritized: bool = False
    """DQN: sample transitions with large errors more often (prioritized replay)."""
    alpha: float = 0.6
    """Prioritized replay: exponent of the errors, in [0, 1]; 0 samples uniformly, 1 in proportion
    to the errors."""
    beta: float = 0.4
    """Prioritized replay: exponent of the importance weights at the beginning, in [0, 1]; it rises
    to 1, a full correction, by the end."""

    capacity: int = 50_000
    """DQN: number of transitions in the replay memory."""
    batch_size: int = 128
    """DQN: number of transitions in an update."""
    learning_starts: int = 10_000
    """DQN: environment steps before the first update; they are part of --budget."""
    train_every: int = 10
    """DQN: environment steps between updates, over all environments."""
    target_every: int = 200
    """DQN: updates between copies of the network to the target network."""
    num_steps: int = 32
    """PQN: steps of each environment in a rollout."""
    epochs: int = 2
    """PQN: passes over each rollout."""
    minibatches: int = 4
    """PQN: number of minibatches in a pass over a rollout."""
    lambda_: float | None = None
    """PQN: lambda of the lambda-returns, in [0, 1]: 0 gives one-step returns, 1 sums of all
    rewards. None takes 0.65 for the expected head; other heads need 0."""
    epsilon: float = 0.05
    """Final probability of a random action; it falls linearly from 1."""
    exploration_share: float = 0.5
    """Share of the training in which that probability falls, in [0, 1]."""
    updates_per_step: int | None = None
    """Number of updates that run in one compiled program; None takes 500 for DQN, 10 for PQN."""

    def __post_init__(self) -> None:
        """Checks the values, so that wrong ones end the script before anything runs."""
        super().__post_init__()
        agents.check_counts(self, "batch_size", "learning_starts", "train_every", "num_steps")
        agents.check_counts(self, "epochs", "minibatches", "updates_per_step")
        agents.check_shares(self, "epsilon", "exploration_share", "alpha", "beta")
        if self.algorithm == "pqn" and (self.double or self.prioritized):
            raise SystemExit("--double and --prioritized are for --algorithm dqn, not for pqn")


def make_head(settings: Settings) -> ValueHead:
    """Makes the head that predicts returns."""
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
    """Makes the agent."""
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
