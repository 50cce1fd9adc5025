"""Checkpoints that are verified by checksums, so that an incomplete one is never restored."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import pathlib
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxvision._logs import absl_level
from jaxvision._trees import by_path
from jaxvision.files import write_json
from jaxvision.train._threads import wait_for_others
from jaxvision.train.selection import combine

PyTree = Any
MANIFEST = "manifest.json"
DELETED = ".deleted-"
"""Prefix of the folder of a checkpoint that is being deleted."""


class CheckpointError(Exception):
    """A checkpoint cannot be written or read; the message says which, why and what remains."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """The content of a checkpoint.

    Attributes:
        step: The step at which it was saved.
        state: The state, in the requested structure and on the requested devices.
        extra: The values saved with the state.
    """

    step: int
    state: PyTree
    extra: dict[str, Any]


class Checkpointer:
    """Saves states to a folder and restores the newest intact one.

    Orbax writes a checkpoint in the background; then a manifest seals it, with its step and its
    files' sizes and digests. A checkpoint that has no manifest, or does not match it, was
    interrupted, damaged or copied from another step: restoring warns, and takes the one before. In
    a distributed run, every process calls the same methods, on a folder that all of them share.
    """

    def __init__(self, directory: str | pathlib.Path, *, keep: int = 3) -> None:
        """Opens a folder; nothing is written before the first `save`.

        Args:
            directory: The folder of the checkpoints, each in a folder named after its step.
            keep: How many to keep; older ones are deleted when a newer one is sealed.
        """
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.directory = pathlib.Path(directory).expanduser().absolute()
        self._keep = keep
        self._saving: threading.Thread | None = None
        self._error: BaseException | None = None
        self._whole: int | None = None
        self._protected: int | None = None

    def protect(self, step: int | None) -> None:
        """Exempts one step from deletion, such as the best, and no longer the previous one."""
        self._protected = step

    def steps(self) -> list[int]:
        """Returns the steps of sealed checkpoints, ascending, without verifying their files."""
        if not self.directory.is_dir():
            return []
        sealed = self.directory.glob(f"*/{MANIFEST}")
        return sorted(int(path.parent.name) for path in sealed if path.parent.name.isdigit())

    def save(self, step: int, state: PyTree, **extra: Any) -> None:
        """Starts to save a state, which is copied before this returns and may then be donated.

        Args:
            step: The step of the state.
            state: A tree of arrays.
            **extra: JSON-able values to save with it, such as the position in the data.

        Raises:
            CheckpointError: This save cannot start, or the one before it failed.
            TypeError: A value of `extra` is not JSON-able.
        """
        from orbax.checkpoint import v1 as ocp

        for name, value in extra.items():
            try:
                json.dumps(value)
            except TypeError as error:
                raise TypeError(f"cannot keep {name!r} in a checkpoint: {error}") from None
        self.wait()
        self._whole = None
        folder = self._folder(step)
        writing = ocp.Context()
        # Otherwise each replica of an array writes a slice, and each slice compiles a program.
        writing.array.saving.use_replica_parallel = False
        before = threading.enumerate()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with writing:
                response = ocp.save_checkpointables_async(
                    folder,
                    {"state": _without_empty(state)},
                    overwrite=True,
                    custom_metadata=extra,
                )
        except Exception as error:
            raise self._failure(step, error) from error
        self._saving = threading.Thread(
            target=self._finish, args=(step, folder, response.result, before), name="checkpoint"
        )
        self._saving.start()

    def wait(self) -> None:
        """Waits until the current save is sealed.

        Raises:
            CheckpointError: It could not be written. Earlier checkpoints are untouched.
        """
        if self._saving is not None:
            self._saving.join()
            self._saving = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def latest(self) -> int | None:
        """Returns the step of the newest intact checkpoint, or None; warns of damaged ones."""
        for step in self._folders():
            damage = self._damage(step)
            if damage is None:
                self._whole = step
                return step
            warnings.warn(
                f"checkpoint {self._folder(step)} is damaged and not used: {damage}", stacklevel=2
            )
        return None

    def extra(self, step: int) -> dict[str, Any]:
        """Returns the values that were saved with the state, by name.

        Raises:
            CheckpointError: The checkpoint does not exist, or is damaged.
        """
        kept = self._metadata(step).custom_metadata or {}
        if not isinstance(kept, dict):
            raise CheckpointError(
                f"checkpoint {self._folder(step)} keeps a {type(kept).__name__} beside the state, "
                "not values by name"
            )
        return dict(kept)

    def load(
        self, step: int, abstract_state: PyTree = None, *, leave_out: Sequence[str] = ()
    ) -> PyTree:
        """Reads the state of a checkpoint.

        Args:
            step: The step of the checkpoint.
            abstract_state: The structure to fill: `jax.ShapeDtypeStruct` leaves with shardings, or
                a state whose values are ignored. None returns nested dicts, on one device.
            leave_out: Names of parts to skip, at any depth of nested dicts; they become None.

        Returns:
            The state on the requested devices, however many devices wrote it.

        Raises:
            CheckpointError: The checkpoint does not exist, is damaged, or holds another state.
        """
        from orbax.checkpoint import v1 as ocp

        with self._reading(step):
            saved = self._metadata(step).metadata["state"]
        if abstract_state is None:
            device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            abstract_state = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), saved
            )
        stored = _without_empty(abstract_state)
        differences = _differences(saved, stored)
        if differences:
            raise CheckpointError(
                f"checkpoint {self._folder(step)} holds another state than this run's:\n  "
                + "\n  ".join(differences)
            )
        if leave_out:
            stored = _put(
                stored, leave_out, lambda part: jax.tree.map(lambda _: ocp.PLACEHOLDER, part)
            )
        with self._reading(step):
            state = ocp.load_checkpointables(self._folder(step), {"state": stored})["state"]
        if leave_out:
            return _put(state, leave_out, lambda _: None)
        return combine(state, jax.tree.map(_if_empty, abstract_state))

    def restore(self, abstract_state: PyTree = None) -> Restored | None:
        """Reads the newest intact checkpoint into `abstract_state`, as in `load`.

        Returns:
            Its content, or None if there is none.

        Raises:
            CheckpointError: It holds another state.
        """
        step = self.latest()
        if step is None:
            return None
        return Restored(step, self.load(step, abstract_state), self.extra(step))

    def _metadata(self, step: int) -> Any:
        from orbax.checkpoint import v1 as ocp

        if step != self._whole:  # `latest` has just verified that one
            if step not in self._folders():
                has = ", ".join(map(str, self.steps())) or "none"
                raise CheckpointError(
                    f"{self.directory} has no checkpoint of step {step}; it has {has}"
                )
            damage = self._damage(step)
            if damage is not None:
                raise CheckpointError(f"checkpoint {self._folder(step)} is damaged: {damage}")
        with self._reading(step):
            return ocp.checkpointables_metadata(self._folder(step))

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """Turns the errors of Orbax, which may be of any type, into CheckpointError."""
        try:
            yield
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"checkpoint {self._folder(step)} cannot be read: {type(error).__name__}: {error}"
            ) from error

    def _folders(self) -> list[int]:
        """Steps that have a folder, sealed or not, newest first."""
        if not self.directory.is_dir():
            return []
        names = [path.name for path in self.directory.iterdir() if path.is_dir()]
        return sorted((int(name) for name in names if name.isdigit()), reverse=True)

    def _folder(self, step: int) -> pathlib.Path:
        return self.directory / f"{step:09d}"

    def _finish(
        self,
        step: int,
        folder: pathlib.Path,
        result: Callable[[], Any],
        before: list[threading.Thread],
    ) -> None:
        """Runs in a thread: waits for Orbax, seals the checkpoint, then deletes old ones."""
        try:
            with absl_level(logging.CRITICAL):  # the error is ours to report
                try:
                    result()
                except BaseException:
                    wait_for_others(before)  # before their folder is deleted
                    raise
            if jax.process_index() == 0:
                write_json(folder / MANIFEST, {"step": step, "files": _digests(folder)})
                # Damaged checkpoints of later steps must not displace this one.
                for old in [one for one in self.steps() if one <= step][: -self._keep]:
                    if old != self._protected:
                        self._delete(old)
        except BaseException as error:
            self._sweep()
            self._error = self._failure(step, error)

    def _delete(self, step: int) -> None:
        """Deletes a checkpoint; if interrupted, what remains is not taken for a checkpoint."""
        folder = self._folder(step)
        doomed = folder.with_name(f"{DELETED}{folder.name}")
        with contextlib.suppress(OSError):  # the sweep before the next save tries again
            folder.replace(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def _sweep(self) -> None:
        """Deletes the remains of interrupted saves and deletions."""
        if jax.process_index() == 0:
            for pattern in ("*.orbax-checkpoint-tmp*", f"{DELETED}*"):
                for left in self.directory.glob(pattern):
                    shutil.rmtree(left, ignore_errors=True)

    def _failure(self, step: int, error: BaseException) -> CheckpointError:
        good = [one for one in self.steps() if one < step]
        left = f"the newest good one is of step {good[-1]}" if good else "there is no other one"
        return CheckpointError(
            f"cannot write the checkpoint of step {step} to {self._folder(step)}: {error}; {left}. "
            "Look at the disk: free some space or choose another folder, then start again."
        )

    def _damage(self, step: int) -> str | None:
        """A description of the damage to a checkpoint; None if it is intact."""
        folder = self._folder(step)
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            found = _digests(folder)
        except FileNotFoundError:
            return "it has no manifest, so that saving it was cut short or the file deleted"
        except (OSError, ValueError, RecursionError) as error:
            return f"it cannot be read ({error})"
        match manifest:
            case {"step": int(saved_at), "files": dict(expected)}:
                pass
            case _:
                return "its manifest does not say its step and its files"
        if saved_at != step:
            return f"it was saved at step {saved_at}"
        for name, digest in expected.items():
            if name not in found:
                return f"{name} is missing"
            if found[name] != digest:
                return f"{name} has changed since it was written"
        return None


def _differences(saved: PyTree, wanted: PyTree) -> list[str]:
    """Lists the leaves that only one of two trees has, or whose types or shapes differ."""
    wanted = jax.tree.map(_stored, wanted)
    before, now = (
        {
            path: f"{jnp.dtype(leaf.dtype).name}{list(leaf.shape)}"
            for path, leaf in by_path(tree).items()
        }
        for tree in (saved, wanted)
    )
    lines = [
        f"{name}: {before.get(name, 'absent')} in the checkpoint, {now.get(name, 'absent')} here"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    return lines if len(lines) <= 20 else [*lines[:20], f"and {len(lines) - 20} more"]


def _without_empty(state: PyTree) -> PyTree:
    """Replaces arrays without elements, which Orbax rejects, by None."""
    return jax.tree.map(lambda leaf: leaf if math.prod(leaf.shape) else None, state)


def _if_empty(leaf: Any) -> Any:
    return None if math.prod(leaf.shape) else jnp.zeros(leaf.shape, leaf.dtype)


def _put(tree: PyTree, names: Sequence[str], change: Callable[[PyTree], PyTree]) -> PyTree:
    """Changes the parts with these names in nested dicts."""
    if not isinstance(tree, dict):
        return tree
    return {
        name: change(part) if name in names else _put(part, names, change)
        for name, part in tree.items()
    }


def _stored(leaf: Any) -> Any:
    """The form of a leaf in a file: random keys are stored as their numbers."""
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.eval_shape(jax.random.key_data, leaf)
    return leaf


def _digests(folder: pathlib.Path) -> dict[str, list]:
    """The size and digest of every file of a checkpoint except its manifest."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
            digests[path.relative_to(folder).as_posix()] = [path.stat().st_size, digest]
    return digests
