"""Exported models give what the library does, without it."""

import hashlib
import json
import pathlib
import subprocess
import sys
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import quick

from jaxvision import data, losses, models, rl, train
from jaxvision.losses import variational
from jaxvision.rl import tabular
from jaxvision.train.agents import TrainedAgent
from jaxvision.train.run.record import make_record

NAMES = ("cat", "dog", "owl")
INPUTS = train.Inputs((0.4,), (0.3,))
SIDE = 16
BLOCK = "import sys; sys.modules.update(dict.fromkeys(('jaxvision', 'flax', 'optax')))"


def pixels(rows: int = 3, size: tuple[int, int] = (SIDE, SIDE), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, *size, 1), dtype=np.uint8)


def dataset(**fields: Any) -> data.Dataset:
    return data.from_arrays({"image": pixels(), "label": np.arange(3), **fields}, class_names=NAMES)


class Resized(NamedTuple):
    """A data set of images that were resized, as far as a record tells of it."""

    images: data.Dataset
    preprocessing: data.Preprocessing

    def describe(self) -> dict[str, Any]:
        return {**self.images.describe(), "preprocessing": self.preprocessing.describe()}


def saved(folder: pathlib.Path, step: Any, learned: Any, state: Any) -> train.SavedRun:
    """A run, as if it were read from its folder."""
    if not isinstance(step, rl.Agent | tabular.TemporalDifference | None):
        step = train.make_train_step(step, optax.sgd(0.1))
    return train.SavedRun(folder, 7, make_record(None, step, learned), state)


def state_of(model: nn.Module, *inputs: Any) -> dict[str, Any]:
    """The state of a model with drawn parameters and statistics."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)
    random = np.random.default_rng(0)

    def draw(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        wide = 3 / np.sqrt(np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.3
        return (wide * random.normal(size=leaf.shape)).astype(leaf.dtype)

    drawn = jax.tree.map(draw, shapes)
    params = drawn.pop("params")
    return {"params": params, "model_state": jax.tree.map(lambda leaf: 0.5 + abs(leaf), drawn)}


def classifier(
    folder: pathlib.Path, name: str = "lenet5", how: data.Preprocessing | None = None, **options
) -> train.classification.TrainedClassifier:
    model = models.create_model(name, num_classes=3, in_channels=1, **options)
    step = train.classification.make_loss_fn(model, inputs=INPUTS)
    learned = dataset() if how is None else Resized(dataset(), how)
    state = state_of(model, np.zeros((1, SIDE, SIDE, 1), np.float32))
    return train.classification.TrainedClassifier(saved(folder, step, learned, state))


def load(exported: train.Exported) -> jax.export.Exported:
    return jax.export.deserialize(bytearray((exported.folder / "model.stablehlo").read_bytes()))


def convolutions(exported: train.Exported) -> list[str]:
    """The lines of a program that convolve by XLA's own operation."""
    lines = load(exported).mlir_module().splitlines()
    return [line for line in lines if "stablehlo.convolution(" in line]


def call(exported: train.Exported, *inputs: Any) -> dict[str, np.ndarray]:
    """What the program on the disk gives, with the shapes and types that were told."""
    outputs = jax.device_get(jax.jit(load(exported).call)(*inputs))
    told = {info.name: (info.dtype, info.shape[1:]) for info in exported.outputs}
    assert told == {name: (each.dtype.name, each.shape[1:]) for name, each in outputs.items()}
    assert {len(each) for each in outputs.values()} == {len(inputs[0])}
    return outputs


def assert_near(given: dict[str, np.ndarray], **wanted: Any) -> None:
    assert given.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(given[name], array, rtol=1e-5, atol=1e-5, err_msg=name)
        assert np.ptp(given[name]) > 0, f"{name} is the same everywhere"


def test_a_classifier_for_any_batch_size(tmp_path) -> None:
    trained = classifier(tmp_path)
    exported = train.export(trained)
    assert exported.folder == tmp_path / "export"
    for rows in (1, 3):
        images = pixels(rows)
        said = trained.predict([{"image": images}])
        assert_near(call(exported, images), logits=said.logits, probabilities=said.probabilities)
    (images,) = exported.inputs
    assert str(images) == "images: uint8 (batch, 16, 16, 1), pixels from 0 to 255"
    assert exported.outputs[1].names == NAMES
    with pytest.raises(ValueError, match="Expected value >= 1 for dimension variable 'batch'"):
        call(exported, pixels(0))


