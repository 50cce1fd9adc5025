"""Peak rates of TPU chips, and meshes of them on machines without TPUs."""

import contextlib
import dataclasses
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping

import jax
from jax.experimental import topologies

from jaxvision.checks import check_name
from jaxvision.train.sharding import data_mesh

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """The peak rates and the memory of one chip.

    Attributes:
        name: Its name in topologies, such as "v5e".
        device_kind: Its name in JAX, `jax.Device.device_kind`.
        flop_rate: Operations per second of matrix products in bfloat16.
        memory_bytes: Bytes of its memory (HBM) that the compiler lets a program use, a little less
            than the chip has.
        memory_rate: Bytes per second that it reads from and writes to its memory.
        link_rate: Bytes per second that it sends to other chips over all links together; it can
            receive as many at the same time.
    """

    name: str
    device_kind: str
    flop_rate: float
    memory_bytes: float
    memory_rate: float
    link_rate: float


CHIPS: Mapping[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip("v4", "TPU v4", 275e12, 30.75 * GIB, 1200e9, 300e9),
        Chip("v5e", "TPU v5 lite", 197e12, 15.75 * GIB, 819e9, 200e9),
        Chip("v5p", "TPU v5", 459e12, 95.74 * GIB, 2765e9, 600e9),
        Chip("v6e", "TPU v6 lite", 918e12, 31.25 * GIB, 1638e9, 400e9),
    )
}
"""The chips for which steps can be planned, by name.

The rates of v4 are from Jouppi et al., TPU v4, ISCA 2023, arXiv:2304.01433 (six links of 50 GB/s);
the others are from the Cloud TPU documentation (pages "TPU v5e", "TPU v5p" and "TPU v6e", read in
November 2026), whose link rates, of both directions together, are halved here. Memory is what
libtpu 0.0.42 lets a program use.
"""

_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_SMALL_CUBES = ("2x2x1", "2x2x2", "2x2x4", "2x4x4")
_LARGEST_SIDE = 24


def chip_of(mesh: jax.sharding.Mesh) -> Chip | None:
    """Returns the kind of chip in a mesh; None for devices that are not in `CHIPS`, such as CPUs.

    >>> chip_of(data_mesh(jax.devices("cpu")[:1])) is None
    True
    """
    kind = mesh.devices.flat[0].device_kind
    return next((chip for chip in CHIPS.values() if chip.device_kind == kind), None)


def tpu_mesh(topology: str) -> jax.sharding.Mesh:
    """Returns a mesh of the chips of a TPU slice, on a machine that need not have any.

    Programs can be compiled for its devices, but no array can be put on them. The compiler is in
    the package `libtpu`, which must be installed.

    Args:
        topology: The chip and the number of chips along each axis, such as "v5e:2x4" or
            "v5p:2x2x2"; see `check_topology`.

    Returns:
        A mesh of all chips along one axis called `data`.

    Raises:
        ImportError: `libtpu` is not installed.
        ValueError: There is no such slice.
    """
    chip, sides = check_topology(topology)
    require_libtpu()
    hosts = (2, 2, 1) if not any(side % 2 for side in sides[:2]) else (1, 1, 1)
    options = {"chip_config_name": "megacore"} if chip.name == "v4" else {}  # as JAX runs it
    with _alone():
        described = topologies.get_topology_desc(
            platform="tpu", topology_name=topology, chips_per_host_bounds=hosts, **options
        )
    return data_mesh(described.devices)


def check_topology(topology: str) -> tuple[Chip, tuple[int, ...]]:
    """Parses the name of a TPU slice.

    Args:
        topology: The chip, a colon, and the sides: two for v5e and v6e, three for v4 and v5p.

    Returns:
        The chip, and the number of chips along each axis.

    Raises:
        ValueError: The chip is unknown, or has no slices with these sides.

    >>> chip, sides = check_topology("v5e:2x4")
    >>> chip.name, sides
    ('v5e', (2, 4))
    >>> check_topology("v5e:3x4")
    Traceback (most recent call last):
    ValueError: there is no slice of 3x4 chips of v5e; use one of 1x1, 2x2, 2x4, 4x4, 4x8, ...
    """
    match = re.fullmatch(r"(\w+):(\d+(?:x\d+)*)", topology)
    if match is None:
        raise ValueError(
            f"unknown topology {topology!r}; write the chip, a colon and the sides of the slice, "
            "such as 'v5e:2x4' or 'v5p:2x2x2'"
        )
    name, shape = match.groups()
    check_name("chip", name, CHIPS)
    sides = tuple(map(int, shape.split("x")))
    if name in ("v5e", "v6e"):
        known, allowed = shape in _FLAT, f"one of {', '.join(_FLAT)}"
    else:
        is_cubes = len(sides) == 3 and all(
            side % 4 == 0 and 0 < side <= _LARGEST_SIDE for side in sides
        )
        known = shape in _SMALL_CUBES or is_cubes
        allowed = (
            f"one of {', '.join(_SMALL_CUBES)}, or three sides that are multiples of 4 up to "
            f"{_LARGEST_SIDE}, such as 4x4x4"
        )
    if not known:
        raise ValueError(f"there is no slice of {shape} chips of {name}; use {allowed}")
    return CHIPS[name], sides


def require_libtpu() -> None:
    """Raises ImportError with installation instructions if `libtpu` is not installed."""
    if importlib.util.find_spec("libtpu") is None:
        raise ImportError(
            "programs for TPUs are compiled by libtpu, which is not installed: "
            f"pip install 'jax[tpu]=={jax.__version__}', which is the extra 'tpu' (on Linux; no "
            "TPU is needed)"
        )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Lets libtpu load without a TPU, and in several processes, which it refuses by default."""
    settings = {
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-8",  # any valid type will do
        "TPU_WORKER_HOSTNAMES": "localhost",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update({name: value for name, value in settings.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
