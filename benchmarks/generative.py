"""Times models that make images against plain Flax layers and, where it is installed, torch.

    python benchmarks/generative.py

The first table has a row per model: milliseconds of a training step with Adam on a batch of random
RGB images. A variational autoencoder of convolutions has the discretized logistic likelihood, and a
GAN the networks of DCGAN and the non-saturating loss, a step of either network. "flax" is the same
model with the convolutions of Flax, which ours has on a GPU; "torch" is the same in torch's eager
mode with channels last.

The second has the milliseconds from noise to images of the generator, for one and for many, and the
last two say where the time of the larger GAN and of the larger autoencoder goes: their layers,
output and gradients, each as often as it occurs in a step. Contenders take turns; of several times,
the least counts.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import numpy as np
import optax
from convolutions import Case, jax_runs, torch_runs
from steps import compiled, compiled_step, native
from tables import Common, Table, launch
from turns import least_seconds

from jaxvision import models, ops, train
from jaxvision.losses import variational

try:
    import torch
except ImportError:
    torch = None

Run = Callable[[], Any]
LATENTS, NOISE = 64, 100


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the measurement."""

    rounds: int = 6
    """How often each is timed."""
    layers: bool = True
    """Whether to print the tables of layers."""
    batch: int = 64
    """How many images a step sees."""
    sizes: tuple[int, ...] = (32, 64)
    """Height and width of the images."""

    TOY: ClassVar[Mapping[str, Any]] = {
        "rounds": 1,
        "layers": False,
        "batch": 2,
        "sizes": (32,),
    }


@dataclasses.dataclass(frozen=True)
class Networks:
    """A model of images of a size.

    Attributes:
        size: Height and width.
        channels: The channels of the maps, coarsest first.
        batch: How many images a step sees.
    """

    size: int
    channels: tuple[int, ...]
    batch: int = 64


VAES = (Networks(32, (128, 64, 32)), Networks(64, (256, 128, 64, 32)))
GANS = (Networks(32, (256, 128, 64)), Networks(64, (512, 256, 128, 64)))
TIMES = dict.fromkeys(("ours ms", "flax ms", "torch ms", "flax/ours", "torch/ours"), ".2f")


def main(settings: Settings) -> list[Table]:
    """Measures steps, samples, and the layers of a step."""
    found = [step_table(settings), sampling_table(settings)]
    if settings.layers:
        found.append(layers_table("layers", gan_layers(GANS[-1]), settings.rounds))
        found.append(layers_table("vae_layers", vae_layers(VAES[-1]), settings.rounds))
    return found


def step_table(settings: Settings) -> Table:
    """Training steps."""
    table = Table("steps", {"training step": "", **TIMES, "compile s": ".2f"})
    for title, make, of_torch, chosen in (
        ("VAE", vae_step, torch_vae_step, VAES),
        ("DCGAN", gan_step, torch_gan_step, GANS),
    ):
        for each in of_sizes(chosen, settings):
            networks = dataclasses.replace(each, batch=settings.batch)
            ours, seconds = make(networks)
            with native():
                plain, _ = make(networks)
            runs = {"ours": ours, "flax": plain}
            if torch:
                runs["torch"] = of_torch(networks)
            name = f"{title} {networks.size}x{networks.size}, {networks.batch} images"
            table.add(name, *ratios(runs, settings.rounds), seconds)
    return table


def of_sizes(chosen: tuple[Networks, ...], settings: Settings) -> list[Networks]:
    """Those models whose images have the sizes that are asked for."""
    return [networks for networks in chosen if networks.size in settings.sizes]


def sampling_table(settings: Settings) -> Table:
    """From noise to images."""
    table = Table("sampling", {"noise to images": "", **TIMES})
    for networks in of_sizes(GANS, settings):
        for count in (1, settings.batch):
            name = f"DCGAN {networks.size}x{networks.size}, {count}"
            table.add(name, *ratios(sampling_runs(networks, count), 5 * settings.rounds))
    return table


def ratios(runs: dict[str, Run], rounds: int) -> list[float]:
    """The milliseconds of ours, plain Flax and torch, and both as multiples of ours."""
    for run in runs.values():
        run()  # warms up
    times = {"torch": math.nan} | least_seconds(runs, rounds)
    return [
        *(1e3 * times[each] for each in ("ours", "flax", "torch")),
        *(times[each] / times["ours"] for each in ("flax", "torch")),
    ]


def random_images(networks: Networks) -> np.ndarray:
    shape = (networks.batch, networks.size, networks.size, 3)
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def vae_step(networks: Networks) -> tuple[Run, float]:
    """A step of a variational autoencoder, and the seconds that compiling it took."""
    shape = (networks.size, networks.size, 6)
    model = models.VariationalAutoencoder(
        encoder=models.ConvEncoder(channels=networks.channels[::-1]),
        decoder=models.ConvDecoder(shape=shape, channels=networks.channels),
        latent_size=LATENTS,
    )
    loss_fn = train.vae.make_loss_fn(
        model,
        likelihood=variational.DiscretizedLogistic(),
        inputs=train.Inputs((0.5,), (0.5,)),
    )
    return compiled_step(model, optax.adam(1e-3), loss_fn, {"image": random_images(networks)})


