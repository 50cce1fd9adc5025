"""Pretrained weights with all that belongs to them, from a model hub or a folder."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from jax.typing import DTypeLike

from jaxvision._preprocessing import Preprocessing, from_timm
from jaxvision._suggest import unknown
from jaxvision.models.base import Model
from jaxvision.models.registry import create_model, list_models
from jaxvision.models.weights.loading import load_weights
from jaxvision.models.weights.torch_files import WeightsError

PyTree = Any

WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")

# What timm calls models that are called otherwise here.
TIMM_NAMES: Mapping[str, str] = {
    "legacy_senet154": "senet154",
    "legacy_seresnet50": "se_resnet50",
    "legacy_seresnext50_32x4d": "se_resnext50_32x4d",
    "legacy_xception": "xception",
    "mixer_b16_224": "mixer_b_16",
    "mobilenetv1_100": "mobilenet_v1",
    "mobilenetv1_125": "mobilenet_v1",
    "mobilenetv2_035": "mobilenet_v2",
    "mobilenetv2_050": "mobilenet_v2",
    "mobilenetv2_075": "mobilenet_v2",
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv2_140": "mobilenet_v2",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "mobilenetv3_small_100": "mobilenet_v3_small",
    "resnetv2_101": "preact_resnet101",
    "resnetv2_152": "preact_resnet152",
    "resnetv2_18": "preact_resnet18",
    "resnetv2_34": "preact_resnet34",
    "resnetv2_50": "preact_resnet50",
    "seresnet50": "se_resnet50",
    "seresnext50_32x4d": "se_resnext50_32x4d",
    "swin_tiny_patch4_window7_224": "swin_t",
    "vit_base_patch16_224": "vit_b_16",
    "vit_base_patch16_384": "vit_b_16",
    "vit_base_patch32_224": "vit_b_32",
    "vit_base_patch32_384": "vit_b_32",
    "vit_large_patch16_224": "vit_l_16",
    "vit_large_patch16_384": "vit_l_16",
    "vit_large_patch32_224": "vit_l_32",
    "vit_large_patch32_384": "vit_l_32",
    "vit_small_patch16_224": "vit_s_16",
    "vit_small_patch16_384": "vit_s_16",
    "vit_small_patch32_224": "vit_s_32",
    "vit_small_patch32_384": "vit_s_32",
    "vit_tiny_patch16_224": "vit_ti_16",
    "vit_tiny_patch16_384": "vit_ti_16",
}

# What timm has in its models where ours have another default.
TIMM_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "efficientnet_b5": {"epsilon": 1e-05},
    "efficientnet_b6": {"epsilon": 1e-05},
    "efficientnet_b7": {"epsilon": 1e-05},
    "inception_v3": {"auxiliary_heads": False},
    "legacy_senet154": {"original": True},
    "legacy_seresnet50": {"original": True},
    "legacy_seresnext50_32x4d": {"original": True},
    "mobilenetv1_125": {"width_multiplier": 1.25},
    "mobilenetv2_035": {"width_multiplier": 0.35},
    "mobilenetv2_050": {"width_multiplier": 0.5},
    "mobilenetv2_075": {"width_multiplier": 0.75},
    "mobilenetv2_140": {"width_multiplier": 1.4},
    "mobilenetv3_large_100": {"epsilon": 1e-05},
    "mobilenetv3_small_100": {"epsilon": 1e-05},
}


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """A model that somebody trained.

    Attributes:
        model: The architecture.
        variables: Its parameters and statistics.
        preprocessing: What images need before the model sees them; see `data.preprocess`.
        class_names: What the logits mean, if that is known.
    """

    model: Model
    variables: dict[str, PyTree]
    preprocessing: Preprocessing
    class_names: tuple[str, ...] = ()


def load_pretrained(
    source: str | pathlib.Path,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    dtype: DTypeLike | None = None,
    key: jax.Array | None = None,
    revision: str | None = None,
    **options: Any,
) -> Pretrained:
    """Loads a model of timm's with its weights and their preprocessing, without torch.

    Args:
        source: A repository of the Hugging Face hub, such as "timm/resnet50.a1_in1k", which is
            downloaded once; or a folder that holds its `config.json` and `model.safetensors`.
        num_classes: The number of logits; None takes that of the weights. With another one, the
            head is made anew; see `load_weights`.
        in_channels: The number of channels images have; None takes that of the weights. With
            another one, the stem is adapted, and means and deviations are averaged over the colors.
        dtype: See `create_model`.
        key: See `load_weights`.
        revision: A branch, tag or commit of the repository; None takes the newest.
        **options: Of the model; see `create_model`.

    Returns:
        Model, variables and preprocessing.

    Raises:
        ImportError: The package that downloads is not installed.
        WeightsError: The hub cannot be reached, or has no such repository, or the model is not
            among those known here; the message says what to do.

        pretrained = models.load_pretrained("timm/resnet50.a1_in1k")
        x = data.preprocess(data.decode_image(pathlib.Path("cat.jpg")), pretrained.preprocessing)
        logits = pretrained.model.apply(pretrained.variables, x[None])
    """
    folder = pathlib.Path(source).expanduser()
    if not folder.is_dir():
        folder = _download(str(source), revision)
    config = _read_config(folder)
    trained = config["pretrained_cfg"]
    architecture = config["architecture"]
    name = TIMM_NAMES.get(architecture, architecture)
    if name not in list_models():
        raise WeightsError(f"{source}: {unknown('architecture', name, list_models())}")
    known_classes = config.get("num_classes", trained.get("num_classes"))
    if num_classes is None and not known_classes:
        raise WeightsError(f"{source} has no classifier; give num_classes for a new one")
    try:
        preprocessing = from_timm(trained)
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{source}: its preprocessing is not known here: {error}") from error
    if in_channels is not None:
        preprocessing = preprocessing.for_channels(in_channels)
    model = create_model(
        name,
        num_classes=num_classes or known_classes,
        in_channels=in_channels,
        dtype=dtype,
        **{**TIMM_OPTIONS.get(architecture, {}), **options},
    )
    variables = load_weights(model, _weights_file(folder), key=key, image_size=preprocessing.size)
    labels = config.get("label_names") or trained.get("label_names") or ()
    is_same_head = num_classes in (None, known_classes)
    return Pretrained(model, variables, preprocessing, tuple(labels) if is_same_head else ())


def _download(repository: str, revision: str | None) -> pathlib.Path:
    """Brings the files of a repository into the hub's cache, and says where they are."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise ImportError(
            f"{repository} is no folder, and to download it needs huggingface-hub: "
            "pip install 'jaxvision[hub]'"
        ) from error
    try:
        config = huggingface_hub.hf_hub_download(repository, "config.json", revision=revision)
        for file in WEIGHTS_FILES:
            try:
                huggingface_hub.hf_hub_download(repository, file, revision=revision)
                break
            except errors.EntryNotFoundError as error:
                if isinstance(error, errors.LocalEntryNotFoundError) or file == WEIGHTS_FILES[-1]:
                    raise
    except errors.HFValidationError as error:
        raise WeightsError(
            f"{repository!r} is neither a folder nor a repository such as 'timm/resnet50.a1_in1k'"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise WeightsError(
            f"the hub has no repository {repository!r}"
            + (f" with the revision {revision!r}" if revision else "")
            + ", or it is private: log in by `hf auth login`"
        ) from error
    except (errors.EntryNotFoundError, OSError) as error:
        raise WeightsError(
            f"{repository} cannot be downloaded here ({error}). Where there is a connection, run\n"
            f"  hf download {repository} config.json {WEIGHTS_FILES[0]} --local-dir FOLDER\n"
            "then copy the folder here and give its path: load_pretrained('FOLDER')"
        ) from error
    return pathlib.Path(config).parent


def _read_config(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())
        if {"architecture", "pretrained_cfg"} <= config.keys():
            return config
    except FileNotFoundError as error:
        raise WeightsError(
            f"{folder} has no config.json, which says what the weights are of; "
            "load_weights(model, path) reads weights without one"
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError, AttributeError) as error:
        raise WeightsError(f"{path} is no JSON object: {error}") from error
    raise WeightsError(
        f"{path} is none of timm's: it lacks 'architecture' or 'pretrained_cfg'; it has "
        f"{', '.join(config)}"
    )


def _weights_file(folder: pathlib.Path) -> pathlib.Path:
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(f"{folder} has none of {', '.join(WEIGHTS_FILES)}")
