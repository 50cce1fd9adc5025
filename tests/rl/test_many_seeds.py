"""XLA's CPU backend lets some programs of this kind wait for ever; not ours."""

import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).with_name("many_seeds.py")


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "updates"), [(8, 195), (32, 10)])
def test_many_seeds_in_one_program_come_to_an_end(seeds, updates):
    """195 updates of 8 seeds are what did not end elsewhere; 10 are in a program by default."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(seeds), str(updates)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{seeds} {16 * updates:.1f}\n"  # minibatches
