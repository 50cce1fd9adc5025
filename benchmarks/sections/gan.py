"""Steps of DCGAN in bfloat16, one of each network, beside the same of torch.compile."""

import functools
from typing import Any

import jax
import numpy as np
import optax

from jaxvision import models, train
from sections import context as contexts
from sections import timing
from sections.context import Context

NOISE = 100


def dcgan(context: Context) -> None:
    """RGB images of 64x64."""
    size, channels = (16, (8, 4)) if context.toy else (64, (512, 256, 128, 64))
    batches = (2,) if context.toy else timing.batches_for(timing.memory_of(jax.devices()[0]), 1024)
    columns = {"contender": "", "batch": "d", "ms a step": ".2f", "images/s": ",.0f"}
    table = context.table("steps", {**columns, "compile s": ".1f"}, f"Images of {size}x{size}.")
    batch, calls = timing.of_largest(batches, functools.partial(jax_step, size, channels))
    seconds = timing.seconds_per_call(calls, toy=context.toy)
    table.add("jaxvision", batch, 1e3 * seconds, batch / seconds, calls.compile_seconds)
    del calls
    torch = context.torch(table)
    if torch is None:
        return
    calls = torch_step(torch, size, channels, batch, context.toy)
    seconds = timing.seconds_per_call(calls, toy=context.toy)
    title = contexts.torch_title()
    table.add(title, batch, 1e3 * seconds, batch / seconds, calls.compile_seconds)


def random_images(size: int, batch: int) -> np.ndarray:
    """Images of 8 bits."""
    return np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), np.uint8)


def jax_step(size: int, channels: tuple[int, ...], batch: int) -> timing.Calls:
    """A step of ours."""
    step = train.gan.make_step(
        models.DCGANGenerator(
            shape=(size, size, 3), noise_size=NOISE, channels=channels, dtype="bfloat16"
        ),
        models.DCGANCritic(channels=channels[::-1], norm="batch", dtype="bfloat16"),
        optax.adam(2e-4, b1=0.5),
        optax.adam(2e-4, b1=0.5),
        game="non_saturating",
    )
    state = step.prepare(step.init(jax.random.key(0)))
    return timing.compiled(step, state, {"image": random_images(size, batch)})


def torch_step(
    torch: Any, size: int, channels: tuple[int, ...], batch: int, toy: bool
) -> timing.Calls:
    """The same of torch."""
    from generative import Networks, torch_critic, torch_generator

    from sections import peer

    networks = Networks(size, channels, batch)
    generator = torch_generator(networks).to(peer.device())
    critic = torch_critic(networks).to(peer.device())
    of_generator, of_critic = (
        torch.optim.Adam(each.parameters(), 2e-4, betas=(0.5, 0.999))
        for each in (generator, critic)
    )
    images = peer.placed(random_images(size, batch))
    softplus = torch.nn.functional.softplus

    def critic_loss(images: Any, noise: Any) -> Any:
        with torch.autocast(peer.device(), torch.bfloat16):
            with torch.no_grad():
                fake = generator(noise)
            real, made = critic(images.float() / 127.5 - 1), critic(fake)
        return (softplus(-real.float()) + softplus(made.float())).mean()

    def generator_loss(noise: Any) -> Any:
        with torch.autocast(peer.device(), torch.bfloat16):
            made = critic(generator(noise))
        return softplus(-made.float()).mean()

    first, second = (peer.compiled(each, toy) for each in (critic_loss, generator_loss))
    # Without gradients of the critic in the generator's step, as in ours.
    parameters = [*generator.parameters()]

    def call() -> None:
        noise = torch.randn(2, batch, NOISE, device=peer.device())
        of_critic.zero_grad(set_to_none=True)
        first(images, noise[0]).backward()
        of_critic.step()
        gradients = torch.autograd.grad(second(noise[1]), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        of_generator.step()

    return peer.begun(call)
