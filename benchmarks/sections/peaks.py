"""How many operations accelerators can do at their best, and what share of it a step makes."""

import re
from typing import NamedTuple


class Peak(NamedTuple):
    """The highest rate of a chip, of matrix products without sparsity.

    Attributes:
        flops: Operations a second, two for each multiplication that is added up.
        dtype: Of which type.
    """

    flops: float
    dtype: str = "bfloat16"


PEAKS = {
    r"H100 PCIe": Peak(756e12),
    r"H100.*(HBM3|SXM)": Peak(989e12),
    r"H200(?! NVL)": Peak(989e12),
    r"A100": Peak(312e12),
    r"\bL4\b": Peak(121e12),
    r"\bT4\b": Peak(65e12, "float16"),
}
"""By what is in the name of a device, as its maker's data sheets have them."""


def peak_of(kind: str) -> Peak | None:
    """The peak of a kind of device; None where it is not known, as for a part of a chip.

    >>> peak_of("NVIDIA H200")
    Peak(flops=989000000000000.0, dtype='bfloat16')
    """
    if "MIG" in kind:
        return None
    return next((peak for name, peak in PEAKS.items() if re.search(name, kind)), None)


def utilization(flops: float, seconds: float, kind: str) -> float | None:
    """The share of the peak that operations in so many seconds are; None where it is not known."""
    peak = peak_of(kind)
    return None if peak is None else flops / seconds / peak.flops


def said(kind: str) -> str:
    """A sentence about the peak of a device."""
    peak = peak_of(kind)
    if peak is None:
        return f"The peak of {kind!r} is not known, so that its utilization is left out."
    return f"The peak of {kind} is {peak.flops / 1e12:.0f} TFLOP/s in {peak.dtype}."
