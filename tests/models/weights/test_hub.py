"""Weights with their preprocessing, from a folder and from a hub that is not there."""

import builtins
import contextlib
import json
import pathlib

import huggingface_hub
import jax
import make_torch_zoo as zoo
import numpy as np
import pytest
from huggingface_hub import constants, errors

from jaxvision import data, models
from jaxvision.models.timm_names import TIMM_NAMES
from jaxvision.models.weights import hub
from jaxvision.models.weights.hub import TIMM_OPTIONS

CONFIG = {
    "architecture": "resnet18",
    "num_classes": 3,
    "pretrained_cfg": {
        "input_size": [3, 32, 32],
        "crop_pct": 0.95,
        "interpolation": "bicubic",
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 0.6, 0.7],
        "label_names": ["cat", "dog", "eel"],
    },
}


@pytest.fixture(scope="module")
def variables():
    model = models.create_model("resnet18", num_classes=3)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32))
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: random.uniform(0.1, 1, leaf.shape).astype("f"), shapes)


@pytest.fixture
def folder(tmp_path: pathlib.Path, variables) -> pathlib.Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    model = models.create_model("resnet18", num_classes=3)
    models.save_weights(model, variables, tmp_path / "model.safetensors")
    return tmp_path


def change(folder: pathlib.Path, **changes) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))


def test_a_folder(folder, variables) -> None:
    pretrained = models.load_pretrained(folder)
    assert pretrained.model == models.create_model("resnet18", num_classes=3, in_channels=3)
    jax.tree.map(np.testing.assert_array_equal, pretrained.variables, variables)
    assert pretrained.class_names == ("cat", "dog", "eel")
    assert pretrained.preprocessing == data.Preprocessing(
        32, crop=0.95, interpolation="bicubic", mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)
    )


def test_other_classes_and_channels(folder, variables) -> None:
    with pytest.warns(UserWarning, match="made anew or adapted"):
        pretrained = models.load_pretrained(
            folder, num_classes=7, in_channels=1, dtype="bfloat16", small_images=False
        )
    params = pretrained.variables["params"]
    assert params["head"]["kernel"].shape == (512, 7)
    np.testing.assert_allclose(
        params["stem"]["conv"]["kernel"],
        variables["params"]["stem"]["conv"]["kernel"].sum(2, keepdims=True),
        rtol=1e-6,
    )
    assert pretrained.class_names == ()
    assert pretrained.preprocessing.mean == pytest.approx((0.2,))
    assert pretrained.preprocessing.std == pytest.approx((0.6,))
    assert models.describe(pretrained.model)["dtype"] == "bfloat16"


def test_weights_without_a_classifier(folder) -> None:
    change(folder, num_classes=0)
    with pytest.raises(models.WeightsError, match="has no classifier; give num_classes"):
        models.load_pretrained(folder)


def test_the_hub(folder, variables, monkeypatch) -> None:
    asked = []

    def download(repository: str, file: str, revision: str | None) -> str:
        asked.append((repository, file, revision))
        if file == "model.safetensors":
            raise errors.EntryNotFoundError("no such file")
        return str(folder / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(hub, "_why_unreachable", lambda: None)
    name = "timm/resnet18.tiny"
    pretrained = models.load_pretrained(name, revision="v2")
    jax.tree.map(np.testing.assert_array_equal, pretrained.variables, variables)
    assert asked == [
        (name, "config.json", "v2"),
        (name, "model.safetensors", "v2"),
        (name, "pytorch_model.bin", "v2"),
    ]


def test_without_a_connection(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        models.WeightsError,
        match=r"(?s)cannot be downloaded here .*hf download timm/resnet50.a1_in1k config.json "
        r"model.safetensors --local-dir FOLDER\n.*load_pretrained\('FOLDER'\)",
    ):
        models.load_pretrained("timm/resnet50.a1_in1k")


def refuse(*_: object, **__: object) -> None:
    raise OSError("refused")


def test_without_a_connection_nothing_is_tried_again_and_again(monkeypatch, tmp_path) -> None:
    asked = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub.urllib.request, "getproxies", dict)
    monkeypatch.setattr(hub.socket, "create_connection", refuse)
    monkeypatch.setattr(hub.time, "sleep", asked.append)
    with pytest.raises(models.WeightsError, match=r"no connection to .*: refused"):
        models.load_pretrained("timm/resnet50.a1_in1k")
    assert asked == [0, 1]


def test_a_proxy_is_left_to_find_the_hub(monkeypatch) -> None:
    monkeypatch.setattr(hub.socket, "create_connection", refuse)
    monkeypatch.setattr(hub.urllib.request, "getproxies", lambda: {"https": "http://proxy:80"})
    assert hub._why_unreachable() is None


def test_what_is_no_repository() -> None:
    with pytest.raises(models.WeightsError, match="'no/such/folder' is neither a folder nor a rep"):
        models.load_pretrained("no/such/folder")


