"""Memory in large pages, with which steps on a CPU are a fifth faster or more."""

import os
import pathlib
import platform
import sys

from common.console import console_command

VARIABLE, VALUE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
KERNEL = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_large_pages() -> None:
    """Starts this program anew with memory in pages of 2 MiB, where the system has them on request.

    A step on a CPU asks for its working memory anew each time, and gets it in pages of 4 KiB, each
    of which costs an interrupt. The C library of Linux asks for large ones where a variable in the
    environment says so when a process begins. A process that has the variable, whatever its value,
    and one that was not begun by this script or as `jaxvision NAME`, or is debugged, go on as they
    are.
    """
    begun_by_script = sys.argv[0] in sys.orig_argv or console_command() is not None
    if VARIABLE in os.environ or not begun_by_script or sys.gettrace() or not _on_request():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, sys.orig_argv, {**os.environ, VARIABLE: VALUE})


def _on_request() -> bool:
    """Whether the kernel gives large pages to those that ask, and the C library can ask."""
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(map(int, version.split(".")[:2])) < (2, 35):
        return False
    return KERNEL.exists() and "[madvise]" in KERNEL.read_text()
