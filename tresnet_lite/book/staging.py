"""Lay out the book's sources as Jupyter Book reads them: pages with their rendered parts, executed
notebooks.

In a page of `book/`

    <!-- render NAME -->       alone on a line becomes what `book.parts.PARTS[NAME]` returns
    [text](repo:PATH)          becomes a link to the file or folder in the repository
    `test_FILE.py::test_NAME`  becomes a link to that test
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tresnet_lite.book.chapters import source_link
from tresnet_lite.book.figures import number_figures
from tresnet_lite.book.freshness import write_if_changed
from tresnet_lite.book.parts import PARTS
from tresnet_lite.records import Record

if TYPE_CHECKING:
    import nbformat

PART = re.compile(r"^<!-- render (\w+) -->$", re.MULTILINE)
IN_REPOSITORY = re.compile(r"\]\(repo:([^)\s]+)\)")
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def render(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """A page with its rendered parts in place.

    Raises:
        ValueError: it asks for a part that there is none of.
    """
    if unknown := set(PART.findall(text)) - set(parts):
        raise ValueError(
            f"no part {', '.join(sorted(unknown))} to render: there are {', '.join(parts)}"
        )
    return PART.sub(lambda found: parts[found[1]]().strip(), text)


def link(text: str, root: Path) -> str:
    """A page with its links into the repository.

    Raises:
        FileNotFoundError: one leads to a file, or a test, that is not there.
    """

    def to_file(found: re.Match) -> str:
        if not (root / found[1]).exists():
            raise FileNotFoundError(
                f"{found[1]}: linked to as repo:{found[1]}, and not in the checkout"
            )
        return f"]({source_link(found[1], root)})"

    def to_test(found: re.Match) -> str:
        file = next((root / "tests").rglob(found[1]), root / "tests" / found[1])
        lines = file.read_text(encoding="utf-8").splitlines()
        place = next(
            (n for n, line in enumerate(lines, 1) if line.startswith(f"def {found[2]}(")), None
        )
        if place is None:
            raise FileNotFoundError(f"{found[0]}: {file.name} has no such test")
        return f"[{found[0]}]({source_link(file.relative_to(root).as_posix(), root, line=place)})"

    return TEST.sub(to_test, IN_REPOSITORY.sub(to_file, text))


def stage_page(source: Path, target: Path, root: Path, records: Sequence[Record]) -> None:
    """Copy a page of prose, with its links and with its parts rendered from `records`."""
    parts = {name: partial(part, records) for name, part in PARTS.items()}
    write_if_changed(link(render(source.read_text(encoding="utf-8"), parts), root), target)


def stage_notebook(source: Path, target: Path, root: Path) -> None:
    """Copy a notebook for the book: figures numbered, its provenance completed, papermill's own
    cell hidden.
    """
    import nbformat
    from papermill.execute import remove_error_markers

    notebook = remove_error_markers(nbformat.read(source, as_version=4))
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.metadata.tags = [*tags, "remove-input"]
    number = re.match(r"\d+", target.stem)
    number_figures(notebook, int(number[0]) if number else 0, root)
    notebook.cells.append(
        nbformat.v4.new_markdown_cell(provenance(notebook, target.name, root), id="provenance")
    )
    write_if_changed(nbformat.writes(notebook), target)


def provenance(notebook: nbformat.NotebookNode, name: str, root: Path) -> str:
    """What `notebook.footer` cannot know: how long the page took, the command, and the code behind
    it.
    """
    ran = notebook.metadata.get("papermill", {})
    links = [
        f'<a href="{source_link(path, root)}">{Path(path).name}</a>'
        for path in _sources(notebook, name, root)
    ]
    if ran.get("duration"):
        profile = ran["parameters"].get("profile", "smoke")
        alone = f"papermill --cwd notebooks notebooks/{name} build/{name} -p profile {profile}"
        told = (
            f"It took {ran['duration']:.0f} seconds. Again: <code>make reproduce"
            f" PROFILE={profile}</code>, or this page alone, with the environment's programs:"
            f" <code>{alone}</code>."
        )
    else:
        told = (
            "Shown as committed, so without figures and measurements: <code>make reproduce</code>"
            " makes them."
        )
    return f'<p class="provenance">{told} Made by {", ".join(links)}.</p>'


def _sources(notebook: nbformat.NotebookNode, name: str, root: Path) -> list[str]:
    """The notebook, then the package's modules that it imports, as paths in the checkout."""
    lines = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    code = "\n".join("" if re.match(r"\s*[%!]", line) else line for line in lines.splitlines())
    names: list[str] = []
    for node in ast.parse(code).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    modules = [_module(name, root) for name in names if name.startswith("tresnet_lite.")]
    return list(dict.fromkeys([f"notebooks/{name}", *filter(None, modules)]))


def _module(name: str, root: Path) -> str:
    """The module, or the room, that a dotted name is or comes from; "" for the package itself."""
    place, room = name.replace(".", "/"), name.rpartition(".")[0].replace(".", "/")
    files = (f"{place}.py", f"{room}.py", place, room if "/" in room else "")
    return next((path for path in files if path and (root / path).exists()), "")
