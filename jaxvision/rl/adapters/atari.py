"""Atari games, by the vector environment of the Arcade Learning Environment."""

import importlib
from typing import Any

from jaxvision.checks import check_count, check_name
from jaxvision.rl.adapters.gymnasium import GymnasiumEnvs
from jaxvision.rl.vector import VectorEnv
from jaxvision.rl.wrappers import FrameStack


def make_atari(game: str, num_envs: int, *, stack_num: int = 4, **options: Any) -> VectorEnv:
    """Makes a vector environment of an Atari game, with the usual preprocessing, in C++ threads.

    An action lasts four frames; the maximum of the last two is observed, in gray, 84 by 84 pixels,
    and four such frames are stacked. Up to 30 steps without action start an episode. Rewards are
    clipped to their sign. `ale-py`, which contains the games, is under the GPL; only this function
    imports it.

    Args:
        game: Name in lower case, such as "pong" or "space_invaders".
        num_envs: Number of environments.
        stack_num: Number of frames in an observation.
        options: Options for `ale_py.vector_env.AtariVectorEnv`, such as `num_threads` or
            `repeat_action_probability`; frames are always gray.

    Raises:
        ImportError: `ale-py` is not installed.
        ValueError: `num_envs` is not positive, or the game or an option is unknown.

    Reference: Bellemare et al., The Arcade Learning Environment, JAIR 47, 2013; preprocessing as in
    Machado et al., Revisiting the Arcade Learning Environment, JAIR 61, 2018.

    >>> make_atari("pong", 1, num_threads=1).observation_space.shape
    (84, 84, 4)
    """
    check_count("num_envs", num_envs)
    try:
        vector_env = importlib.import_module("ale_py.vector_env")
        games = importlib.import_module("ale_py.roms").get_all_rom_ids()
    except ModuleNotFoundError:
        raise ImportError("Atari games need ale-py: pip install ale-py gymnasium") from None
    check_name("game of Atari", game, games)
    try:
        # `FrameStack` stacks the frames, so that a replay memory holds each of them once.
        environments = vector_env.AtariVectorEnv(
            game, num_envs=num_envs, stack_num=1, grayscale=True, **options
        )
    except TypeError as error:
        raise ValueError(f"ale-py cannot make {game}: {error}") from error
    made_by = {"library": "atari", "name": game, "options": {**options, "stack_num": 1}}
    return FrameStack(GymnasiumEnvs(environments, channels_first=True, made_by=made_by), stack_num)
