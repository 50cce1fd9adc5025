"""Counts the programs that tests compile, which is what a run of the tests costs.

An operation on arrays outside of `jax.jit` is a program of its own for every shape and type. So the
inputs of a test are made by NumPy, the function under test is compiled as one program, and results
are compared on the host.
"""

from collections.abc import Iterator

import jax
import pytest

LIMIT = 40
"""The most programs that a quick test may compile."""

_COMPILED = "/jax/core/compile/backend_compile_duration"  # also where the cache has it


class Programs:
    """A plugin of pytest that counts programs and fails quick tests that compile too many."""

    def __init__(self) -> None:
        self._count = 0
        self._of_workers: list[int] = []
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, seconds: float, **details: str | int) -> None:
        del seconds, details
        self._count += event == _COMPILED

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Counts the programs of one test; those of its fixtures, which others share, are not."""
        before = self._count
        yield
        made = self._count - before
        item.user_properties.append(("programs", made))
        quick = not {"slow", "release"} & {mark.name for mark in item.iter_markers()}
        if quick and made > LIMIT:
            pytest.fail(
                f"compiled {made} programs, and a quick test may compile {LIMIT}: make inputs by "
                "NumPy, compile the function under test by quick.jit, compare results on the host",
                pytrace=False,
            )

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hands the count of a worker to the process that started it."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["programs"] = self._count

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Takes the count of a worker that has ended."""
        self._of_workers.append(getattr(node, "workeroutput", {}).get("programs", 0))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints how many programs the run has compiled."""
        total = self._count + sum(self._of_workers)
        terminalreporter.write_line(f"{total:,} programs compiled")
