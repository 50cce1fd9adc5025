"""Seeds in one program come to an end on a CPU, where others wait for ever.

Orthogonal matrices come of LAPACK, and a batch of them is shared among XLA's threads. Two batches
at once, of two layers of a network under `vmap`, may each hold a thread and wait for another: of
`jax.vmap(agent.init)` for 8 seeds every process hung within 100 calls, with 2 seeds every other.
"""

import pathlib
import subprocess
import sys

import pytest
import quick

SCRIPT = pathlib.Path(__file__).with_name("many_seeds.py")


@pytest.mark.optimized
@pytest.mark.parametrize(("seeds", "updates"), quick.only([(2, 10), (8, 195), (32, 50)], slow=[8]))
def test_many_seeds_in_one_program_come_to_an_end(seeds, updates):
    """They begin 200 times, and learn for as many updates as did not end elsewhere."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(seeds), str(updates)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{seeds} {16 * updates:.1f}\n"  # minibatches
