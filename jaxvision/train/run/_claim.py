"""The lock on a run folder: all processes of one run share it, and no other run writes to it."""

import contextlib
import fcntl
import os
import pathlib
import secrets
import socket
import threading
import time
from typing import Any, TextIO

import jax
import numpy as np

from jaxvision.train.run.errors import RunFolderError

LOCK = ".lock"
_WRITING = threading.RLock()
"""Held by the one thread that may write runs, because threads share state of Orbax."""

PATIENCE = 20.0
"""Seconds within which a file of one process must be visible to the others."""


class Claim:
    """Holds a folder for a run until it is released, or the process ends."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Locks the folder, and creates it if needed.

        Raises RunFolderError if the folder cannot be written, another run is writing to it, or the
        processes of this run see different folders.
        """
        self._file: TextIO | None = None
        if not _WRITING.acquire(blocking=False):
            raise RunFolderError(
                f"cannot write to the run folder {folder}, because another thread of this process "
                "is writing a run: train one after the other, or each in a process of its own"
            )
        self._is_held = True
        token, error = 0, None
        if jax.process_index() == 0:
            token = secrets.randbits(31) | 1
            try:
                self._file = _lock(folder, token)
            except RunFolderError as reason:
                token, error = 0, reason
        if jax.process_count() > 1:
            try:
                _check_shared(folder, token)
            except RunFolderError as reason:
                self.release()
                error = error or reason
        if error is not None:
            self.release()
            raise error

    def release(self) -> None:
        """Releases the folder."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._is_held:
            self._is_held = False
            _WRITING.release()


def _lock(folder: pathlib.Path, token: int) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8", errors="replace")
        try:
            _take(file, folder)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n{token}\n")
            file.flush()
        except BaseException:
            with contextlib.suppress(OSError):
                file.close()
            raise
    except RunFolderError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"cannot write to the run folder {folder}: {error}; free some space or choose another "
            "folder"
        ) from error
    return file


def _take(file: TextIO, folder: pathlib.Path) -> None:
    """Locks a file for this process, if the file system supports locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().partition("\n")[0] or "another process"
        raise RunFolderError(
            f"{holder} is writing to the run folder {folder}: wait for it, stop it, or choose "
            "another folder"
        ) from None
    except OSError:
        pass


def _check_shared(folder: pathlib.Path, token: int) -> None:
    from jax.experimental import multihost_utils

    # All processes reach the same result, so that none keeps waiting for another.
    agreed = int(multihost_utils.broadcast_one_to_all(np.int32(token)))
    if not agreed:
        raise RunFolderError(f"process 0 cannot write to the run folder {folder}; see its error")
    seen: Any = multihost_utils.process_allgather(np.array(_sees(folder, agreed)))
    if not np.all(seen):
        blind = ", ".join(str(index) for index in np.flatnonzero(~np.ravel(seen)))
        raise RunFolderError(
            f"process {blind} does not see what process 0 writes to {folder}: the run folder has "
            "to lie on a disk that all processes share"
        )


def _sees(folder: pathlib.Path, token: int) -> bool:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if (folder / LOCK).read_text().split()[-1:] == [str(token)]:
                return True
        except OSError:
            pass
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
