"""Generators, critics and coders: sizes, parameters, classes, spectral norms, descriptions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import quick

from jaxvision import models

NETWORKS = {
    "dcgan generator": models.DCGANGenerator(shape=(9, 12, 3), noise_size=5, channels=(8, 4)),
    "residual generator": models.ResidualGenerator(shape=(9, 12, 3), noise_size=5, channels=(8, 4)),
    "dense generator": models.DenseGenerator(shape=(9, 12, 3), noise_size=5, hidden_sizes=(6,)),
    "dcgan critic": models.DCGANCritic(channels=(4, 8), norm="batch"),
    "dense critic": models.DenseCritic(hidden_sizes=(6, 5), norm="layer"),
    "residual critic": models.ResidualCritic(channels=(4, 8), spectral=True),
    "dense encoder": models.DenseEncoder(hidden_sizes=(6, 5), norm="layer"),
    "dense decoder": models.DenseDecoder(shape=(9, 12, 3), hidden_sizes=(6,)),
    "conv encoder": models.ConvEncoder(channels=(4, 8), norm="batch"),
    "conv decoder": models.ConvDecoder(shape=(9, 12, 3), channels=(8, 4), norm="batch"),
}
MADE = ("dcgan", "residual", "dense")
IMAGES, VECTORS = (2, 9, 12, 3), (2, 5)
SEES_IMAGES = ("dcgan critic", "dense critic", "residual critic", "dense encoder", "conv encoder")


def seen(name: str, dtype=jnp.float32) -> jax.Array:
    return jnp.ones(IMAGES if name in SEES_IMAGES else VECTORS, dtype) / 2


@pytest.mark.parametrize("name", NETWORKS)
def test_odd_sizes_types_and_descriptions(name) -> None:
    model = NETWORKS[name]
    assert models.from_description(models.describe(model)) == model
    key, x = jax.random.key(0), seen(name)
    y, variables = jax.eval_shape(model.init_with_output, key, x)
    wanted = {"generator": IMAGES, "decoder": IMAGES, "critic": (2,)}
    if (kind := name.split()[1]) in wanted:
        assert y.shape == wanted[kind]
    half = model.clone(dtype=jnp.bfloat16)
    y, _ = jax.eval_shape(half.init_with_output, key, seen(name, jnp.bfloat16))
    assert y.dtype == (jnp.float32 if kind == "critic" else jnp.bfloat16)
    if "batch_stats" in variables:
        assert jax.tree.leaves(variables["batch_stats"])


@pytest.mark.parametrize("kind", ["dcgan", "residual"])
@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_networks_of_8_to_128_pixels(kind, size) -> None:
    generator, critic = pair(kind, size)
    key = jax.random.key(0)
    images, variables = jax.eval_shape(generator.init_with_output, key, jnp.zeros((2, 4)))
    assert images.shape == (2, size, size, 3)
    assert variables["params"]["project"]["kernel"].shape == (4, 4 * 4 * generator.channels[0])
    assert jax.eval_shape(critic.init_with_output, key, jnp.zeros(images.shape))[0].shape == (2,)


def pair(kind, size):
    """A generator that starts from 4x4 pixels, and a critic that ends there."""
    steps = int(np.log2(size)) - 2
    if kind == "dcgan":
        channels = tuple(8 * 2**step for step in reversed(range(steps)))
        generator = models.DCGANGenerator(shape=(size, size, 3), noise_size=4, channels=channels)
        return generator, models.DCGANCritic(channels=channels[::-1])
    channels = (8,) * (steps + 1)
    generator = models.ResidualGenerator(shape=(size, size, 3), noise_size=4, channels=channels)
    return generator, models.ResidualCritic(channels=channels, halvings=steps)


def test_parameters_of_the_papers_networks() -> None:
    def count(model, x):
        shapes = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
        return sum(leaf.size for leaf in jax.tree.leaves(shapes))

    images = jnp.zeros((1, 32, 32, 3))
    assert count(models.ResidualGenerator(shape=(32, 32, 3)), jnp.zeros((1, 128))) == 4_276_739
    assert count(models.ResidualCritic(), images) == 1_053_825
    assert count(models.DCGANGenerator(shape=(64, 64, 3)), jnp.zeros((1, 100))) == 12_658_435
    with_norm = models.DCGANCritic(norm="batch")
    convs = 16 * (3 * 128 + 128 * 256 + 256 * 512 + 512 * 1024) + 128 + 2 * (256 + 512 + 1024)
    assert count(with_norm, jnp.zeros((1, 64, 64, 3))) == convs + 4 * 4 * 1024 + 1


@pytest.mark.parametrize(
    "make",
    [
        functools.partial(models.DCGANCritic, channels=(6, 8)),
        functools.partial(models.ResidualCritic, channels=(6, 8)),
        functools.partial(models.DenseCritic, hidden_sizes=(6, 8)),
    ],
    ids=MADE,
)
def test_spectral_norms_become_1(make) -> None:
    """By the singular values of what the layers apply, after some steps of power iteration."""
    critic = make(spectral=True)
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    plain = critic.clone(spectral=False)

    def train(variables):
        def step(variables, _):
            _, changed = critic.apply(variables, images, train=True, mutable=["batch_stats"])
            return {**variables, **changed}, None

        return jax.lax.scan(step, variables, length=200)[0]

    variables = quick.jit(lambda: train(critic.init(jax.random.key(0), images)))()
    divided = {}
    for layer, part in variables["params"].items():
        kernel = part["kernel"]
        largest = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
        estimate = variables["batch_stats"][f"{layer}_spectral"][f"{layer}/kernel/sigma"]
        np.testing.assert_allclose(estimate, largest, rtol=1e-3)
        divided[layer] = {**part, "kernel": kernel / largest}
    np.testing.assert_allclose(
        quick.jit(critic.apply)(variables, images),
        quick.jit(plain.apply)({"params": divided}, images),
        rtol=2e-3,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    "name", [f"{kind} {role}" for kind in MADE for role in ("generator", "critic")]
)
def test_classes(name) -> None:
    """An example changes with its class, and with no other's."""
    model, x = NETWORKS[name].clone(num_classes=3, norm="layer"), seen(name)

    def both():
        variables = model.init(jax.random.key(0), x)
        # The scales of classes start at 0.
        moved = jax.tree.map(
            lambda leaf: leaf + jnp.linspace(0, 0.1, leaf.size).reshape(leaf.shape),
            variables["params"],
        )
        variables = {**variables, "params": moved}
        return [model.apply(variables, x, jnp.array(labels)) for labels in ([0, 2], [0, 1])]

    first, second = quick.jit(both)()
    np.testing.assert_allclose(first[0], second[0], rtol=1e-5)
    assert not np.allclose(first[1], second[1])


