import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvision import rl
from jaxvision.rl.environments import FIVE_BY_FIVE, GridWorld

UP, RIGHT, DOWN, LEFT = range(4)


def step(world, cell, action, key=0):
    """Where an action leads, what it brings, and whether it ends the episode."""
    params = world.default_params
    _, state = world.reset(jax.random.key(0), params)
    state = state.replace(cell=jnp.int32(cell))
    observation, state, reward, terminated, _ = world.step_env(
        jax.random.key(key), state, jnp.int32(action), params
    )
    assert observation == state.cell
    return int(observation), float(reward), bool(terminated)


def test_moves_walls_and_ends():
    world = GridWorld("S.G\n.#X", terminals={"G": 10.0, "X": -10.0})
    assert step(world, 0, RIGHT) == (1, -1.0, False)
    assert step(world, 1, RIGHT) == (2, 9.0, True)
    assert step(world, 1, DOWN) == (1, -1.0, False)  # a wall
    assert step(world, 0, UP) == (0, -1.0, False)  # the edge
    assert step(world, 0, DOWN) == (3, -1.0, False)
    assert step(world, 3, RIGHT) == (3, -1.0, False)
    assert step(world, 1, LEFT) == (0, -1.0, False)


def test_jumps_and_bumps():
    world = GridWorld(
        FIVE_BY_FIVE,
        terminals={},
        step_reward=0.0,
        bump_reward=-1.0,
        jumps={"A": ("a", 10.0), "B": ("b", 5.0)},
    )
    for action in range(4):
        assert step(world, 1, action) == (21, 10.0, False)
        assert step(world, 3, action) == (13, 5.0, False)
    assert step(world, 0, UP) == (0, -1.0, False)
    assert step(world, 0, DOWN) == (5, 0.0, False)


def test_slips_go_to_either_side_as_often():
    world = GridWorld("...\n.S.\n...", terminals={}, slip=0.3)
    keys = jax.random.split(jax.random.key(0), 10_000)
    params = world.default_params
    _, state = world.reset(keys[0], params)
    cells, *_ = jax.jit(jax.vmap(lambda key: world.step_env(key, state, jnp.int32(UP), params)))(
        keys
    )
    shares = np.bincount(cells, minlength=9) / len(keys)
    np.testing.assert_allclose(shares[[1, 3, 5, 7]], [0.7, 0.15, 0.15, 0], atol=0.015)


def test_episodes_begin_at_s_or_anywhere_but_at_an_end():
    keys = jax.random.split(jax.random.key(0), 400)
    for text, cells in (("S.S\n..T", {0, 2}), ("...\n.#T", {0, 1, 2, 3})):
        world = GridWorld(text)
        observations, _ = jax.vmap(world.reset, (0, None))(keys, world.default_params)
        assert set(np.unique(observations).tolist()) == cells


def test_render_shows_walls_ends_and_the_agent():
    world, params = rl.make("GridWorld", map="S#\n.T")
    _, state = world.reset(jax.random.key(0), params)
    image = np.asarray(world.render(state, params))
    assert image.shape == (64, 64, 3)
    centers = {tuple(image[row, column]) for row in (16, 48) for column in (16, 48)}
    assert centers == {(0, 114, 178), (51, 51, 51), (255, 255, 255), (0, 158, 115)}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("..\n...", {}, "one length"),
        ("..?", {}, r"the map has \?"),
        ("T#T", {}, "no cell to begin in"),
        ("A..", {"jumps": {"A": ("a", 1.0)}}, "jumps to 'a', which must be one cell of the map"),
        (5, {}, "map must be text, got 5"),
        ("..T", {"terminals": 5}, r"terminals must be rewards by letter, as \{'T': 0.0\}, got 5"),
        ("A.b", {"jumps": {"A": "b"}}, "jumps must be pairs of a letter and a reward by letter"),
        ("..T", {"step_reward": "x"}, "rewards must be finite numbers, got step_reward='x'"),
        ("..T", {"terminals": {"T": float("nan")}}, "rewards must be finite numbers"),
        ("...", {"slip": 1.5}, r"slip must be in \[0, 1\], got 1.5"),
    ],
)
def test_maps_that_cannot_be_read(text, options, message):
    with pytest.raises(ValueError, match=message):
        GridWorld(text, **options)
