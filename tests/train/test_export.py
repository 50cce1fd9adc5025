"""Exported models give what the library does, without it."""

import hashlib
import json
import pathlib
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exported_runs import (
    INPUTS,
    NAMES,
    SIDE,
    assert_near,
    call,
    classifier,
    convolutions,
    dataset,
    load,
    pixels,
    saved,
)

from jaxvision import data, models, train

BLOCK = "import sys; sys.modules.update(dict.fromkeys(('jaxvision', 'flax', 'optax')))"


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
    assert content["run"] == {"name": tmp_path.name, "step": 7}
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
    own = trained.computing_in("bfloat16").predict([{"image": pixels()}])
    np.testing.assert_allclose(after["logits"], own.logits, rtol=1e-5)
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


@pytest.mark.slow
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


class Odd(train.Trained):
    """A task of somebody else."""

    fn: Any = None
    output = "y"

    def serving(self) -> train.Serving:
        numbers = train.ArrayInfo("numbers", ("batch", 4), "float32", "some")
        return train.Serving(lambda x: {self.output: self.fn(x)}, [numbers], {"y": "others"})


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
    misnamed = odd(tmp_path, jnp.sin)
    misnamed.output = "z"
    with pytest.raises(ValueError, match="describes the outputs y, and its function gives z"):
        train.export(misnamed)


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


def test_the_same_program_every_time(tmp_path) -> None:
    """It has nothing of the machine that wrote it, such as the paths of files."""
    limit = jax.config.jax_traceback_in_locations_limit
    folders = [train.export(classifier(tmp_path), tmp_path / name).folder for name in "ab"]
    written = [(folder / "model.stablehlo").read_bytes() for folder in folders]
    assert written[0] == written[1]
    assert b"jaxvision" not in written[0]
    assert b".py" not in written[0]
    assert jax.config.jax_traceback_in_locations_limit == limit


def test_a_second_export_takes_the_place_of_the_first(tmp_path) -> None:
    trained = classifier(tmp_path, "mlp", hidden_sizes=(4,))
    train.export(trained, platforms=["cpu"])
    exported = train.export(trained, image_size=20, platforms=["cpu"])
    assert load(exported).in_avals[0].shape[1:] == (20, 20, 1)
    content = json.loads((exported.folder / "model.json").read_text())
    assert content["inputs"][0]["shape"] == ["batch", 20, 20, 1]
