"""Where things lie in the checkout whose book is made."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from tresnet_lite.profiles import PROFILES
from tresnet_lite.records import store


@dataclass(frozen=True)
class Project:
    """A checkout. Everything that is made lies under ``build/``.

    build/executed/<profile>/   the executed notebooks, each beside a .json of what it was made from
    build/records/              the records that the notebooks measured, one file for each profile
    build/stage/                the book's sources as Jupyter Book reads them
    build/_build/html/          the book
    """

    root: Path

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def stage(self) -> Path:
        return self.build / "stage"

    @property
    def index(self) -> Path:
        return self.build / "_build" / "html" / "index.html"

    @property
    def settings(self) -> list[Path]:
        """Jupyter Book's own files."""
        return [self.root / "_config.yml", self.root / "_toc.yml"]

    def notebooks(self) -> list[Path]:
        return sorted((self.root / "notebooks").glob("[!.]*.ipynb"))

    def executed(self, notebook: Path, profile: str) -> Path:
        return self.build / "executed" / profile / notebook.name

    def records(self, profile: str) -> Path:
        """What this machine measured under a profile."""
        return store.machine_file(profile, self.root)


def parse(
    parser: argparse.ArgumentParser, arguments: list[str] | None, profile: str
) -> tuple[argparse.Namespace, Project]:
    """The options, with those that both commands of the book have, and the checkout they name.

    Args:
        profile: the help of --profile.
    """
    parser.add_argument("--profile", choices=PROFILES, help=profile)
    here = "the checkout; default: this folder"
    parser.add_argument("--root", type=Path, default=Path.cwd(), help=here)
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    if not (root / "_toc.yml").exists():
        parser.error(f"{root} holds no _toc.yml: run this in the checkout, or name it with --root")
    return options, Project(root)
