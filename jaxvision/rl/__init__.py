"""Agents and environments, compiled into one program."""

from jaxvision.rl import environments, tabular
from jaxvision.rl.actor_critic import A2C
from jaxvision.rl.adapters import GymnasiumEnvs, make_atari, make_gymnasium
from jaxvision.rl.agent import Agent
from jaxvision.rl.describing import describe_environments, make_environments
from jaxvision.rl.dqn import DQN
from jaxvision.rl.environment import Environment, EnvParams, EnvState
from jaxvision.rl.evaluation import make_eval_fn, run_episodes, summarize
from jaxvision.rl.networks import MLP, ActorCritic, ConvTorso, QNetwork, make_torso
from jaxvision.rl.ppo import PPO
from jaxvision.rl.pqn import PQN
from jaxvision.rl.registry import list_environments, make, register
from jaxvision.rl.reinforce import Reinforce
from jaxvision.rl.rendering import Film, can_be_drawn, film, render
from jaxvision.rl.replay import PrioritizedReplay, UniformReplay
from jaxvision.rl.seeds import Seeds, split_history
from jaxvision.rl.sharding import shard_environments, shard_seeds
from jaxvision.rl.spaces import Box, Discrete
from jaxvision.rl.value_heads import Categorical, Expected, Quantile
from jaxvision.rl.vector import VectorEnv, vectorize
from jaxvision.rl.wrappers import EpisodeStatistics, FrameStack

__all__ = [
    "A2C",
    "DQN",
    "MLP",
    "PPO",
    "PQN",
    "ActorCritic",
    "Agent",
    "Box",
    "Categorical",
    "ConvTorso",
    "Discrete",
    "EnvParams",
    "EnvState",
    "Environment",
    "EpisodeStatistics",
    "Expected",
    "Film",
    "FrameStack",
    "GymnasiumEnvs",
    "PrioritizedReplay",
    "QNetwork",
    "Quantile",
    "Reinforce",
    "Seeds",
    "UniformReplay",
    "VectorEnv",
    "can_be_drawn",
    "describe_environments",
    "environments",
    "film",
    "list_environments",
    "make",
    "make_atari",
    "make_environments",
    "make_eval_fn",
    "make_gymnasium",
    "make_torso",
    "register",
    "render",
    "run_episodes",
    "shard_environments",
    "shard_seeds",
    "split_history",
    "summarize",
    "tabular",
    "vectorize",
]
