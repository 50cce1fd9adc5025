"""Pretrained models, with weights and preprocessing, from a model hub or a folder."""

import dataclasses
import json
import pathlib
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax.typing import DTypeLike

from jaxvision._preprocessing import Preprocessing, from_timm
from jaxvision.models.base import Model
from jaxvision.models.registry import create_model, list_models
from jaxvision.models.timm_names import TIMM_NAMES
from jaxvision.models.weights.errors import WeightsError
from jaxvision.models.weights.loading import load_weights
from jaxvision.suggest import unknown

PyTree = Any

WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")

MAX_CLASSES = 1_000_000
"""The most classes that a configuration may ask for."""

CONNECT_SECONDS = 10.0
"""How long to wait for a connection to the hub, as its client does."""

# Options of timm's models that differ from the defaults here.
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
        preprocessing: Preprocessing that images need before the model; see `data.preprocess`.
        class_names: The class of each logit; empty if the classes are unknown.
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
    """Loads one of timm's models with its weights and their preprocessing, without torch.

    Args:
        source: A repository of the Hugging Face hub, such as "timm/resnet50.a1_in1k", which is
            downloaded once; or a folder that holds its `config.json` and `model.safetensors`.
        num_classes: The number of logits; None takes that of the weights. Another number makes the
            head anew; see `load_weights`.
        in_channels: The number of channels of images; None takes that of the weights. For another
            number the stem is adapted, and means and deviations are averaged over the colors.
        dtype: See `create_model`.
        key: See `load_weights`.
        revision: A branch, tag or commit of the repository; None takes the newest.
        **options: Options of the model; see `create_model`.

    Returns:
        Model, variables and preprocessing, and the names of the classes unless the head is new.

    Raises:
        ImportError: `source` is no folder, and huggingface-hub is not installed to download it.
        WeightsError: The hub cannot be reached or has no such repository, or the model is not among
            those known here; the message says what to do.

    ```python
    pretrained = models.load_pretrained("timm/resnet50.a1_in1k")
    x = data.preprocess(data.decode_image(pathlib.Path("cat.jpg")), pretrained.preprocessing)
    logits = pretrained.model.apply(pretrained.variables, x[None])
    ```
    """
    folder = pathlib.Path(source).expanduser()
    if not folder.is_dir():
        folder = _download(str(source), revision)
    config = _read_config(folder, source)
    if num_classes is None and not config.num_classes:
        raise WeightsError(f"{source} has no classifier; give num_classes for a new one")
    preprocessing = config.preprocessing
    if in_channels is not None:
        preprocessing = preprocessing.for_channels(in_channels)
    model = create_model(
        TIMM_NAMES.get(config.architecture, config.architecture),
        num_classes=num_classes or config.num_classes,
        in_channels=in_channels or config.channels,
        dtype=dtype,
        **{**TIMM_OPTIONS.get(config.architecture, {}), **options},
    )
    variables = load_weights(model, _weights_file(folder), key=key, image_size=preprocessing.size)
    is_same_head = num_classes in (None, config.num_classes)
    return Pretrained(model, variables, preprocessing, config.class_names if is_same_head else ())


class _Config(NamedTuple):
    """The contents of a `config.json`; `num_classes` is 0 for weights without a classifier."""

    architecture: str
    num_classes: int
    channels: int
    preprocessing: Preprocessing
    class_names: tuple[str, ...]