def test_without_the_package(monkeypatch) -> None:
    real = builtins.__import__

    def no_hub(name, *rest):
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_hub)
    with pytest.raises(ImportError, match="pip install huggingface-hub"):
        models.load_pretrained("timm/resnet50.a1_in1k")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "resnet19"}, "unknown architecture 'resnet19'; did you mean 'resnet1"),
        (
            {"pretrained_cfg": {**CONFIG["pretrained_cfg"], "crop_mode": "border"}},
            "preprocessing is not known here: crop_mode must be",
        ),
        ({"pretrained_cfg": {}}, "preprocessing is not known here: input_size must be"),
    ],
)
def test_unknown_configurations(folder, changes, message: str) -> None:
    change(folder, **changes)
    with pytest.raises(models.WeightsError, match=message):
        models.load_pretrained(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON object"),
        ("3", "is no JSON object"),
        ("[]", "is no JSON object"),
        ('{"model_type": "vit"}', "lacks 'architecture' or 'pretrained_cfg'; it has model_type"),
    ],
)
def test_damaged_configurations(folder, text: str, message: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(models.WeightsError, match=message):
        models.load_pretrained(folder)


def test_missing_files(folder) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(models.WeightsError, match=r"has none of model\.safetensors, pytorch_model"):
        models.load_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(models.WeightsError, match=r"has no config\.json"):
        models.load_pretrained(folder)


@pytest.mark.parametrize("architecture", sorted({*hub.TIMM_NAMES, *hub.TIMM_OPTIONS}))
def test_names_and_options_of_timm_make_a_model(architecture) -> None:
    name = hub.TIMM_NAMES.get(architecture, architecture)
    model = models.create_model(name, **hub.TIMM_OPTIONS.get(architecture, {}))
    for option, value in model.torch_names()["timm"].options.items():
        assert getattr(model, option) == value


def test_weights_of_timm_are_loaded_as_timm_has_them(tmp_path: pathlib.Path) -> None:
    changes = {"architecture": "mobilenetv3_small_100", "num_classes": 3}
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    model = models.create_model("mobilenet_v3_small", num_classes=3, in_channels=3, epsilon=1e-5)
    images = np.zeros((1, 32, 32, 3), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, "f"), shapes)
    file = tmp_path / "model.safetensors"
    models.save_weights(model, variables, file, library="timm")
    assert models.load_pretrained(tmp_path).model == model
    with pytest.warns(UserWarning, match=r"has epsilon=1e-05, but epsilon=0.001 here"):
        models.load_weights(models.create_model("mobilenet_v3_small", num_classes=3), file)
    with pytest.warns(UserWarning, match=r"has epsilon=0.001, but epsilon=1e-05 here"):
        models.save_weights(model, variables, tmp_path / "other.safetensors", library="torchvision")


def test_every_model_of_timm_is_known_by_its_name_there() -> None:
    cases = [case for case in zoo.CASES if case.package == "timm"]
    known = {case.there: TIMM_NAMES.get(case.there, case.there) for case in cases}
    assert known == {case.there: case.name for case in cases}
    options = {case.there: case.ours for case in cases if "hidden_sizes" not in case.ours}
    assert {there: TIMM_OPTIONS.get(there, {}) for there in options} == options
    assert set(TIMM_NAMES.values()) <= set(models.list_models())


@pytest.mark.parametrize("channels", [1, 4])
def test_the_channels_are_those_of_the_weights(tmp_path: pathlib.Path, channels: int) -> None:
    model = models.create_model("resnet18", num_classes=3, in_channels=channels)
    images = np.zeros((1, 32, 32, channels), np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, "f"), shapes)
    models.save_weights(model, variables, tmp_path / "model.safetensors")
    trained = {
        **CONFIG["pretrained_cfg"],
        "input_size": [channels, 32, 32],
        "mean": [0.5] * channels,
        "std": [0.5] * channels,
    }
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "pretrained_cfg": trained}))
    assert models.load_pretrained(tmp_path).model == model


ODD = (None, True, -1, 0, 1.5, 10**9, 10**30, "x", "", [], [1], {}, {"a": 1}, [[]], float("nan"))


@pytest.mark.parametrize("field", ["architecture", "num_classes", "label_names", "pretrained_cfg"])
def test_odd_values_in_a_configuration(folder, field: str) -> None:
    """They are an error, or values that are usable."""
    for value in ODD:
        change(folder, **{field: value})
        with contextlib.suppress(models.WeightsError):
            check(hub._read_config(folder, folder))


@pytest.mark.parametrize(
    "field", ["input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std", "label_names"]
)
def test_odd_values_of_the_preprocessing(folder, field: str) -> None:
    for value in (*ODD, [3, 10**6, 10**6], [3, -1, 32], [3, 32.5, 32], [[3], 32, 32]):
        change(folder, pretrained_cfg={**CONFIG["pretrained_cfg"], field: value})
        with contextlib.suppress(models.WeightsError):
            check(hub._read_config(folder, folder))


def check(config) -> None:
    assert config.architecture == "resnet18"
    assert config.num_classes in range(10**6)
    assert config.channels in range(1, 5)
    assert len(config.class_names) in (0, config.num_classes)
    assert max(config.preprocessing.size) <= 4096
    assert np.isfinite([*config.preprocessing.mean, *config.preprocessing.std]).all()


def test_sizes_that_would_take_all_memory_are_refused(folder) -> None:
    trained = {**CONFIG["pretrained_cfg"], "input_size": [3, 10**6, 10**6]}
    change(folder, pretrained_cfg=trained)
    with pytest.raises(
        models.WeightsError, match=r"input_size must be .* from 1 to 4096, got \[3, 1"
    ):
        models.load_pretrained(folder)
