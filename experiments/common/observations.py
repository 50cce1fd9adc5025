"""What an agent observes in an episode, as examples whose decisions are explained."""

from collections.abc import Iterator

from common import script
from common.subjects import Example, Opened

import jax
import numpy as np
from jaxtyping import Float, Float32, Shaped

from jaxvision.train.agents import TrainedAgent

FADING = 0.6
"""Brightness of a frame relative to that of the next one, in pictures of several frames."""


def episode(opened: Opened, *, count: int, seed: int) -> Iterator[Example]:
    """Lets an agent play an episode; yields `count` of its observations, evenly spaced."""
    agent = opened.trained
    assert isinstance(agent, TrainedAgent)
    with script.checking():
        played = agent.play(seed=seed)
    steps = len(played.observations)
    how = "" if played.ended else "the first steps of "
    print(
        f"{how}an episode of {agent.environment}: {steps} steps, return {played.episode_return:g}"
    )
    chosen = np.unique(np.linspace(0, steps - 1, count).round().astype(int))
    for step in chosen.tolist():
        values = as_input(played.observations[step], opened)
        name = f"step {step + 1} of {steps}"
        stem = f"step_{step + 1:0{len(str(steps))}d}"
        if values.ndim == 1:
            picture = played.frames[step] if played.frames.size else None
            yield Example(name, name, stem, values, picture)
        else:
            yield Example(name, name, stem, values, *picture_of(values, opened.frames))


def as_input(seen: Shaped[np.ndarray, "*shape"], opened: Opened) -> Float32[np.ndarray, "*input"]:
    """An observation as score functions take it: bytes in [0, 1], and cells one-hot."""
    if seen.ndim == 0:
        return np.asarray(jax.nn.one_hot(seen, opened.shape[0]))
    values = seen.astype(np.float32) / (255 if seen.dtype == np.uint8 else 1)
    return values.reshape(opened.shape)


def picture_of(
    values: Float[np.ndarray, "height width channels"], frames: int = 1
) -> tuple[Float[np.ndarray, "height width shown"], str]:
    """An image of any number of channels as one that can be shown, and what it shows.

    Of several frames, the newest is shown, and bright things in older ones are darker.
    """
    channels = values.shape[-1] // frames
    title = "image"
    picture = values[..., -channels:]
    if frames > 1:
        title = f"newest of {frames} frames, older ones darker; maps add up all frames"
        for age in range(1, frames):
            older = values[..., -(age + 1) * channels : -age * channels]
            picture = np.maximum(picture, FADING**age * older)
    if channels == 4:
        picture = picture[..., :3]
    elif channels not in (1, 3):
        picture = picture.mean(axis=-1, keepdims=True)
        title += f" (mean of {channels} channels)"
    low, high = picture.min(), picture.max()
    if low < 0 or high > 1:
        picture = (picture - low) / (high - low)
    return picture, title