def _download(repository: str, revision: str | None) -> pathlib.Path:
    """Downloads a repository into the hub's cache and returns its folder."""
    try:
        import huggingface_hub
        from huggingface_hub import constants, errors
        from huggingface_hub.utils import validate_repo_id
    except ImportError as error:
        raise ImportError(
            f"{repository} is no folder, and downloading it needs huggingface-hub: "
            "pip install huggingface-hub"
        ) from error
    unreachable = None
    try:
        validate_repo_id(repository)
        # Without a connection, the hub's client retries for over 20 s before it reads its cache.
        if not constants.HF_HUB_OFFLINE:
            unreachable = _why_unreachable()
        options: dict[str, Any] = {} if unreachable is None else {"local_files_only": True}
        config = huggingface_hub.hf_hub_download(
            repository, "config.json", revision=revision, **options
        )
        for file in WEIGHTS_FILES:
            try:
                huggingface_hub.hf_hub_download(repository, file, revision=revision, **options)
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
            f"{repository} cannot be downloaded here ({unreachable or error}). Where there is a "
            "connection, run\n"
            f"  hf download {repository} config.json {WEIGHTS_FILES[0]} --local-dir FOLDER\n"
            "then copy the folder here and give its path: load_pretrained('FOLDER')"
        ) from error
    return pathlib.Path(config).parent


def _why_unreachable() -> str | None:
    """Tries to connect to the hub, twice; says why that fails, or None if it may be reachable."""
    from huggingface_hub import constants

    address = urllib.parse.urlsplit(constants.ENDPOINT)
    if address.hostname is None or urllib.request.getproxies().keys() - {"no"}:
        return None  # only the proxy can connect to the hub
    port = address.port or (80 if address.scheme == "http" else 443)
    reason = None
    for wait in (0, 1):
        time.sleep(wait)
        try:
            with socket.create_connection((address.hostname, port), timeout=CONNECT_SECONDS):
                return None
        except OSError as error:
            reason = f"no connection to {address.hostname}: {error}"
    return reason


def _read_config(folder: pathlib.Path, source: str | pathlib.Path) -> _Config:
    """Reads and checks `config.json`, whose values may be anything."""
    config = _read_json(folder)
    trained, architecture = config["pretrained_cfg"], config["architecture"]
    if not isinstance(trained, dict) or not isinstance(architecture, str):
        raise WeightsError(
            f"{folder / 'config.json'} is not one of timm's: 'architecture' must be a name and "
            "'pretrained_cfg' an object"
        )
    name = TIMM_NAMES.get(architecture, architecture)
    if name not in list_models():
        message = unknown("architecture", name[:80], list_models(), TIMM_NAMES)
        raise WeightsError(f"{source}: {message}")
    try:
        preprocessing = from_timm(trained)
    except ValueError as error:
        raise WeightsError(f"{source}: its preprocessing is not known here: {error}") from error
    given = (part.get("num_classes") for part in (config, trained))
    num_classes = next((number for number in given if number is not None), 0)
    if type(num_classes) is not int or not 0 <= num_classes <= MAX_CLASSES:
        raise WeightsError(
            f"{source}: num_classes must be a whole number from 0 to {MAX_CLASSES}, got "
            f"{str(num_classes)[:80]}"
        )
    names = config.get("label_names") or trained.get("label_names") or ()
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise WeightsError(f"{source}: label_names must be a list of names")
    if names and num_classes and len(names) != num_classes:
        raise WeightsError(
            f"{source}: there are {len(names)} label_names for {num_classes} classes"
        )
    known_names = tuple(names) if num_classes else ()
    return _Config(architecture, num_classes, trained["input_size"][0], preprocessing, known_names)


def _read_json(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        text = path.read_text(encoding="utf-8")
        config = json.loads(text)
    except FileNotFoundError as error:
        raise WeightsError(
            f"{folder} has no config.json, which names the model of the weights; "
            "load_weights(model, path) reads weights without one"
        ) from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is no JSON object: {error}") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path} is no JSON object, but a {type(config).__name__}")
    if not {"architecture", "pretrained_cfg"} <= config.keys():
        raise WeightsError(
            f"{path} is not one of timm's: it lacks 'architecture' or 'pretrained_cfg'; it has "
            f"{', '.join(config)[:200]}"
        )
    return config


def _weights_file(folder: pathlib.Path) -> pathlib.Path:
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(f"{folder} has none of {', '.join(WEIGHTS_FILES)}")
