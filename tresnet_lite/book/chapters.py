"""The chapters and the repository: what a page needs to know to link to them."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from tresnet_lite.checkout import ROOT


@dataclass(frozen=True)
class Chapter:
    """A notebook: its name without ending, its title, and the prefixes of its claims' ids."""

    stem: str
    title: str
    claims: tuple[str, ...]

    @property
    def number(self) -> int:
        return int(self.stem.partition("_")[0])

    @property
    def page(self) -> str:
        """The chapter's page, seen from a page of the folder `book`."""
        return f"../notebooks/{self.stem}.html"


@functools.cache
def chapters(root: Path = ROOT) -> tuple[Chapter, ...]:
    """All chapters, in the book's order."""
    return tuple(_read(path) for path in sorted((root / "notebooks").glob("[0-9]*.ipynb")))


def chapter(number: int, root: Path = ROOT) -> Chapter:
    """The chapter of a number.

    Raises:
        LookupError: there is none.
    """
    for candidate in chapters(root):
        if candidate.number == number:
            return candidate
    raise LookupError(f"no chapter {number}: there are {', '.join(c.stem for c in chapters(root))}")


def judging(claim: str, root: Path = ROOT) -> Chapter | None:
    """The chapter that judges the claim with this id, None where none does."""
    return next((c for c in chapters(root) if c.claims and claim.startswith(c.claims)), None)


def _read(path: Path) -> Chapter:
    import nbformat

    cells = nbformat.read(path, as_version=4).cells
    title = re.search(r"^# (.+)$", "\n".join(cell.source for cell in cells), re.MULTILINE)
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    calls = " ".join(re.findall(r"notebook\.(?:claims|verdicts)\(([^)]*)\)", code))
    claims = tuple(dict.fromkeys(re.findall(r'"([\w-]+)"', calls)))
    return Chapter(path.stem, title[1] if title else path.stem, claims)


def address(root: Path = ROOT) -> str:
    """The repository's address, from its one setting in `_config.yml`."""
    return _repository(root)["url"].rstrip("/")


def book_address(root: Path = ROOT) -> str:
    """Where GitHub Pages shows the book of the repository."""
    owner, name = address(root).split("/")[-2:]
    return f"https://{owner}.github.io/{name}/"


def release_tag(root: Path = ROOT) -> str:
    """The tag of the release that a notebook clones where the package is not installed."""
    return _repository(root)["tag"]


def source_link(path: str, root: Path = ROOT, *, line: int | None = None) -> str:
    """Where a file, or a folder, of the checkout is shown in the repository."""
    kind = "tree" if (root / path).is_dir() else "blob"
    place = f"#L{line}" if line else ""
    return f"{address(root)}/{kind}/{_repository(root)['branch']}/{path}{place}"


@functools.cache
def _repository(root: Path) -> dict[str, str]:
    return yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
