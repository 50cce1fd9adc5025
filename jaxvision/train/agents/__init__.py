"""Trained agents, restored from their run folders; `jaxvision.rl` trains them."""

from jaxvision.train.agents.trained import Episodes, TrainedAgent, register_agent

__all__ = ["Episodes", "TrainedAgent", "register_agent"]