def test_labels_that_are_missing_or_too_many() -> None:
    model, x = NETWORKS["dcgan critic"], seen("dcgan critic")
    of_classes = model.clone(num_classes=3)
    with pytest.raises(ValueError, match="labels are missing: this model has 3 classes"):
        jax.eval_shape(lambda: of_classes.apply(of_classes.init(jax.random.key(0), x), x))
    with pytest.raises(ValueError, match="was made without num_classes, and takes no labels"):
        jax.eval_shape(lambda: model.init(jax.random.key(0), x, jnp.array([0, 2])))


def test_a_projection_adds_the_product_with_the_vector_of_the_class() -> None:
    """Scores of two classes differ by h·(v1 - v0), where heads of unit vectors show h."""
    critic = models.ResidualCritic(channels=(4,), halvings=1, num_classes=2)
    plain = critic.clone(num_classes=None)
    images = jax.random.normal(jax.random.key(0), (3, 4, 4, 1))

    def all_of():
        params = critic.init(jax.random.key(1), images)["params"]
        scores = [critic.apply({"params": params}, images, jnp.full(3, c)) for c in (0, 1)]
        rest = {name: part for name, part in params.items() if name != "class_vectors"}

        def with_head(unit):
            head = {"kernel": unit[:, None], "bias": jnp.zeros(1)}
            return plain.apply({"params": {**rest, "head": head}}, images)

        last = jax.vmap(with_head, out_axes=1)(jnp.eye(4))
        without = plain.apply({"params": rest}, images)
        return params["class_vectors"]["kernel"], scores, last, without

    vectors, scores, last, without = quick.jit(all_of)()
    assert vectors.shape == (2, 4)
    assert last.shape == (3, 4)
    assert np.abs(scores[1] - scores[0]).min() > 1e-3
    np.testing.assert_allclose(scores[1] - scores[0], last @ (vectors[1] - vectors[0]), rtol=1e-4)
    np.testing.assert_allclose(scores[0] - without, last @ vectors[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.DCGANCritic(norm="bacth"), "unknown norm 'bacth'"),
        (lambda: models.ConvDecoder(shape=(8, 8, 1), channels=()), "channels must be one number"),
        (
            lambda: models.DCGANGenerator(shape=(8, 8, 1), channels=()),
            r"channels must be one number or more, got \(\); DenseGenerator has no maps",
        ),
        (
            lambda: models.ResidualGenerator(shape=(8, 8, 1), channels=()),
            r"channels must be one number or more, got \(\)",
        ),
        (
            lambda: models.DenseGenerator(shape=(8, 8, 1), noise_size=0),
            "noise_size must be a whole number, at least 1, got 0",
        ),
        *(
            (
                lambda kind=kind: kind(
                    encoder=models.DenseEncoder(),
                    decoder=models.DenseDecoder(shape=(8, 8, 1)),
                    latent_size=0,
                ),
                "latent_size must be a whole number, at least 1, got 0",
            )
            for kind in (models.Autoencoder, models.VariationalAutoencoder)
        ),
        (lambda: models.DenseEncoder(activation="rleu"), "unknown activation 'rleu'"),
    ],
)
def test_what_is_not_allowed(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