def test_a_folder_is_enough(tmp_path) -> None:
    """From `fit` to a process that has neither this library nor Flax."""
    model = models.create_model("mlp", num_classes=3, in_channels=1, hidden_sizes=(8,))
    learned, tx = dataset(), optax.sgd(0.1)
    state = train.init_state(jax.random.key(0), model, tx, learned.sample_batch())
    step = train.make_train_step(train.classification.make_loss_fn(model, inputs=INPUTS), tx)
    one = train.parallelize(step, train.data_mesh(jax.devices()[:1]))
    train.fit(one, state, learned.batches(3), num_steps=2, run_dir=tmp_path / "run")
    exported = train.export(tmp_path / "run", tmp_path / "out", image_size=(40, 31), step=2)
    assert exported.folder == tmp_path / "out"

    images = pixels(2, (40, 31))
    np.save(tmp_path / "images.npy", images)
    program = [
        BLOCK,
        "import numpy",
        "images = numpy.load('../images.npy')",
        *json.loads((tmp_path / "out" / "model.json").read_text())["loading"],
        "numpy.savez('../outputs.npz', **outputs)",
        "assert sys.modules['jaxvision'] is None",
    ]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(program)],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    trained = train.restore(tmp_path / "run")
    resized = np.stack([data.resize_and_crop(each, trained.preprocessing) for each in images])
    said = trained.predict([{"image": resized}])
    outputs = dict(np.load(tmp_path / "outputs.npz"))
    assert_near(outputs, logits=said.logits, probabilities=said.probabilities)


def test_what_the_description_says(tmp_path) -> None:
    exported = train.export(classifier(tmp_path, "mlp"), platforms=["tpu", "cpu", "cpu"])
    content = json.loads((exported.folder / "model.json").read_text())
    assert [content[name] for name in ("schema", "task", "dtype", "needs", "platforms")] == [
        1,
        "classification",
        "float32",
        ["jax", "flatbuffers"],
        ["tpu", "cpu"],
    ]
    assert content["run"] == {"folder": str(tmp_path), "step": 7}
    assert content["inputs"] == [
        {
            "name": "images",
            "shape": ["batch", SIDE, SIDE, 1],
            "dtype": "uint8",
            "meaning": "pixels from 0 to 255",
        }
    ]
    assert [output["name"] for output in content["outputs"]] == ["logits", "probabilities"]
    assert content["outputs"][1]["names"] == list(NAMES)
    assert content["versions"]["jax"] == jax.__version__
    program = (exported.folder / "model.stablehlo").read_bytes()
    assert content["program"]["sha256"] == hashlib.sha256(program).hexdigest()
    assert content["program"]["bytes"] == exported.num_bytes == len(program)
    assert content["program"]["calling_convention"] == load(exported).calling_convention_version
    assert {each.name for each in exported.folder.iterdir()} == {"model.stablehlo", "model.json"}
    assert exported.loading[1].count(str(exported.folder / "model.stablehlo")) == 1


@pytest.mark.parametrize("how", ["bilinear", "bicubic", "nearest"])
def test_images_are_resized_and_cropped_as_on_the_host(how: str, tmp_path) -> None:
    trained = classifier(tmp_path, "mlp", data.Preprocessing(SIDE, 0.8, how), hidden_sizes=(4,))
    exported = train.export(trained, image_size=(31, 70))
    images = pixels(2, (31, 70))
    resized = np.stack([data.resize_and_crop(each, trained.preprocessing) for each in images])
    assert resized.shape[1:] == (SIDE, SIDE, 1)
    said = trained.predict([{"image": resized}])
    assert_near(call(exported, images), logits=said.logits, probabilities=said.probabilities)


def test_bfloat16_is_near_and_half_as_large(tmp_path) -> None:
    trained = classifier(tmp_path, "lenet5")
    wide = train.export(trained, tmp_path / "wide", platforms=["cpu"])
    narrow = train.export(trained, tmp_path / "narrow", dtype="bfloat16", platforms=["cpu"])
    before, after = call(wide, pixels()), call(narrow, pixels())
    np.testing.assert_allclose(after["probabilities"], before["probabilities"], atol=0.02)
    assert np.abs(after["logits"] - before["logits"]).max() > 1e-4  # it is not float32 after all
    kernels = [x.nbytes for x in jax.tree.leaves(trained.variables["params"]) if x.ndim > 1]
    assert abs(wide.num_bytes - narrow.num_bytes - sum(kernels) / 2) < 0.1 * sum(kernels)
    computed = convolutions(narrow)
    assert computed
    assert all("bf16" in line and "xf32" not in line for line in computed)
    # A model that was made for bfloat16 computes in float32 where that is asked for.
    made = classifier(tmp_path, "lenet5", dtype="bfloat16")
    again = call(train.export(made, tmp_path / "again", platforms=["cpu"]), pixels())
    np.testing.assert_allclose(again["logits"], before["logits"], atol=1e-5)


