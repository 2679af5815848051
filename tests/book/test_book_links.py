"""Where the built book's links and buttons lead, and what a chapter's first cell does on a bare
machine.
"""

import re
import shutil
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest
from book_site import ROOT, build_once

from tresnet_lite.book.chapters import address, chapters, release_tag

BRANCH = "main"


class Links(HTMLParser):
    """The addresses that a page links to, and the ids that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.ids = [], set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> Path:
    return build_once(tmp_path_factory)


@pytest.fixture(scope="module")
def read(html):
    return cache(lambda path: Links(path.read_text(encoding="utf-8")))


def pages(html: Path) -> list[Path]:
    return [path for path in sorted(html.rglob("*.html")) if "_static" not in path.parts]


def test_internal_links_resolve(html, read):
    lost = []
    for path in pages(html):
        for link in read(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = target.is_file()
            if there and parts.fragment and target.suffix == ".html":
                there = unquote(parts.fragment) in read(target).ids
            if not there:
                lost.append(f"{path.relative_to(html)}: {link}")
    assert lost == []


def in_repository(link: str) -> str | None:
    """The path in the repository that a link leads to, through GitHub, Colab or Binder; None: it
    leads elsewhere.
    """
    parts, owner_and_name = urlsplit(link), urlsplit(address()).path
    if parts.netloc == "mybinder.org":
        assert parts.path == f"/v2/gh{owner_and_name}/{BRANCH}", link
        return unquote(parse_qs(parts.query)["urlpath"][0]).removeprefix("tree/")
    if parts.netloc not in ("github.com", "colab.research.google.com"):
        return None
    found = re.fullmatch(
        rf"(?:/github)?{owner_and_name}/(?:blob|tree|edit)/{BRANCH}/(.+)", parts.path
    )
    return found[1] if found else None


def test_links_into_the_repository_lead_to_files(html, read):
    found = {
        path: link
        for page in pages(html)
        for link in read(page).links
        if (path := in_repository(link))
    }
    lost = [link for path, link in found.items() if not (ROOT / path).exists()]
    assert len(found) > 50 and lost == []


def test_line_numbers_lead_to_tests(html, read):
    links = [link for link in read(html / "book" / "discrepancies.html").links if "/tests/" in link]
    assert len(links) > 10
    for link in links:
        line = int(re.search(r"#L(\d+)$", link)[1])
        assert (
            (ROOT / in_repository(link)).read_text().splitlines()[line - 1].startswith("def test_")
        ), link


@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.stem)
def test_every_chapter_has_its_buttons(html, read, chapter):
    source = f"notebooks/{chapter.stem}.ipynb"
    links = read(html / "notebooks" / f"{chapter.stem}.html").links
    there = [
        urlsplit(link).netloc + urlsplit(link).path.split("/blob/")[0]
        for link in links
        if in_repository(link) == source
    ]
    repository = urlsplit(address()).path
    for button in (
        f"colab.research.google.com/github{repository}",
        f"mybinder.org/v2/gh{repository}/{BRANCH}",
    ):
        assert button in there, button
    assert any(link == f"{address()}/edit/{BRANCH}/{source}" for link in links)
    assert any(link.startswith(f"{address()}/issues/new") for link in links)
    # download
    assert any(
        link.endswith(f"{chapter.stem}.ipynb") and not urlsplit(link).netloc for link in links
    )


def source_of(chapter, cell: str) -> str:
    notebook = nbformat.read(ROOT / "notebooks" / f"{chapter.stem}.ipynb", as_version=4)
    return next(c.source for c in notebook.cells if c.get("id") == cell)


# What Colab does with the set-up cell, in a folder of its own and without the package. Git clones
# a copy of this checkout instead of the address, with the release's tag at its last commit, and pip
# is not run: the other packages are there already.
COLAB = """
import importlib.util, os, subprocess, sys
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell

shell, asked, find = InteractiveShell.instance(), [], importlib.util.find_spec
shell.register_magic_function(lambda line: asked.append(line), "line", "pip")
importlib.util.find_spec = lambda name, *more: None if name == "tresnet_lite" else find(name, *more)
result = shell.run_cell(Path("setup.py.txt").read_text())
importlib.util.find_spec = find
result.raise_error()
(options,) = asked
*_, flag, pins, _, place = options.split()
assert flag == "-c" and "\\ntimm<=" in Path(pins).read_text(), options
folder, _, extra = place.strip('"').rstrip("]").partition("[")
assert "--editable" in options and (Path(folder) / "pyproject.toml").exists(), options
assert f"\\n{extra} = [" in (Path(folder) / "pyproject.toml").read_text(), extra
import tresnet_lite
from_clone = Path("tresnet-lite").resolve()
assert Path(tresnet_lite.__file__).is_relative_to(from_clone), tresnet_lite.__file__
for cell in sorted(Path().glob("imports-*.txt")):
    shell.run_cell(cell.read_text()).raise_error()
    print(cell.stem)
"""


def test_the_first_cells_run_as_on_colab(tmp_path):
    """Clone, pins, path and every chapter's imports, from the last commit."""
    command = ["git", "-C", ROOT, "rev-parse", "HEAD"]
    if not shutil.which("git") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("not a git checkout, so there is nothing to clone")
    (tmp_path / "setup.py.txt").write_text(source_of(chapters()[0], "setup"))
    for chapter in chapters():
        cells = source_of(chapter, "parameters"), source_of(chapter, "imports")
        (tmp_path / f"imports-{chapter.stem}.txt").write_text("\n".join(cells))
    released = tmp_path / "released"
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, released], check=True)
    subprocess.run(["git", "-C", released, "tag", "--force", release_tag()], check=True)
    instead = f'[url "file://{released}"]\ninsteadOf = {address()}\n'
    (tmp_path / ".gitconfig").write_text(instead)
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        (
            [sys.executable, "-P", "-c", COLAB]
            if sys.version_info >= (3, 11)
            else [sys.executable, "-c", COLAB]
        ),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("imports-") == len(chapters())
