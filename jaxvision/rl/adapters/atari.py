"""Atari games, by the Arcade Learning Environment's own vector environment."""

import importlib
from typing import Any

from jaxvision.rl.adapters.gymnasium import GymnasiumEnvs


def make_atari(game: str, num_envs: int, **options: Any) -> GymnasiumEnvs:
    """Makes copies of an Atari game, with the usual preprocessing: it runs in C++, in threads.

    Four frames are skipped and the maximum of the last two is seen, gray, 84 by 84, four of them
    stacked; up to 30 steps without action begin an episode; rewards are clipped to their sign. The
    games are in the package, which is under the GPL: it is loaded here and nowhere else.

    Args:
        game: In small letters, such as "pong" or "space_invaders".
        num_envs: How many.
        options: For `ale_py.vector_env.AtariVectorEnv`, such as `num_threads` or
            `repeat_action_probability`.

    Returns:
        The vector environment.

    Raises:
        ImportError: `ale-py` is not installed.

    Reference: Bellemare et al., The Arcade Learning Environment, JAIR 47, 2013; preprocessing as in
    Machado et al., Revisiting the Arcade Learning Environment, JAIR 61, 2018.
    """
    try:
        vector_env = importlib.import_module("ale_py.vector_env")
    except ModuleNotFoundError:
        raise ImportError("Atari games need ale-py: pip install 'jaxvision[atari]'") from None
    environments = vector_env.AtariVectorEnv(game, num_envs=num_envs, **options)
    num_frames = options.get("stack_num", 4)
    return GymnasiumEnvs(environments, channels_first=True, num_frames=num_frames)