def test_every_platform_has_its_convolutions(tmp_path) -> None:
    """Depthwise ones are XLA's own on a GPU and a TPU, and sums of shifts on a CPU."""
    trained = classifier(tmp_path, "mobilenet_v1")
    several = train.export(trained, tmp_path / "several", platforms=["cpu", "cuda", "tpu"])
    alone = train.export(trained, tmp_path / "alone", platforms=["cpu"])
    # The first of them; maps of the last ones are a single pixel here.
    native = "feature_group_count = 32 "
    found = [any(native in line for line in convolutions(each)) for each in (several, alone)]
    assert found == [True, False]
    assert load(several).platforms == several.platforms == ("cpu", "cuda", "tpu")
    # The numbers of the model are there once.
    assert 0 < several.num_bytes - alone.num_bytes < 100_000 < alone.num_bytes


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
    if kind == "pqn":
        outputs = jax.jit(made.network.apply)(params, seen)
        assert_near(given, values=made.head.values(outputs))
    else:
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
    with pytest.raises(ValueError, match=r"take one, trained.seed\(0\)"):
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


class Odd(train.Trained):
    """A task of somebody else."""

    fn: Any = None

    def serving(self) -> train.Serving:
        numbers = train.ArrayInfo("numbers", ("batch", 4), "float32", "some")
        return train.Serving(lambda x: {"y": self.fn(x)}, [numbers], {"y": "others"})


def odd(folder: pathlib.Path, fn: Any) -> train.Trained:
    trained = Odd(saved(folder, None, None, {}))
    trained.fn = fn
    return trained


def test_a_task_of_ones_own(tmp_path) -> None:
    exported = train.export(odd(tmp_path, lambda x: jnp.sort(x)[:, :2]))
    assert [(each.name, each.shape, each.meaning) for each in exported.outputs] == [
        ("y", ("batch", 2), "others")
    ]
    numbers = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    np.testing.assert_array_equal(call(exported, numbers)["y"], np.sort(numbers)[:, :2])
    with pytest.raises(NotImplementedError, match=r"give Trained a method serving\(\)"):
        train.export(train.Trained(saved(tmp_path, None, None, {})))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x.reshape(len(x), 2, 2),
        lambda x: x if x.shape[0] > 4 else -x,
    ],
)
def test_a_batch_of_a_known_size_is_needed(fn, tmp_path) -> None:
    message = r"needs a batch of a known size: .*take the size from x.shape\[0\] and not from len"
    with pytest.raises(NotImplementedError, match=message):
        train.export(odd(tmp_path, fn))
    assert not (tmp_path / "export").exists()


def looped(x: jax.Array) -> jax.Array:
    def body(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
        return jax.pure_callback(np.sin, jax.typeof(carry), carry, vmap_method="broadcast_all"), _

    return jax.lax.scan(body, x, None, 2)[0]


def printing(x: jax.Array) -> jax.Array:
    jax.debug.print("{}", x.sum())
    return x


@pytest.mark.parametrize(("fn", "name"), [(looped, "pure_callback"), (printing, "debug_")])
def test_callbacks_stay_behind(fn, name: str, tmp_path) -> None:
    message = rf"its program calls Python \({name}.*take the callbacks and jax.debug out"
    with pytest.raises(NotImplementedError, match=message):
        train.export(odd(tmp_path, fn))


def test_errors_of_the_model_are_its_own(tmp_path) -> None:
    with pytest.raises(TypeError, match="dot_general requires contracting dimensions"):
        train.export(odd(tmp_path, lambda x: x @ np.ones((3, 3), np.float32)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "unknown dtype 'float16'; did you mean 'bfloat16'"),
        ({"platforms": ["gpu"]}, r"unknown platform 'gpu'.*\(known: cpu, cuda, rocm, tpu\)"),
        ({"platforms": []}, "platforms must be at least one of cpu"),
        ({"step": 3}, "step=3 goes with a folder"),
        ({"image_size": 0}, "size must be .* whole numbers above 0"),
    ],
)
def test_options_that_are_refused(options, message: str, tmp_path) -> None:
    with pytest.raises(ValueError, match=message):
        train.export(classifier(tmp_path, "mlp", hidden_sizes=(4,)), **options)
    with pytest.raises(train.CheckpointError, match="is not the folder of a run"):
        train.export(tmp_path)


def test_a_second_export_takes_the_place_of_the_first(tmp_path) -> None:
    trained = classifier(tmp_path, "mlp", hidden_sizes=(4,))
    train.export(trained, platforms=["cpu"])
    exported = train.export(trained, image_size=20, platforms=["cpu"])
    assert load(exported).in_avals[0].shape[1:] == (20, 20, 1)
    content = json.loads((exported.folder / "model.json").read_text())
    assert content["inputs"][0]["shape"] == ["batch", 20, 20, 1]
