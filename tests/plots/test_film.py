"""Films and strips of images."""

import numpy as np
import pytest
from PIL import Image

from jaxvision import plots

FRAMES = np.random.default_rng(0).integers(0, 256, (9, 16, 8, 3)).astype(np.uint8)


def test_files(tmp_path) -> None:
    plots.save_gif(FRAMES, tmp_path / "new" / "a.gif", frames_per_second=20.0)
    with Image.open(tmp_path / "new" / "a.gif") as film:
        assert (film.n_frames, film.size, film.info["duration"]) == (9, (8, 16), 50)
    plots.save_strip(FRAMES, tmp_path / "a.png", count=3)
    with Image.open(tmp_path / "a.png") as strip:
        pixels = np.asarray(strip)
    assert pixels.shape == (16, 3 * 8 + 2 * 4, 3)
    np.testing.assert_array_equal(pixels[:, :8], FRAMES[0])
    np.testing.assert_array_equal(pixels[:, -8:], FRAMES[-1])
    plots.save_strip(FRAMES[:2], tmp_path / "a.png", count=8)
    with Image.open(tmp_path / "a.png") as strip:
        assert strip.size == (20, 16)


def lengths(path) -> list[int]:
    """How long each image stays, in milliseconds."""
    with Image.open(path) as film:
        times = []
        for number in range(film.n_frames):
            film.seek(number)
            times.append(film.info["duration"])
    return times


def test_the_last_image_stays_so_that_one_sees_how_it_ends(tmp_path) -> None:
    plots.save_gif(FRAMES, tmp_path / "short.gif", frames_per_second=20.0)
    times = lengths(tmp_path / "short.gif")
    assert times[:-1] == [50] * 8
    assert sum(times) == 3_000
    many = np.concatenate([FRAMES] * 8)
    plots.save_gif(many, tmp_path / "long.gif", frames_per_second=20.0)
    assert lengths(tmp_path / "long.gif")[-2:] == [50, 1_500]


def test_what_is_no_film(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"must end in \.gif, got 'a\.png'"):
        plots.save_gif(FRAMES, tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"must end in \.png, got 'a\.gif'"):
        plots.save_strip(FRAMES, tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"positive frames_per_second, got 9 and 0.0"):
        plots.save_gif(FRAMES, tmp_path / "a.gif", frames_per_second=0.0)
    with pytest.raises(ValueError, match="a film needs images"):
        plots.save_gif(FRAMES[:0], tmp_path / "a.gif")
    with pytest.raises(ValueError, match="a strip needs images, got 0 of 9"):
        plots.save_strip(FRAMES, tmp_path / "a.png", count=0)


def test_a_caption_stands_below_a_strip(tmp_path):
    frames = np.full((3, 40, 60, 3), 200, np.uint8)
    for name, caption in (("plain", ""), ("captioned", "Catch: return 1 in 9 steps")):
        plots.save_strip(frames, tmp_path / f"{name}.png", caption=caption)
    with Image.open(tmp_path / "plain.png") as plain, Image.open(tmp_path / "captioned.png") as it:
        assert it.width == plain.width
        assert it.height > plain.height
        below = np.asarray(it)[plain.height :]
        assert below.min() < 100
        assert (below[:, [0, -1]] == 255).all()