def gan_networks(networks: Networks) -> tuple[models.DCGANGenerator, models.DCGANCritic]:
    shape = (networks.size, networks.size, 3)
    return (
        models.DCGANGenerator(shape=shape, noise_size=NOISE, channels=networks.channels),
        models.DCGANCritic(channels=networks.channels[::-1], norm="batch"),
    )


def gan_step(networks: Networks) -> tuple[Run, float]:
    """A step of both networks of a GAN, and the seconds that compiling it took."""
    step = train.gan.make_step(
        *gan_networks(networks),
        optax.adam(2e-4, b1=0.5),
        optax.adam(2e-4, b1=0.5),
        game="non_saturating",
    )
    return compiled(step, step.init(jax.random.key(0)), {"image": random_images(networks)})


def sampling_runs(networks: Networks, count: int) -> dict[str, Run]:
    """Of noise to images."""
    generator, _ = gan_networks(networks)
    noise = np.random.default_rng(0).standard_normal((count, NOISE), dtype=np.float32)
    variables = jax.jit(generator.init)(jax.random.key(0), noise)

    def run_of() -> Run:
        values = jax.device_put((variables, noise))
        program = jax.jit(lambda *each: generator.apply(*each)).lower(*values).compile()
        return lambda: jax.block_until_ready(program(*values))

    runs = {"ours": run_of()}
    with native():
        runs["flax"] = run_of()
    if torch:
        network, given = torch_generator(networks).eval(), torch.from_numpy(noise)

        def of_torch() -> None:
            with torch.inference_mode():
                network(given)

        runs["torch"] = of_torch
    return runs


Layers = list[tuple[str, int, dict[str, Run]]]
"""Name, number in a step, and the runs of contenders."""


def layers_table(name: str, layers: Layers, rounds: int) -> Table:
    """The layers of a step, as often as they occur in it, and their sum."""
    table = Table(name, {"layers of a step": "", "times": "d", **TIMES})
    sums = dict.fromkeys(("ours", "flax", "torch"), 0.0)
    for title, times, runs in layers:
        *found, _, ratio = ratios(runs, rounds)
        total = [times * each for each in found]
        sums = {name: sums[name] + ms for name, ms in zip(sums, total, strict=True)}
        table.add(title, times, *total, found[1] / found[0], ratio)
    ours, flax, of_torch = sums.values()
    table.add("sum", None, ours, flax, of_torch, flax / ours, of_torch / ours)
    return table


def gan_layers(networks: Networks) -> Layers:
    """The convolutions of a step of both networks.

    A step makes one pass of the generator for the critic, which has no gradient, and one for
    itself; and three passes of the critic, of which the last has only the images' gradient. The
    rows have all of these with both gradients, so that their sum is more than the step.
    """
    found = []
    for up, down in up_and_down(networks, (4, 4), 3):
        found += [(up.title, 2, runs_of(up)), (down.title, 3, runs_of(down))]
    return found


def vae_layers(networks: Networks) -> Layers:
    """The convolutions of a step of an autoencoder, and its likelihood with the gradient."""
    found = []
    for up, down in up_and_down(networks, (4, 3), 6):
        found += [(up.title, 1, runs_of(up)), (down.title, 1, runs_of(down))]
    images = random_images(networks)
    outputs = np.random.default_rng(0).standard_normal((*images.shape[:3], 6), dtype=np.float32)

    @jax.jit
    def gradient(outputs: jax.Array, images: jax.Array) -> jax.Array:
        def nats(outputs: jax.Array) -> jax.Array:
            return variational.DiscretizedLogistic().log_prob(outputs, images).mean()

        return jax.grad(nats)(outputs)

    given = jax.device_put((outputs, images))
    runs: dict[str, Run] = dict.fromkeys(
        ("ours", "flax"), lambda: jax.block_until_ready(gradient(*given))
    )
    if torch:
        seen = torch_images(networks)
        made = torch.from_numpy(outputs).permute(0, 3, 1, 2)
        made = made.contiguous(memory_format=torch.channels_last).requires_grad_()
        runs["torch"] = lambda: torch.autograd.grad(torch_logistic(made, seen).mean(), made)
    return [*found, ("likelihood", 1, runs)]


def up_and_down(
    networks: Networks, kernels: tuple[int, int], outputs: int
) -> Iterator[tuple[Case, Case]]:
    """Each convolution that doubles maps, and the one that halves maps of its result's size."""
    first = networks.size // 2 ** len(networks.channels)
    finer = networks.channels[1:]
    layers = zip(networks.channels, (*finer, outputs), (*finer, 3), strict=True)
    for index, (channels, after, seen) in enumerate(layers):
        size = first * 2**index
        larger, batch = f"{2 * size}x{2 * size}", networks.batch
        yield (
            Case(
                f"up to {larger}",
                (size, channels),
                after,
                kernels[0],
                2,
                transposed=True,
                batch=batch,
            ),
            Case(f"down from {larger}", (2 * size, seen), channels, kernels[1], 2, batch=batch),
        )


