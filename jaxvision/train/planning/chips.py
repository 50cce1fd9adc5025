"""What TPU chips can do at their best, and meshes of them that need no TPU."""

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
        name: What topologies call it, such as "v5e".
        device_kind: What JAX calls it, `jax.Device.device_kind`.
        flop_rate: Operations per second of matrix products in bfloat16.
        memory_bytes: Bytes of its memory (HBM) that a program may use: what the compiler allows,
            which is a little less than what the chip has.
        memory_rate: Bytes per second that it reads from its memory and writes there.
        link_rate: Bytes per second that it sends to other chips, over all its links together; it
            receives as many at the same time.
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
"""The chips that programs can be planned for, by name.

Rates are those of the Cloud TPU documentation (pages "TPU v5e", "TPU v5p" and "TPU v6e", read in
November 2026; it gives the links of both directions together, of which half is written here), and
of v4 those of Jouppi et al., TPU v4, ISCA 2023, arXiv:2304.01433 (six links of 50 GB/s). Memory is
what libtpu 0.0.42 lets a program use.
"""

_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_SMALL_CUBES = ("2x2x1", "2x2x2", "2x2x4", "2x4x4")
_LARGEST_SIDE = 24


def chip_of(mesh: jax.sharding.Mesh) -> Chip | None:
    """Looks up what the devices of a mesh can do.

    Args:
        mesh: The devices, all of one kind.

    Returns:
        The chip, or None for a device that is not in `CHIPS`, such as a CPU.

    >>> chip_of(data_mesh(jax.devices("cpu")[:1])) is None
    True
    """
    kind = mesh.devices.flat[0].device_kind
    return next((chip for chip in CHIPS.values() if chip.device_kind == kind), None)


def tpu_mesh(topology: str) -> jax.sharding.Mesh:
    """A mesh of the chips of a TPU slice, on a machine that need not have any.

    Programs can be compiled for its devices, and no array can be put on them. `libtpu`, which holds
    the compiler, must be installed.

    Args:
        topology: The chip and how many of them there are along each axis, such as "v5e:2x4" or
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
    """Reads the name of a TPU slice.

    Args:
        topology: The chip, a colon, and the sides: of v5e and v6e two, of v4 and v5p three.

    Returns:
        The chip, and how many there are along each axis.

    Raises:
        ValueError: The chip is unknown, or is not sold in slices of these sides.

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
    """Makes sure that programs can be compiled for TPUs.

    Raises:
        ImportError: `libtpu` is not installed; the message says how to install it.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise ImportError(
            "programs for TPUs are compiled by libtpu, which is not installed: "
            f"pip install 'jax[tpu]=={jax.__version__}', which is the extra 'tpu' (on Linux; no "
            "TPU is needed)"
        )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Lets libtpu load without a TPU: it looks for one, and lets one process in, by default."""
    settings = {
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-8",  # not that of the topology, but there must be one
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
