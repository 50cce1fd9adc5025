"""Scripts, started as a user starts them."""

import pathlib
import subprocess
import sys

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(EXPERIMENTS / f"{script}.py"), *map(str, arguments)]


def run(
    script: str, *arguments: object, code: int = 0, cwd: pathlib.Path | None = None
) -> subprocess.CompletedProcess:
    done = subprocess.run(
        command(script, *arguments), capture_output=True, text=True, timeout=1100, cwd=cwd
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done
