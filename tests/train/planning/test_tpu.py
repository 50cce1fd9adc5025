"""A small step of every task and agent compiles for TPUs."""

import importlib.util
import pathlib
import sys

import pytest

from jaxvision.train import planning

BENCHMARKS = pathlib.Path(__file__).parents[3] / "benchmarks"

pytestmark = [
    pytest.mark.release,
    pytest.mark.skipif(
        importlib.util.find_spec("libtpu") is None,
        reason="libtpu, the compiler for TPUs, is not installed: the extra 'tpu'",
    ),
]


def load_steps():
    """The steps of the benchmark, which is no package."""
    spec = importlib.util.spec_from_file_location("planned_steps", BENCHMARKS / "planned_steps.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


STEPS = load_steps().SMALL


@pytest.mark.parametrize("name", STEPS)
def test_compiles(name: str) -> None:
    mesh = planning.tpu_mesh("v5e:1x1" if name == "tsne" else "v5e:2x4")
    parallel, state, batch = STEPS[name](mesh)
    made = planning.plan(parallel, state, batch)
    assert made.chip is planning.CHIPS["v5e"]
    assert made.fits
    assert 0 < made.needed < 2**26
    assert made.roofline.seconds > 0
    assert bool(made.collectives) == (mesh.size > 1)


@pytest.mark.parametrize("topology", ["v4:2x2x1", "v5p:2x2x1", "v6e:2x2"])
def test_chips_are_known(topology: str) -> None:
    mesh = planning.tpu_mesh(topology)
    assert mesh.size == 4
    assert planning.chip_of(mesh) is planning.CHIPS[topology.partition(":")[0]]
