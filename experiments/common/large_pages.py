"""Large memory pages, which make steps on a CPU at least a fifth faster."""

import os
import pathlib
import platform
import sys

from common.console import console_command

VARIABLE, VALUE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
KERNEL = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_large_pages() -> None:
    """Restarts this program with memory pages of 2 MiB, where the system gives them on request.

    A step on a CPU allocates its working memory anew each time, in pages of 4 KiB, each of which
    costs an interrupt. The C library of Linux requests large pages if the environment variable
    `GLIBC_TUNABLES` tells it to when the process starts. Nothing happens if the variable is already
    set, to whatever value, if the process was not started as a script or as `jaxvision NAME`, or if
    it runs in a debugger.
    """
    begun_by_script = sys.argv[0] in sys.orig_argv or console_command() is not None
    if VARIABLE in os.environ or not begun_by_script or sys.gettrace() or not _on_request():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, sys.orig_argv, {**os.environ, VARIABLE: VALUE})


def _on_request() -> bool:
    """Whether the kernel gives large pages on request, and the C library can request them."""
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split(".")[:2])) < (2, 35):
        return False
    return KERNEL.exists() and "[madvise]" in KERNEL.read_text()