def runs_of(case: Case) -> dict[str, Run]:
    """A layer of ours, of Flax and of torch, output and gradients."""
    runs: dict[str, Run] = {"ours": jax_runs(case, ops)[1], "flax": jax_runs(case, nn)[1]}
    if torch:
        runs["torch"] = torch_runs(case)[1]
    return runs


def torch_generator(networks: Networks) -> Any:
    """The generator of DCGAN."""
    first = networks.size // 2 ** len(networks.channels)
    coarsest = networks.channels[0]
    layers: list[Any] = [
        torch.nn.Linear(NOISE, coarsest * first**2, bias=False),
        torch.nn.Unflatten(1, (coarsest, first, first)),
        torch.nn.BatchNorm2d(coarsest),
        torch.nn.ReLU(),
    ]
    for before, after in zip(networks.channels, (*networks.channels[1:], 3), strict=True):
        last = after == 3
        layers.append(torch.nn.ConvTranspose2d(before, after, 4, 2, 1, bias=last))
        layers += [torch.nn.Tanh()] if last else [torch.nn.BatchNorm2d(after), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)


def torch_critic(networks: Networks) -> Any:
    """The discriminator of DCGAN."""
    layers: list[Any] = []
    channels = networks.channels[::-1]
    for before, after in zip((3, *channels), channels, strict=False):
        layers.append(torch.nn.Conv2d(before, after, 4, 2, 1, bias=before == 3))
        layers += [] if before == 3 else [torch.nn.BatchNorm2d(after)]
        layers.append(torch.nn.LeakyReLU(0.2))
    first = networks.size // 2 ** len(channels)
    layers += [torch.nn.Flatten(), torch.nn.Linear(channels[-1] * first**2, 1)]
    return torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)


def torch_images(networks: Networks) -> Any:
    images = torch.from_numpy(random_images(networks)).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)


def torch_gan_step(networks: Networks) -> Run:
    """A step of both networks of a GAN in torch."""
    generator, critic = torch_generator(networks), torch_critic(networks)
    of_generator = torch.optim.Adam(generator.parameters(), 2e-4, betas=(0.5, 0.999))
    of_critic = torch.optim.Adam(critic.parameters(), 2e-4, betas=(0.5, 0.999))
    images = torch_images(networks)
    softplus = torch.nn.functional.softplus

    def run() -> None:
        real = images * 2 - 1
        of_critic.zero_grad()
        with torch.no_grad():
            fake = generator(torch.randn(len(images), NOISE))
        (softplus(-critic(real)) + softplus(critic(fake))).mean().backward()
        of_critic.step()
        of_generator.zero_grad()
        for parameter in critic.parameters():
            parameter.requires_grad_(False)
        softplus(-critic(generator(torch.randn(len(images), NOISE)))).mean().backward()
        for parameter in critic.parameters():
            parameter.requires_grad_(True)
        of_generator.step()

    return run


def torch_vae_step(networks: Networks) -> Run:
    """A step of the variational autoencoder in torch."""
    channels, nn_ = networks.channels, torch.nn
    coarsest = networks.size // 2 ** len(channels)
    layers: list[Any] = []
    for before, after in zip((3, *channels[::-1]), channels[::-1], strict=False):
        layers += [nn_.Conv2d(before, after, 3, 2, 1), nn_.ReLU()]
    flat = channels[0] * coarsest**2
    encoder = nn_.Sequential(*layers, nn_.Flatten(), nn_.Linear(flat, 2 * LATENTS))
    layers = [nn_.Linear(LATENTS, flat), nn_.Unflatten(1, (channels[0], coarsest, coarsest))]
    for before, after in zip(channels, (*channels[1:], 6), strict=True):
        layers += [nn_.ReLU(), nn_.ConvTranspose2d(before, after, 4, 2, 1)]
    model = nn_.Sequential(encoder, nn_.Sequential(*layers))
    model = model.to(memory_format=torch.channels_last)
    tx = torch.optim.Adam(model.parameters(), 1e-3)
    images = torch_images(networks)

    def run() -> None:
        tx.zero_grad()
        mean, log_variance = model[0](images * 2 - 1).chunk(2, 1)
        code = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        kl = ((mean**2 + log_variance.exp() - 1 - log_variance) / 2).sum(1)
        (torch_logistic(model[1](code), images) + kl).mean().backward()
        tx.step()

    return run


def torch_logistic(outputs: Any, images: Any) -> Any:
    """The discretized logistic likelihood's nats of each image."""
    half = 1 / (2 * 255)
    center, log_scale = outputs.chunk(2, 1)
    inverse = (-log_scale).exp()
    above, below = (inverse * (images - center + sign * half) for sign in (1, -1))
    softplus = torch.nn.functional.softplus
    inside = -softplus(-above) - softplus(below) + (-(-inverse * 2 * half).expm1()).log()
    first, last = -softplus(-above), -softplus(below)
    nats = torch.where(images < half, first, torch.where(images > 1 - half, last, inside))
    return -nats.flatten(1).sum(1)


if __name__ == "__main__":
    launch("generative", main, Settings, __doc__, peers=("torch",))
