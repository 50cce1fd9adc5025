"""Builds the site into `.cache/site` and checks it:  python docs/build_site.py.

Warnings of the generator are errors. In the pages that it wrote, every link and picture of the site
must lead to a file, and every link to a part of a page to that part.
"""

import html.parser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).parent.parent
SITE = ROOT / ".cache" / "site"


class _Page(html.parser.HTMLParser):
    """The links, pictures and named parts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.parts: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.parts |= {value for key in ("id", "name") if (value := values.get(key))}
        target = values.get("src" if tag in ("img", "script") else "href")
        if target and tag in ("a", "img", "script", "link"):
            self.targets.append(target)


def build() -> list[str]:
    """Runs the generator; returns its warnings."""
    shutil.rmtree(SITE, ignore_errors=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "docs"), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict"],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()
    if done.returncode:
        return lines
    return [line for line in lines if re.match(r"griffe|warning", line, re.IGNORECASE)]


def broken_links(site: pathlib.Path) -> list[str]:
    """Finds links within a site that lead nowhere.

    Args:
        site: The folder of the site; a link to a folder means its `index.html`.

    Returns:
        A sentence for each.
    """
    paths = sorted(site.rglob("*.html"))
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in paths}
    return [
        f"{path.relative_to(site.resolve())}: {fault}"
        for path, page in pages.items()
        if path.name != "404.html"  # whose links are absolute
        for target in page.targets
        if (fault := _fault(path, target, pages))
    ]


def _fault(path: pathlib.Path, target: str, pages: dict[pathlib.Path, _Page]) -> str | None:
    parsed = urllib.parse.urlsplit(target)
    if parsed.scheme or parsed.netloc:
        return None
    found = (path.parent / urllib.parse.unquote(parsed.path)).resolve() if parsed.path else path
    if found.is_dir():
        found = found / "index.html"
    if not found.is_file():
        return f"there is no {target}"
    part = urllib.parse.unquote(parsed.fragment)
    if part and found in pages and part not in pages[found].parts:
        return f"{target} has no part #{part}"
    return None


def main() -> None:
    """Builds and checks."""
    faults = build() or broken_links(SITE)
    if faults:
        raise SystemExit("\n".join(faults))
    print(f"{SITE / 'index.html'}: {len(list(SITE.rglob('*.html')))} pages")


if __name__ == "__main__":
    main()
