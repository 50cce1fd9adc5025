"""Environments of other libraries, which run in Python or C++ outside of the compiled program."""

from jaxvision.rl.adapters.atari import make_atari
from jaxvision.rl.adapters.gymnasium import GymnasiumEnvs, make_gymnasium

__all__ = ["GymnasiumEnvs", "make_atari", "make_gymnasium"]
