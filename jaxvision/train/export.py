"""Export of trained models as programs that run without this library."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.export

from jaxvision.checks import check_name
from jaxvision.files import write_json, writing
from jaxvision.train.run.precision import DTYPES
from jaxvision.train.run.record import versions
from jaxvision.train.serving import BATCH, ArrayInfo, Serving, as_json
from jaxvision.train.tasks import Trained, restore

PROGRAM, DESCRIPTION = "model.stablehlo", "model.json"
SCHEMA = 1
"""The version of the format of `model.json`."""
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
READABLE = (
    "jax.export guarantees that a program can be read by versions of JAX that were released up to "
    "6 months after the one that wrote it, or up to 3 weeks before"
)


@dataclasses.dataclass(frozen=True)
class Exported:
    """A model that `export` has written.

    Attributes:
        folder: The folder of `model.stablehlo`, the program with its parameters, and `model.json`,
            its description.
        inputs: The inputs, in the order of the program's arguments.
        outputs: The outputs: a dict of arrays by these names.
        task: The task of the run.
        dtype: The type that the model computes in.
        platforms: The platforms on which the program runs, by their names in JAX.
        num_bytes: The size of the program.
    """

    folder: pathlib.Path
    inputs: tuple[ArrayInfo, ...]
    outputs: tuple[ArrayInfo, ...]
    task: str | None
    dtype: str
    platforms: tuple[str, ...]
    num_bytes: int

    @property
    def loading(self) -> tuple[str, ...]:
        """Lines of Python that load and call the program; they need only jax and flatbuffers."""
        return _loading(str(self.folder / PROGRAM), self.inputs)


def export(
    run: str | pathlib.Path | Trained,
    out: str | pathlib.Path | None = None,
    *,
    step: int | str | None = None,
    image_size: int | tuple[int, int] | None = None,
    dtype: str = "float32",
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> Exported:
    """Writes the model of a run as a program that needs JAX, but neither this library nor Flax.

    The program is StableHLO, made by `jax.export`, and contains the parameters. It takes a batch of
    one or more rows. Images are uint8, and the program does all preprocessing: resizing and
    cropping, scaling to [0, 1], and normalization. On each platform it uses the fastest
    convolutions, wherever it was written.

    The outputs depend on the task: logits and probabilities of a classifier, or of every head; a
    class and probabilities for each pixel; codes and reconstructions; images generated from noise;
    the values of actions, or a policy.

    Outputs are close to those of `predict`. Pixels are resized in integers, exactly as on the host
    (Pillow 13; older versions may differ by 1 in 255). In float32, probabilities then differ only
    by rounding: on a CPU by less than 1e-5, for LeNet-5 and MobileNet-v2 on the test digits. In
    bfloat16, those of LeNet-5 differ by 7e-5 on average and at most 0.02, those of MobileNet-v2 by
    0.002 and, for one doubtful image, by 0.35; the accuracies agree to 0.3%. GPUs and TPUs multiply
    with less precision by default, here as in `predict`.

    The program scales bytes to [0, 1]. It is wrong for a run that was trained on floating-point
    images of another scale, which the record of the run does not tell.

    Args:
        run: The folder of a run, or the result of `restore`, such as one seed of several agents.
        out: The folder to write into; None takes `export/` in the run's folder.
        step: Which checkpoint, as in `restore`.
        image_size: Height and width of the images that the program takes and resizes; one number is
            both. None takes images of the model's size, and resizes nothing.
        dtype: The type that the model computes in: "float32", or "bfloat16", which also halves the
            kernels. Outputs are float32.
        platforms: Where the program may run: "cpu", "cuda", "rocm", "tpu".

    Returns:
        The folder of the program, its inputs and its outputs.

    Raises:
        CheckpointError: The run cannot be read; see `restore`.
        ImportError: The package flatbuffers is missing.
        NotImplementedError: The task has nothing to export, the program calls Python, or the model
            needs a batch of a fixed size; the message says which, and what to do.
        ValueError: An option is not allowed, or the outputs that a task describes are not those of
            its function.

    >>> import tempfile, optax
    >>> from jaxvision import data, models, train
    >>> digits = data.load("digits", "test")
    >>> model = models.create_model("linear_classifier", num_classes=10)
    >>> state = train.init_state(jax.random.key(0), model, optax.sgd(0.1), digits.sample_batch())
    >>> step = train.make_train_step(train.classification.make_loss_fn(model), optax.sgd(0.1))
    >>> folder = tempfile.TemporaryDirectory()
    >>> _ = train.fit(step, state, digits.batches(16), num_steps=1, run_dir=folder.name)
    >>> exported = export(folder.name, image_size=(40, 30))
    >>> print(exported.inputs[0])
    images: uint8 (batch, 40, 30, 1), pixels from 0 to 255
    >>> [(output.name, output.shape) for output in exported.outputs]
    [('logits', ('batch', 10)), ('probabilities', ('batch', 10))]
    >>> folder.cleanup()
    """
    check_name("dtype", dtype, DTYPES)
    for platform in platforms:
        check_name("platform", platform, PLATFORMS)
    chosen = tuple(dict.fromkeys(platforms))
    if not chosen:
        raise ValueError(f"platforms must be at least one of {', '.join(PLATFORMS)}, got none")
    if isinstance(run, Trained) and step is not None:
        raise ValueError(f"step={step} goes with a folder; this run was restored already")
    trained = run if isinstance(run, Trained) else restore(run, step=step)
    serving = trained.computing_in(dtype).serving()
    if image_size is not None:
        serving = serving.for_images_of(image_size)
    with _without_places():
        program = _program(serving, chosen, str(trained.run.folder))
    exported = Exported(
        folder=pathlib.Path(out or trained.run.folder / "export").expanduser(),
        inputs=tuple(serving.inputs),
        outputs=tuple(_outputs(serving, program)),
        task=trained.record.task,
        dtype=dtype,
        platforms=program.platforms,
        num_bytes=0,
    )
    return _write(exported, trained, program)


def _program(serving: Serving, platforms: tuple[str, ...], where: str) -> jax.export.Exported:
    """Traces and lowers a function for all platforms and any batch size."""

    def fn(*inputs: jax.Array) -> dict[str, jax.Array]:
        return dict(serving.fn(*inputs))

    (batch,) = jax.export.symbolic_shape(BATCH)
    traced = jax.jit(fn)
    shapes = [_abstract(info, batch) for info in serving.inputs]
    try:
        callbacks = {*_callbacks(traced.trace(*shapes).jaxpr)}
    except Exception as error:
        _check_traces_for_one(fn, serving)  # an error in the model itself is raised here
        raise NotImplementedError(
            f"the model in {where} cannot be exported, because it needs a batch of a known size: "
            f"{_first_line(error)}. In the model, take the size from x.shape[0] and not from "
            "len(x), and let nothing but shapes depend on it"
        ) from error
    if callbacks:
        raise NotImplementedError(
            f"the model in {where} cannot be exported, because its program calls Python "
            f"({', '.join(sorted(callbacks))}), which is not there where it runs: take the "
            "callbacks and jax.debug out of the model"
        )
    return jax.export.export(traced, platforms=platforms)(*shapes)


@contextlib.contextmanager
def _without_places() -> Iterator[None]:
    """Keeps the file paths of this machine out of a program."""
    option = "jax_traceback_in_locations_limit"
    limit = getattr(jax.config, option)
    jax.config.update(option, 0)
    try:
        yield
    finally:
        jax.config.update(option, limit)


def _abstract(info: ArrayInfo, batch: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((batch, *info.shape[1:]), info.dtype)


def _check_traces_for_one(fn: Any, serving: Serving) -> None:
    jax.eval_shape(fn, *(_abstract(info, 1) for info in serving.inputs))


def _callbacks(jaxpr: Any) -> Iterator[str]:
    """The operations of a program, and of the programs inside it, that call Python."""
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name = equation.primitive.name
        if "callback" in name or name == "debug_print":
            yield name
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from _callbacks(inner)


def _outputs(serving: Serving, program: jax.export.Exported) -> Iterator[ArrayInfo]:
    """Describes the outputs, in the order in which JAX flattens them."""
    made = jax.tree.unflatten(program.out_tree, program.out_avals)
    if made.keys() != serving.outputs.keys():
        raise ValueError(
            f"serving() describes the outputs {', '.join(sorted(serving.outputs))}, and its "
            f"function gives {', '.join(made)}: both must have the same names"
        )
    for name, array in made.items():
        shape = tuple(BATCH if jax.export.is_symbolic_dim(size) else size for size in array.shape)
        names = tuple(serving.names.get(name, ()))
        yield ArrayInfo(name, shape, array.dtype.name, serving.outputs[name], names)


def _write(exported: Exported, trained: Trained, program: jax.export.Exported) -> Exported:
    """Writes the program, and then its description, which contains the program's digest."""
    content = bytes(program.serialize())
    exported = dataclasses.replace(exported, num_bytes=len(content))
    exported.folder.mkdir(parents=True, exist_ok=True)
    with writing(exported.folder / PROGRAM) as file:
        file.write(content)
    described = {
        "schema": SCHEMA,
        "task": exported.task,
        "run": {"name": trained.run.folder.name, "step": trained.run.step},
        "inputs": [as_json(info) for info in exported.inputs],
        "outputs": [as_json(info) for info in exported.outputs],
        "dtype": exported.dtype,
        "platforms": exported.platforms,
        "program": {
            "file": PROGRAM,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "calling_convention": program.calling_convention_version,
            "readable": READABLE,
        },
        "needs": ["jax", "flatbuffers"],
        "loading": _loading(PROGRAM, exported.inputs),
        "versions": versions() | {"flatbuffers": importlib.metadata.version("flatbuffers")},
    }
    write_json(exported.folder / DESCRIPTION, described)
    return exported


def _loading(path: str, inputs: Sequence[ArrayInfo]) -> tuple[str, ...]:
    names = ", ".join(info.name for info in inputs)
    return (
        "import pathlib, jax.export",
        f"model = jax.export.deserialize(pathlib.Path({path!r}).read_bytes())",
        f"outputs = jax.jit(model.call)({names})  # a dict of arrays",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
