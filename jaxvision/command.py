"""The console command: `jaxvision NAME ...` runs a script of `experiments/`."""

import ast
import os
import pathlib
import runpy
import signal
import sys
from collections.abc import Sequence

import jaxvision
from jaxvision.suggest import unknown

OTHER_NAMES = {"classify": "train", "list_models": "models"}
"""Commands whose names differ from those of their scripts."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the script of a command; None takes the arguments of the command line."""
    name, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    scripts = commands()
    if name in ("-h", "--help"):
        try:
            print(_help(scripts), flush=True)
        except BrokenPipeError:  # the reader has closed the output, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if name == "--version":
        print(f"jaxvision {jaxvision.__version__}")
        return
    if name not in scripts:
        raise SystemExit(f"{unknown('command', name, scripts)}; jaxvision --help explains them")
    script = scripts[name]
    sys.argv = [str(script), *rest]
    sys.path.insert(0, str(script.parent))
    try:
        runpy.run_path(str(script), run_name="__main__")
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None


def commands() -> dict[str, pathlib.Path]:
    """Scripts by the names of their commands, from the installed package or a clone."""
    package = pathlib.Path(__file__).parent
    installed = package / "experiments"
    folder = installed if installed.is_dir() else package.parent / "experiments"
    scripts = sorted(folder.glob("*.py"))
    if not scripts:
        raise SystemExit(f"the scripts of jaxvision are not in {folder}: install it again")
    return {OTHER_NAMES.get(path.stem, path.stem): path for path in scripts}


def _help(commands: dict[str, pathlib.Path]) -> str:
    """The help text, with the first docstring line of each script."""
    width = max(map(len, commands))
    lines = [f"  {name:{width}}  {_about(path)}" for name, path in sorted(commands.items())]
    head = "usage: jaxvision COMMAND ...; jaxvision COMMAND --help explains its options\n\n"
    return head + "\n".join(lines)


def _about(script: pathlib.Path) -> str:
    text = ast.get_docstring(ast.parse(script.read_text())) or ""
    return text.partition("\n")[0].rstrip(".")
