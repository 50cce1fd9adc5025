"""Scripts, started as a user starts them."""

import contextlib
import io
import pathlib
import runpy
import subprocess
import sys
import warnings
from collections.abc import Iterator

import jax
import pytest
import tyro  # noqa: F401  # before an example sets `builtins._`, which tyro reads at its import

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(EXPERIMENTS / f"{script}.py"), *map(str, arguments)]


def run(
    script: str, *arguments: object, code: int = 0, cwd: pathlib.Path | None = None
) -> subprocess.CompletedProcess:
    done = subprocess.run(
        command(script, *arguments), capture_output=True, text=True, timeout=1100, cwd=cwd
    )
    return check(done, code)


def run_here(script: str, *arguments: object, code: int = 0) -> subprocess.CompletedProcess:
    """The same within this process, where Python and JAX run already, on one of its devices."""
    _, *argv = command(script, *arguments)
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(record=True, action="ignore") as caught,
        modules_of_scripts(),
    ):
        warnings.simplefilter("default", UserWarning)
        patch.syspath_prepend(EXPERIMENTS)
        patch.setattr(sys, "argv", argv)
        one = jax.devices()[:1]
        patch.setattr(jax, "devices", lambda *_: one)
        patch.setattr(jax, "device_count", lambda *_: 1)
        returned = None
        try:
            runpy.run_path(argv[0], run_name="__main__")
        except SystemExit as end:
            returned = end.code
    for warning in caught:
        errors.write(f"{warning.message}\n")
    if isinstance(returned, str):
        errors.write(returned)
        returned = 1
    said = []
    for stream in (output, errors):
        stream.seek(0)
        said.append(stream.read())
    return check(subprocess.CompletedProcess(argv, returned or 0, *said), code)


@contextlib.contextmanager
def modules_of_scripts() -> Iterator[None]:
    """Puts aside what is imported under the names of scripts: tests have an `agents` too."""
    names = {path.stem for path in EXPERIMENTS.glob("*.py")} | {"common"}

    def imported() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in names]

    aside = {name: sys.modules.pop(name) for name in imported()}
    try:
        yield
    finally:
        for name in imported():
            del sys.modules[name]
        sys.modules.update(aside)


def check(done: subprocess.CompletedProcess, code: int) -> subprocess.CompletedProcess:
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done
