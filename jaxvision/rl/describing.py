"""Descriptions of environments, from which they can be made again."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from jaxvision.rl import registry
from jaxvision.rl.adapters import GymnasiumEnvs, make_atari, make_gymnasium
from jaxvision.rl.environment import Environment
from jaxvision.rl.vector import VectorEnv, Vectorized, vectorize
from jaxvision.rl.wrappers import FrameStack
from jaxvision.suggest import unknown

_MAKERS: Mapping[str, Callable[..., VectorEnv]] = {
    "gymnasium": make_gymnasium,
    "atari": make_atari,
}


def describe_environments(envs: VectorEnv) -> dict[str, Any] | None:
    """Describes environments so that `make_environments` can make them again.

    Args:
        envs: Environments made by name (`vectorize`, `make_gymnasium` or `make_atari`), with at
            most one `FrameStack` around them.

    Returns:
        A dict that JSON can represent; None for other environments.

    >>> describe_environments(vectorize("Catch", 2, max_steps_in_episode=50))
    {'library': 'jaxvision', 'name': 'Catch', 'options': {'max_steps_in_episode': 50}}
    """
    if isinstance(envs, FrameStack):
        inner = describe_environments(envs.environments)
        if inner is None or envs.num_frames == 1:
            return inner
        if "frame_stack" in inner:  # a stack of stacks would repeat frames
            return None
        return {**inner, "frame_stack": envs.num_frames}
    if isinstance(envs, GymnasiumEnvs):
        return dict(envs.made_by) if envs.made_by and _is_json(envs.made_by) else None
    if not isinstance(envs, Vectorized) or not isinstance(envs.environment, Environment):
        return None
    options = envs.environment.options
    if options is None or vars(type(envs.environment)).get("registered_name") is None:
        return None
    _, usual = registry.make(envs.environment.name, **options)
    changed = {
        name: value for name, value in vars(envs.params).items() if value != getattr(usual, name)
    }
    return {
        "library": "jaxvision",
        "name": envs.environment.name,
        "options": {**options, **changed},
    }


def make_environments(
    description: Mapping[str, Any], num_envs: int, *, whole_rewards: bool = False
) -> VectorEnv:
    """Makes environments from their description.

    Args:
        description: Result of `describe_environments`.
        num_envs: Number of environments.
        whole_rewards: Whether to leave out the clipping of rewards (of Atari games), for
            evaluation.

    Raises:
        ImportError: The library of the environments is not installed.
        ValueError: The description is malformed, or an environment or an option is unknown.

    >>> make_environments({"library": "jaxvision", "name": "Catch", "options": {}}, 3).num_envs
    3
    """
    match description:
        case {"library": str(library), "name": str(name), "options": Mapping() as options}:
            pass
        case _:
            raise ValueError(f"{description!r} does not describe an environment")
    options = {key: _tuples(value) for key, value in options.items()}
    envs: VectorEnv
    if library == "jaxvision":
        envs = vectorize(name, num_envs, **options)
    elif library in _MAKERS:
        if library == "atari" and whole_rewards:
            options["reward_clipping"] = False
        envs = _MAKERS[library](name, num_envs, **options)
    else:
        raise ValueError(unknown("library of environments", library, ["jaxvision", *_MAKERS]))
    frames = description.get("frame_stack", 1)
    return FrameStack(envs, frames) if frames > 1 else envs


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _tuples(value: Any) -> Any:
    """Converts JSON's lists to the tuples that options hold."""
    if isinstance(value, Mapping):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
