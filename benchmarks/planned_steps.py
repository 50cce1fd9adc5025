"""Steps of every task and agent with the shapes of what they take, and no arrays."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvision import manifold, models, rl, train
from jaxvision.losses import variational

PyTree = Any


class Planned(NamedTuple):
    """What `train.planning.plan` takes.

    Attributes:
        parallel: A step on a mesh.
        state: The shapes of its state.
        batch: The shapes of its batch, or None.
    """

    parallel: train.ParallelStep
    state: PyTree
    batch: PyTree


Make = Callable[..., Planned]


def images(count: int, size: int, channels: int = 3, **more: Any) -> dict[str, Any]:
    """The shapes of a batch of 8-bit images, and of fields of one number each."""
    batch = {"image": jax.ShapeDtypeStruct((count, size, size, channels), jnp.uint8)}
    return batch | {name: jax.ShapeDtypeStruct((count,), dtype) for name, dtype in more.items()}


def trained(
    mesh: jax.sharding.Mesh,
    model: Any,
    loss_fn: Any,
    batch: PyTree,
    *,
    strategy: train.parallel.Strategy = "jit",
    shard: train.ShardRule | None = None,
    optimizer: optax.GradientTransformation | None = None,
    **options: Any,
) -> Planned:
    """The step of a loss, with SGD and momentum where no optimizer is given."""
    optimizer = optimizer or train.create_optimizer("momentum", 0.1)
    axis_name = "data" if strategy == "pmap" else None
    step = train.make_train_step(loss_fn, optimizer, axis_name=axis_name, **options)

    def begin() -> train.TrainState:
        return step.prepare(train.init_state(jax.random.key(0), model, optimizer, batch))

    return Planned(train.parallelize(step, mesh, strategy, shard), jax.eval_shape(begin), batch)


def classifier(
    mesh: jax.sharding.Mesh,
    name: str,
    count: int,
    size: int,
    channels: int = 3,
    dtype: Any = None,
    classes: int = 1000,
    model_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Planned:
    """A registered model that learns labels."""
    given = dict(model_options or {})
    if options.get("strategy") == "pmap" and "axis_name" in models.describe(
        models.create_model(name)
    ):
        given["axis_name"] = "data"
    model = models.create_model(
        name, num_classes=classes, in_channels=channels, dtype=dtype, **given
    )
    batch = images(count, size, channels, label=jnp.int32)
    loss_fn = train.classification.make_loss_fn(model)
    return trained(mesh, model, loss_fn, batch, **options)


def pixel_model(
    mesh: jax.sharding.Mesh,
    count: int,
    size: int,
    task: Literal["segmentation", "fixations"],
    backbone: str = "resnet34",
    **options: Any,
) -> Planned:
    """A U-Net over a backbone, in bfloat16, that learns masks or where people look."""
    is_mask = task == "segmentation"
    model = models.create_segmenter(
        "unet",
        backbone=backbone,
        num_classes=21 if is_mask else 1,
        backbone_options={"dtype": "bfloat16"},
    )
    field, dtype = ("mask", jnp.int32) if is_mask else ("fixation_density", jnp.float32)
    batch = images(count, size)
    batch[field] = jax.ShapeDtypeStruct((count, size, size), dtype)
    tasks = {"segmentation": train.segmentation, "fixations": train.fixations}
    return trained(mesh, model, tasks[task].make_loss_fn(model), batch, **options)


segmenter: Make = functools.partial(pixel_model, task="segmentation")
fixations: Make = functools.partial(pixel_model, task="fixations")


def coders(size: int, numbers: int = 1) -> dict[str, Any]:
    """Encoder and decoder by convolutions, of RGB images."""
    channels = (32, 64, 128)
    return {
        "encoder": models.ConvEncoder(channels=channels),
        "decoder": models.ConvDecoder(shape=(size, size, 3 * numbers), channels=channels[::-1]),
    }


def vae(mesh: jax.sharding.Mesh, count: int, size: int, **options: Any) -> Planned:
    """A variational autoencoder."""
    likelihood = variational.DiscretizedLogistic(levels=256)
    model = models.VariationalAutoencoder(**coders(size, likelihood.numbers), latent_size=64)
    loss_fn = train.vae.make_loss_fn(model, likelihood=likelihood)
    return trained(
        mesh, model, loss_fn, images(count, size), optimizer=optax.adam(1e-3), ema_decay=0.999,
        **options,
    )  # fmt: skip


def autoencoder(mesh: jax.sharding.Mesh, count: int, size: int, **options: Any) -> Planned:
    """A denoising autoencoder."""
    model = models.Autoencoder(**coders(size), latent_size=64)
    loss_fn = train.autoencoding.make_loss_fn(model, noise=1.0)
    return trained(mesh, model, loss_fn, images(count, size), optimizer=optax.adam(1e-3), **options)


def dcgan(
    mesh: jax.sharding.Mesh,
    count: int,
    size: int,
    channels: tuple[int, ...] = (256, 128, 64),
    strategy: train.parallel.Strategy = "jit",
) -> Planned:
    """A game of two networks, a step of each."""
    step = train.gan.make_step(
        models.DCGANGenerator(shape=(size, size, 3), noise_size=100, channels=channels),
        models.DCGANCritic(channels=channels[::-1]),
        optax.adam(2e-4, b1=0.5),
        optax.adam(2e-4, b1=0.5),
        game="non_saturating",
        axis_name="data" if strategy == "pmap" else None,
    )
    state = jax.eval_shape(lambda: step.prepare(step.init(jax.random.key(0))))
    return Planned(train.parallelize(step, mesh, strategy), state, images(count, size))


def multitask(mesh: jax.sharding.Mesh, count: int, size: int, **options: Any) -> Planned:
    """A digit, its slant and its ink, by one LeNet with learned weights of the losses."""
    tasks = {
        "digit": train.multitask.Task("label", "classification"),
        "slant": train.multitask.Task("slant", "regression"),
        "ink": train.multitask.Task("ink", "regression"),
    }
    model = models.MultiHead(
        backbone=models.create_model("lenet5", in_channels=1),
        heads={"digit": 10, "slant": 1, "ink": 1},
        learned_weights=True,
    )
    batch = images(count, size, 1, label=jnp.int32, slant=jnp.float32, ink=jnp.float32)
    loss_fn = train.multitask.make_loss_fn(model, tasks)
    return trained(mesh, model, loss_fn, batch, optimizer=optax.adamw(2e-3), **options)


def agent(mesh: jax.sharding.Mesh, make: Callable[[], Any]) -> Planned:
    """An agent with its environments cut over the devices."""
    made = make()
    parallel = train.parallelize(made, mesh, shard=rl.shard_environments(made.envs.num_envs))
    state = jax.eval_shape(lambda: made.init(jax.random.key(0)))
    return Planned(parallel, state, None)


def actor_critic(kind: type, name: str, num_envs: int, conv: bool = False, **options: Any) -> Any:
    """PPO, A2C or REINFORCE."""
    frames = 2 if conv else 1
    described = {"library": "jaxvision", "name": name, "options": {}, "frame_stack": frames}
    envs = rl.make_environments(described, num_envs)
    actor = rl.make_torso(envs.observation_space) if conv else rl.MLP()
    space = envs.action_space
    assert isinstance(space, rl.Discrete)
    network = rl.ActorCritic(envs.observation_space, space.n, actor, None if conv else rl.MLP())
    return kind(envs=envs, network=network, optimizer=optax.adam(2.5e-4), **options)


def q_learner(
    num_envs: int, capacity: int = 50_000, prioritized: bool = True, **options: Any
) -> rl.DQN:
    """Double DQN with dueling heads, C51 and priorities."""
    envs = rl.vectorize("CartPole-v1", num_envs)
    head = rl.Categorical(0.0, 100.0, 51)
    replay = rl.PrioritizedReplay(capacity) if prioritized else rl.UniformReplay(capacity)
    network = rl.QNetwork(
        envs.observation_space, 2, rl.MLP((120, 84), "relu"), outputs=head.outputs, dueling=True
    )
    return rl.DQN(
        envs=envs, network=network, optimizer=optax.adam(2.5e-4), head=head, replay=replay,
        double=True, exploration=optax.constant_schedule(0.05), **options,
    )  # fmt: skip


def rollout_q_learner(num_envs: int, **options: Any) -> rl.PQN:
    """PQN, without replay."""
    envs = rl.vectorize("CartPole-v1", num_envs)
    network = rl.QNetwork(envs.observation_space, 2, rl.MLP((120, 84), "relu", layer_norm=True))
    return rl.PQN(
        envs=envs, network=network, optimizer=optax.adam(2.5e-4),
        exploration=optax.constant_schedule(0.05), **options,
    )  # fmt: skip


def tsne(
    mesh: jax.sharding.Mesh, count: int, method: Literal["exact", "mesh"], perplexity: float = 30.0
) -> Planned:
    """A step of t-SNE on points drawn at random, whose neighbors are found here."""
    points = np.random.default_rng(0).standard_normal((count, 16)).astype(np.float32)
    near = manifold.affinities(points, perplexity)
    step = manifold.EmbeddingStep()
    problem = manifold.make_problem(near, step, method=method)
    shape = jax.ShapeDtypeStruct(points.shape, points.dtype)
    state = jax.eval_shape(
        lambda points: manifold.init_embedding(jax.random.key(0), points, init="random"), shape
    )
    parallel = train.parallelize(step, mesh).with_constant(train.constant(problem))
    batch = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), jax.dtypes.result_type(leaf)), problem
    )
    return Planned(parallel, state, batch)


SMALL: dict[str, Make] = {
    "classification": functools.partial(
        classifier, name="lenet5", count=16, size=28, channels=1, classes=10
    ),
    "classification, pmap": functools.partial(
        classifier, name="lenet5", count=16, size=28, channels=1, classes=10, strategy="pmap"
    ),
    "classification, FSDP": functools.partial(
        classifier, name="mlp", count=16, size=16, channels=1, classes=10,
        shard=train.fsdp(min_size=256),
    ),
    "segmentation": functools.partial(
        segmenter, count=8, size=32, backbone="lenet5"
    ),
    "fixations": functools.partial(fixations, count=8, size=32, backbone="lenet5"),
    "vae": functools.partial(vae, count=8, size=16),
    "gan": functools.partial(dcgan, count=8, size=16, channels=(16, 8)),
    "autoencoding": functools.partial(autoencoder, count=8, size=16),
    "multitask": functools.partial(multitask, count=8, size=28),
    "ppo": functools.partial(
        agent, make=functools.partial(actor_critic, rl.PPO, "CartPole-v1", 8, updates_per_step=1)
    ),
    "a2c": functools.partial(
        agent, make=functools.partial(actor_critic, rl.A2C, "CartPole-v1", 8, updates_per_step=1)
    ),
    "reinforce": functools.partial(
        agent,
        make=functools.partial(
            actor_critic, rl.Reinforce, "CartPole-v1", 8, max_steps=20, updates_per_step=1
        ),
    ),
    "dqn": functools.partial(
        agent, make=functools.partial(
            q_learner, 8, capacity=1_024, train_every=8, updates_per_step=1
        )
    ),
    "pqn": functools.partial(
        agent, make=functools.partial(rollout_q_learner, 8, updates_per_step=1)
    ),
    "tsne": functools.partial(tsne, count=64, method="exact", perplexity=5.0),
}  # fmt: skip
"""A small step of each task and agent, for tests."""
