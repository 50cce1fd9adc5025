"""Small environments that say what they do."""

import jax
import jax.numpy as jnp

from jaxvision import rl


class Clock(rl.Environment):
    """Shows the time since the episode began; action 1 terminates it, time truncates it.

    Episodes are told apart by a number that they draw: the observation is (number, time).
    """

    def __init__(self, limit=5):
        self.limit = limit

    @property
    def default_params(self):
        return rl.EnvParams(max_steps_in_episode=self.limit)

    @property
    def num_actions(self):
        return 2

    def observation_space(self, params):
        del params
        return rl.Box(0.0, jnp.inf, (2,))

    def reset_env(self, key, params):
        del params
        state = ClockState(time=jnp.int32(0), number=jax.random.uniform(key))
        return state.observe(), state

    def step_env(self, key, state, action, params):
        del key, params
        state = state.replace(time=state.time + 1)
        return state.observe(), state, jnp.float32(1), action == 1, {}


class ClockState(rl.EnvState):
    number: jax.Array

    def observe(self):
        return jnp.stack([self.number, self.time.astype(jnp.float32)])


class Frames(Clock):
    """The same as a picture of one pixel, that counts all steps of all episodes."""

    def observation_space(self, params):
        del params
        return rl.Box(0, 255, (1, 1, 1), jnp.uint8)

    def reset_env(self, key, params):
        _, state = super().reset_env(key, params)
        return self.look(state), state

    def step_env(self, key, state, action, params):
        _, state, *rest = super().step_env(key, state, action, params)
        return self.look(state), state, *rest

    @staticmethod
    def look(state):
        """A hundred for the episode's number, and its time."""
        number = jnp.floor(state.number * 20) * 10
        return (number + state.time).astype(jnp.uint8).reshape(1, 1, 1)
