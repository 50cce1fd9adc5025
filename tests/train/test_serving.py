"""What each task exports, and what explainers get of it."""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick
from exported_runs import (
    INPUTS,
    NAMES,
    SIDE,
    assert_near,
    call,
    classifier,
    dataset,
    pixels,
    saved,
    state_of,
)

from jaxvision import data, losses, models, rl, train
from jaxvision.losses import variational
from jaxvision.rl import tabular
from jaxvision.train.agents import TrainedAgent


def decisions(trained: train.Trained, images: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of images in [0, 1] that explainers explain."""
    functions = trained.score_functions()
    floats = images.astype(np.float32) / 255
    return {name: jax.jit(each.fn)(floats) for name, each in functions.items()}


def test_a_classifier_decides_by_its_logits(tmp_path) -> None:
    trained = classifier(tmp_path, "mlp", hidden_sizes=(8,))
    said = trained.predict([{"image": pixels()}])
    assert_near(decisions(trained, pixels()), **{"class": said.logits})
    assert trained.score_functions()["class"].names == NAMES


def test_what_cannot_be_explained_says_so(tmp_path) -> None:
    with pytest.raises(NotImplementedError, match=r"give Trained a method score_functions\(\)"):
        train.Trained(saved(tmp_path, None, None, {})).score_functions()


def multitask(folder: pathlib.Path) -> train.Trained:
    backbone = models.create_model("mlp", hidden_sizes=(8,))
    model = models.MultiHead(backbone=backbone, heads={"kind": 3, "slant": 1})
    tasks = {
        "kind": train.multitask.Task("label", "classification"),
        "slant": train.multitask.Task("slant", "regression"),
    }
    step = train.multitask.make_loss_fn(model, tasks, inputs=INPUTS)
    state = state_of(model, np.zeros((1, SIDE, SIDE, 1), np.float32))
    learned = dataset(slant=np.ones(3, np.float32))
    return train.multitask.TrainedMultiTask(saved(folder, step, learned, state))


def test_a_model_of_several_tasks(tmp_path) -> None:
    trained = multitask(tmp_path)
    exported = train.export(trained)
    said = trained.predict([{"image": pixels()}]).outputs
    softmax = np.exp(said["kind"]) / np.exp(said["kind"]).sum(1, keepdims=True)
    assert_near(call(exported, pixels()), **said, kind_probabilities=softmax)
    names = {output.name: output.names for output in exported.outputs}
    assert names == {"kind": NAMES, "kind_probabilities": NAMES, "slant": ()}
    assert_near(decisions(trained, pixels()), **said)
    told = {name: each[1:3] for name, each in trained.score_functions().items()}
    assert told == {"kind": (NAMES, True), "slant": ((), False)}


@pytest.mark.parametrize("num_classes", [1, 3])
def test_a_segmenter(num_classes: int, tmp_path) -> None:
    model = models.ClassicUNet(
        num_classes=num_classes, in_channels=1, channels=(4, 8), padded=True, norm="batch"
    )
    loss = losses.pixel_cross_entropy if num_classes > 1 else losses.soft_dice
    step = train.segmentation.make_loss_fn(model, loss=loss, inputs=INPUTS)
    learned = dataset(mask=np.zeros((3, SIDE, SIDE), np.uint8))
    state = state_of(model, np.zeros((1, SIDE, SIDE, 1), np.float32))
    if num_classes > 1:  # so that every class is the most probable one somewhere
        state["params"]["head"]["bias"] -= np.float32([3.5, 1.8, 0.0])
    run = saved(tmp_path, step, learned, state)
    trained = train.segmentation.TrainedSegmenter(run)
    outputs = call(train.export(trained), pixels())
    said = trained.predict([{"image": pixels()}])
    np.testing.assert_array_equal(outputs["classes"], said.classes)
    assert outputs["probabilities"].shape == (3, SIDE, SIDE, said.num_classes)
    np.testing.assert_allclose(outputs["probabilities"].sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(outputs["probabilities"].argmax(-1), said.classes)
    assert len(np.unique(said.classes)) == said.num_classes
    logits = decisions(trained, pixels())["mask"]
    np.testing.assert_array_equal(logits.argmax(-1), said.classes)


def test_a_model_of_fixations(tmp_path) -> None:
    step = train.fixations.make_loss_fn(models.PixelClassifier(num_classes=1), inputs=INPUTS)
    learned = dataset(fixation_density=np.ones((3, SIDE, SIDE), np.float32))
    state = state_of(step.model, np.zeros((1, SIDE, SIDE, 1), np.float32))
    trained = train.fixations.TrainedFixations(saved(tmp_path, step, learned, state))
    log_density = trained.predict([{"image": pixels()}]).log_density
    outputs = call(train.export(trained), pixels())
    assert_near(outputs, log_density=log_density, density=np.exp(log_density))
    contrast = log_density - log_density.mean(axis=(1, 2), keepdims=True)
    assert_near(decisions(trained, pixels()), log_density=contrast[..., None])
    assert not trained.score_functions()["log_density"].are_logits


@pytest.mark.slow
def test_a_segmenter_of_volumes(tmp_path) -> None:
    model = models.UNet3D(num_classes=2, channels=((2, 4), (4, 8)), in_channels=1)
    step = train.segmentation.make_loss_fn(model)
    volumes = np.random.default_rng(0).uniform(size=(2, 8, 8, 8, 1)).astype(np.float32)
    learned = data.from_arrays({"image": volumes, "mask": np.zeros((2, 8, 8, 8), np.uint8)})
    run = saved(tmp_path, step, learned, state_of(model, volumes[:1]))
    trained = train.segmentation.TrainedSegmenter(run)
    exported = train.export(trained)
    assert exported.inputs[0].shape == ("batch", 8, 8, 8, 1)
    said = trained.predict([{"image": volumes}])
    np.testing.assert_array_equal(call(exported, volumes)["classes"], said.classes)
    message = r"this one takes volumes: float32 \(batch, 8, 8, 8, 1\).*leave it out"
    with pytest.raises(ValueError, match=f"image_size=9 is for models of images.*{message}"):
        train.export(trained, image_size=9)


def test_an_autoencoder_sees_images_without_noise(tmp_path) -> None:
    model = models.Autoencoder(
        encoder=models.ConvEncoder(channels=(4, 8)),
        decoder=models.ConvDecoder(shape=(SIDE, SIDE, 1), channels=(8, 4)),
        latent_size=5,
    )
    trained = {}
    for noise in (0.0, 0.5):
        step = train.autoencoding.make_loss_fn(model, noise=noise, inputs=INPUTS)
        state = state_of(model, np.zeros((1, SIDE, SIDE, 1), np.float32))
        run = saved(tmp_path, step, dataset(), state)
        trained[noise] = train.autoencoding.TrainedAutoencoder(run)
    said = trained[0.0].predict([{"image": pixels()}])
    given = call(train.export(trained[0.5]), pixels())
    assert_near(given, codes=said.codes, reconstructions=said.reconstructions)
    assert_near(decisions(trained[0.5], pixels()), code=said.codes)


@pytest.mark.parametrize("classes", quick.only([(None,), (3,)], None))
def test_a_variational_autoencoder(classes: int | None, tmp_path) -> None:
    model = models.VariationalAutoencoder(
        encoder=models.DenseEncoder(hidden_sizes=(8,)),
        decoder=models.DenseDecoder(shape=(SIDE, SIDE, 1), hidden_sizes=(8,)),
        latent_size=2,
        num_classes=classes,
    )
    # What it observes is drawn, as by `encode`.
    likelihood = variational.Gaussian(scale=0.1, levels=256)
    step = train.vae.make_loss_fn(model, likelihood=likelihood, inputs=INPUTS)
    labels = () if classes is None else (np.arange(3, dtype=np.int32),)
    state = state_of(model, np.zeros((3, SIDE, SIDE, 1), np.float32), *labels)
    trained = train.vae.TrainedVAE(saved(tmp_path, step, dataset(), state))
    exported = train.export(trained)
    assert [each.name for each in exported.inputs] == ["images", "labels"][: 1 + len(labels)]
    means, log_variances = trained.encode(pixels(), *labels)
    assert_near(
        call(exported, pixels(), *labels),
        codes=means,
        log_variances=log_variances,
        reconstructions=trained.decode(means, *labels),
    )
    found = decisions(trained, pixels())
    names = ["code"] if classes is None else [f"code as {name}" for name in NAMES]
    assert [*found] == names
    for row in range(3):  # pixels are not drawn here, so that the codes differ a little
        code = found[names[row if classes else 0]]
        np.testing.assert_allclose(code[row], means[row], atol=0.2)


@pytest.mark.parametrize("classes", quick.only([(None,), (3,)], 3))
def test_a_generator(classes: int | None, tmp_path) -> None:
    generator = models.DCGANGenerator(
        shape=(8, 8, 1), noise_size=4, channels=(8, 4), num_classes=classes
    )
    critic = models.DCGANCritic(channels=(4,), num_classes=classes)
    step = train.gan.make_step(generator, critic, optax.sgd(0.1), optax.sgd(0.1), inputs=INPUTS)
    noise = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    labels = () if classes is None else (np.array([0, 2, 1], np.int32),)
    state = {
        "generator": state_of(generator, noise, *labels),
        "critic": state_of(critic, np.zeros((3, 8, 8, 1), np.float32), *labels),
    }
    trained = train.gan.TrainedGAN(saved(tmp_path, step, dataset(), state))
    exported = train.export(trained)
    assert [each.name for each in exported.inputs] == ["noise", "labels"][: 1 + len(labels)]
    given = call(exported, noise, *labels)
    assert_near(given, images=trained.generate(jnp.asarray(noise), *labels))
    with pytest.raises(ValueError, match=r"image_size=64 is for models of images.*noise: float32"):
        train.export(trained, image_size=64)
    real = pixels(3, (8, 8))
    found = decisions(trained, real)
    if classes is None:
        said = trained.predict([{"image": real}])
        assert_near(found, critic=said.real_scores[:, None])
    else:
        said = trained.predict([{"image": real, "label": labels[0]}])
        assert tuple(trained.score_functions()["critic"].names) == NAMES
        assert found["critic"].shape == (3, 3)
        own = found["critic"][np.arange(3), labels[0]]
        np.testing.assert_allclose(own, said.real_scores, rtol=1e-5, atol=1e-5)


def agent(kind: str) -> rl.Agent:
    envs = rl.vectorize("Catch", 4)
    space = envs.observation_space
    if kind == "ppo":
        network: nn.Module = rl.ActorCritic(space, 3, rl.MLP((8,)), rl.MLP((8,)))
        return rl.PPO(envs=envs, network=network, optimizer=optax.sgd(0.1), num_steps=4)
    head = rl.Categorical(-1.0, 1.0, 11)
    network = rl.QNetwork(space, 3, rl.MLP((8,)), head.outputs, dueling=True)
    options = {"head": head, "num_steps": 4, "lambda_": 0.0}
    return rl.PQN(envs=envs, network=network, optimizer=optax.sgd(0.1), **options)


def observations(made: rl.Agent, rows: int) -> np.ndarray:
    space = made.envs.observation_space
    drawn = np.random.default_rng(0).integers(0, 2, (rows, *space.shape))
    return drawn.astype(space.dtype)


@pytest.mark.parametrize("kind", ["ppo", "pqn"])
def test_an_agent(kind: str, tmp_path) -> None:
    made = agent(kind)
    seen = observations(made, 5)
    params = {"params": state_of(made.network, seen)["params"]}
    trained = TrainedAgent(saved(tmp_path, made, None, {"params": params}))
    exported = train.export(trained)
    given = call(exported, seen)
    np.testing.assert_array_equal(given.pop("actions"), jax.jit(trained.act)(seen))
    found = decisions(trained, seen)
    assert next(iter(trained.score_functions().values())).names == ["left", "stay", "right"]
    if kind == "pqn":
        outputs = jax.jit(made.network.apply)(params, seen)
        assert_near(given, values=made.head.values(outputs))
        assert_near(found, values=given["values"])
    else:
        value = jax.jit(lambda seen: made.network.apply(params, seen, method="values"))(seen)
        assert_near(found, policy=given["logits"], value=value[:, None])
        logits = jax.jit(lambda seen: made.network.apply(params, seen, method="policy"))(seen)
        assert_near(given, logits=logits, probabilities=jax.nn.softmax(logits))


def test_one_seed_of_several_agents(tmp_path) -> None:
    made = agent("pqn")
    seen = observations(made, 2)
    params = {"params": state_of(made.network, seen)["params"]}
    both = jax.tree.map(lambda leaf: np.stack([leaf, -leaf]), params)
    run = saved(tmp_path, made, None, {"params": both})
    run.record.step["num_seeds"] = 2
    together = TrainedAgent(run)
    with pytest.raises(ValueError, match=r"select one, such as trained.seed\(0\)"):
        train.export(together)
    given = call(train.export(together.seed(1), dtype="bfloat16"), seen)
    wanted = jax.jit(made.answer)(jax.tree.map(lambda leaf: leaf[1], both), seen)
    np.testing.assert_allclose(given["values"], wanted["values"], atol=0.02)


def test_a_table_is_no_program(tmp_path) -> None:
    environment, params = rl.make("GridWorld")
    made = tabular.TemporalDifference(environment=environment, params=params)
    trained = TrainedAgent(saved(tmp_path, made, None, {"params": np.zeros((16, 4))}))
    message = "cannot be exported where they learn a table, as TemporalDifference does.*numpy.save"
    with pytest.raises(NotImplementedError, match=message):
        train.export(trained)
    with pytest.raises(NotImplementedError, match="explained where a TemporalDifference learns"):
        trained.score_functions()


def test_cells_are_explained_as_one_hot_vectors(tmp_path) -> None:
    envs = rl.vectorize("GridWorld", 2, map="S.G", terminals={"G": 1.0}, jumps={})
    network = rl.ActorCritic(envs.observation_space, 4, rl.MLP((8,)), rl.MLP((8,)))
    sgd = optax.sgd(0.1)
    made = rl.Reinforce(envs=envs, network=network, optimizer=sgd, max_steps=9, baseline="none")
    cells = np.array([0, 2])
    params = {"params": state_of(network, cells)["params"]}
    trained = TrainedAgent(saved(tmp_path, made, None, {"params": params}))
    assert trained.observation_names == ["cell 0", "cell 1", "cell 2"]
    functions = trained.score_functions()
    assert [*functions] == ["policy"]  # without that baseline no critic learns
    wanted = jax.jit(lambda cells: network.apply(params, cells, method="policy"))(cells)
    found = jax.jit(functions["policy"].fn)(np.eye(3, dtype=np.float32)[cells])
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
