"""The site: what its checks find, the gallery, and the pages of the reference and the tasks."""

import importlib.util
import pathlib
import re
import sys
import types

import pytest

import jaxvision

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
TASKS = sorted(path.stem for path in (DOCS / "tasks").glob("*.md") if path.stem != "index")


def script(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def test_broken_links_are_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text('<h1 id="here">Here</h1><a href="..">Home</a>')
    (tmp_path / "index.html").write_text(
        '<a href="other/#here">a</a> <a href="other/#there">b</a> <a href="https://a.b">c</a>'
        '<img src="no.png"> <a href="#up">d</a> <p id="up">'
    )
    faults = ["there is no no.png", "other/#there has no part #there"]
    found = script("build_site").broken_links(tmp_path)
    assert sorted(found) == sorted(f"index.html: {fault}" for fault in faults)


def test_every_task_has_a_picture_and_every_picture_a_task() -> None:
    gallery = script("make_gallery")
    assert sorted(gallery.PICTURES) == TASKS
    assert sorted(path.stem for path in gallery.GALLERY.glob("*.png")) == TASKS
    for page in (ROOT / "README.md", DOCS / "index.md", DOCS / "tasks" / "index.md"):
        shown = re.findall(r'src="[./a-z]*gallery/(\w+)\.png"', page.read_text())
        assert sorted(shown) == TASKS, page
    assert sum(path.stat().st_size for path in gallery.GALLERY.glob("*.png")) < 1.5e6


@pytest.mark.parametrize("task", TASKS)
def test_a_page_of_a_task_has_all_parts(task: str) -> None:
    text = (DOCS / "tasks" / f"{task}.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Formula",
        "Function",
        "Figure",
        "Papers",
    ]
    assert f"](../gallery/{task}.png)" in text
    assert len(text.splitlines()) < 80


def test_the_reference_has_every_package() -> None:
    pages = "\n".join(path.read_text() for path in (DOCS / "api").glob("*.md"))
    shown = set(re.findall(r"^::: ([\w.]+)$", pages, re.MULTILINE))

    def packages(module: types.ModuleType):
        for name in getattr(module, "__all__", ()):
            part = getattr(module, name)
            if isinstance(part, types.ModuleType):
                yield f"{module.__name__}.{name}"
                yield from packages(part)

    assert shown == set(packages(jaxvision))
