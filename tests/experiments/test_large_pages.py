"""Scripts ask for memory in large pages, once, where the system has them on request."""

import importlib
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scripts import EXPERIMENTS, modules_of_scripts

BEGUN = ["python", "-u", "experiments/classify.py", "--seed", "3"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[Callable]:
    """Calls `use_large_pages` as a script would, and gives what was started anew, if anything."""
    kernel = tmp_path / "enabled"
    kernel.write_text("always [madvise] never\n")
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(sys, "orig_argv", BEGUN)
    monkeypatch.setattr(sys, "argv", BEGUN[2:])
    monkeypatch.setattr(sys, "gettrace", lambda: None)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    anew: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *how: anew.append(how))
    with modules_of_scripts():
        module = importlib.import_module("common.large_pages")
        monkeypatch.setattr(module, "KERNEL", kernel)

        def start() -> list[Any]:
            module.use_large_pages()
            return anew

        yield start


def test_a_script_is_started_anew_with_all_its_arguments(started: Callable) -> None:
    ((program, arguments, environment),) = started()
    assert program == sys.executable
    assert arguments == BEGUN
    assert environment == {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@pytest.mark.parametrize("tunables", ["", "glibc.malloc.hugetlb=1", "glibc.malloc.arena_max=1"])
def test_what_is_in_the_environment_stays(
    started: Callable, monkeypatch: pytest.MonkeyPatch, tunables: str
) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    assert not started()


@pytest.mark.parametrize(
    ("where", "what", "value"),
    [
        (sys, "orig_argv", ["python", "-m", "pytest"]),
        (sys, "gettrace", lambda: print),
        (platform, "libc_ver", lambda: ("glibc", "2.31")),
        (platform, "libc_ver", lambda: ("", "")),
    ],
)
def test_other_processes_and_systems_go_on(
    started: Callable, monkeypatch: pytest.MonkeyPatch, where: Any, what: str, value: Any
) -> None:
    monkeypatch.setattr(where, what, value)
    assert not started()


@pytest.mark.parametrize("enabled", ["[always] madvise never", "always madvise [never]", None])
def test_kernels_with_nothing_to_ask_for_go_on(
    started: Callable, tmp_path: pathlib.Path, enabled: str | None
) -> None:
    (tmp_path / "enabled").unlink()
    if enabled is not None:
        (tmp_path / "enabled").write_text(enabled)
    assert not started()


def test_a_process_starts_anew_at_most_once(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        f"sys.path.insert(0, {str(EXPERIMENTS)!r})\n"
        "print('begun', sys.argv[1:], flush=True)\n"
        "from common.large_pages import use_large_pages, _on_request\n"
        "use_large_pages()\n"
        "print(_on_request(), os.environ.get('GLIBC_TUNABLES'))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, str(script), "--of", "a b"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    *begun, last = done.stdout.splitlines()
    on_request = last.startswith("True")
    assert begun == ["begun ['--of', 'a b']"] * (2 if on_request else 1)
    assert last == ("True glibc.malloc.hugetlb=1" if on_request else "False None")
