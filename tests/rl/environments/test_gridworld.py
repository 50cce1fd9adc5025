import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import rl
from jaxvision.rl.environments import FIVE_BY_FIVE, GridWorld

UP, RIGHT, DOWN, LEFT = range(4)


def every_step(world):
    """Where every action leads in every cell, what it brings, and whether it ends the episode."""
    params = world.default_params

    @quick.jit
    def steps(key):
        _, state = world.reset(key, params)

        def step(cell, action):
            at = state.replace(cell=cell)
            observation, after, reward, terminated, _ = world.step_env(key, at, action, params)
            return observation, reward, terminated, after.cell

        of_cell = jax.vmap(step, (None, 0))
        cells, actions = jnp.arange(world.num_cells), jnp.arange(4)
        return jax.vmap(of_cell, (0, None))(cells, actions)

    cells, rewards, terminated, after = (
        leaf.tolist() for leaf in jax.device_get(steps(jax.random.key(0)))
    )
    assert cells == after
    return lambda cell, action: (
        cells[cell][action], rewards[cell][action], terminated[cell][action]
    )  # fmt: skip


def test_moves_walls_and_ends():
    step = every_step(GridWorld("S.G\n.#X", terminals={"G": 10.0, "X": -10.0}))
    assert step(0, RIGHT) == (1, -1.0, False)
    assert step(1, RIGHT) == (2, 9.0, True)
    assert step(1, DOWN) == (1, -1.0, False)  # a wall
    assert step(0, UP) == (0, -1.0, False)  # the edge
    assert step(0, DOWN) == (3, -1.0, False)
    assert step(3, RIGHT) == (3, -1.0, False)
    assert step(1, LEFT) == (0, -1.0, False)


def test_jumps_and_bumps():
    step = every_step(
        GridWorld(
            FIVE_BY_FIVE,
            terminals={},
            step_reward=0.0,
            bump_reward=-1.0,
            jumps={"A": ("a", 10.0), "B": ("b", 5.0)},
        )
    )
    for action in range(4):
        assert step(1, action) == (21, 10.0, False)
        assert step(3, action) == (13, 5.0, False)
    assert step(0, UP) == (0, -1.0, False)
    assert step(0, DOWN) == (5, 0.0, False)


def test_slips_go_to_either_side_as_often():
    world = GridWorld("...\n.S.\n...", terminals={}, slip=0.3)
    params = world.default_params

    @quick.jit
    def cells_of(key):
        _, state = world.reset(key, params)
        step = jax.vmap(lambda key: world.step_env(key, state, jnp.int32(UP), params)[0])
        return step(jax.random.split(key, 10_000))

    shares = np.bincount(cells_of(jax.random.key(0)), minlength=9) / 10_000
    np.testing.assert_allclose(shares[[1, 3, 5, 7]], [0.7, 0.15, 0.15, 0], atol=0.015)


def test_episodes_begin_at_s_or_anywhere_but_at_an_end():
    worlds = {"S.S\n..T": {0, 2}, "...\n.#T": {0, 1, 2, 3}}

    @quick.jit
    def begin(key):
        keys = jax.random.split(key, 400)
        return [
            jax.vmap(world.reset, (0, None))(keys, world.default_params)[0]
            for world in map(GridWorld, worlds)
        ]

    for cells, expected in zip(begin(jax.random.key(0)), worlds.values(), strict=True):
        assert set(np.unique(cells).tolist()) == expected


def test_render_shows_walls_ends_and_the_agent():
    world, params = rl.make("GridWorld", map="S#\n.T")
    draw = quick.jit(lambda key: world.render(world.reset(key, params)[1], params))
    image = jax.device_get(draw(jax.random.key(0)))
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
