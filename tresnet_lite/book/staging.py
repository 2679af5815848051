"""Lay out the book's sources as Jupyter Book reads them: pages with their parts, notebooks.

In a page of `book/`

    <!-- render NAME -->       alone on a line becomes what `PARTS[NAME]` returns
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
from tresnet_lite.book.explorer import assets
from tresnet_lite.book.figures import number_figures
from tresnet_lite.book.freshness import source_files, write_if_changed
from tresnet_lite.book.parts import PARTS
from tresnet_lite.book.project import Project
from tresnet_lite.records import Record, store
from tresnet_lite.show.text import as_html

if TYPE_CHECKING:
    import nbformat

# all that a page may ask for
RENDER_LINE = re.compile(r"^<!-- render (\w+) -->$", re.MULTILINE)
IN_REPOSITORY = re.compile(r"\]\(repo:([^)\s]+)\)")
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def stage(project: Project, profile: str) -> None:
    """Lay out the book's sources; a notebook that was never executed is shown as committed."""
    root, records = project.root, store.standing(project.records(profile))
    files = [*project.settings, *source_files(root, "book")]
    sources = {path.relative_to(root): path for path in files}
    for notebook in project.notebooks():
        executed = project.executed(notebook, profile)
        sources[notebook.relative_to(root)] = executed if executed.exists() else notebook
    sources |= assets(project.build, records)
    for place, source in sources.items():
        target = project.stage / place
        if place.suffix == ".ipynb":
            stage_notebook(source, target, root)
        elif place.suffix == ".md":
            stage_page(source, target, root, records)
        else:
            write_if_changed(source.read_bytes(), target)
    for path in source_files(project.stage, "."):
        if path.relative_to(project.stage) not in sources:
            path.unlink()


def stage_page(source: Path, target: Path, root: Path, records: Sequence[Record]) -> None:
    """Copy a page of prose, with its links and with its parts rendered from `records`."""
    parts = {name: partial(part, records) for name, part in PARTS.items()}
    write_if_changed(link(render(source.read_text(encoding="utf-8"), parts), root), target)


def render(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """A page with its rendered parts in place.

    Raises:
        ValueError: it asks for a part that there is none of.
    """
    if unknown := ", ".join(sorted(set(RENDER_LINE.findall(text)) - set(parts))):
        raise ValueError(f"no part {unknown} to render: there are {', '.join(parts)}")
    return RENDER_LINE.sub(lambda match: parts[match[1]]().strip(), text)


def link(text: str, root: Path) -> str:
    """A page with its links into the repository.

    Raises:
        FileNotFoundError: one leads to a file, or a test, that is not there.
    """

    def to_file(match: re.Match) -> str:
        path = match[1]
        if not (root / path).exists():
            raise FileNotFoundError(f"{path}: linked to as repo:{path}, and not in the checkout")
        return f"]({source_link(path, root)})"

    def to_test(match: re.Match) -> str:
        file = next((root / "tests").rglob(match[1]), root / "tests" / match[1])
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if line.startswith(f"def {match[2]}("):
                path = file.relative_to(root).as_posix()
                return f"[{match[0]}]({source_link(path, root, line=number)})"
        raise FileNotFoundError(f"{match[0]}: {file.name} has no such test")

    return TEST.sub(to_test, IN_REPOSITORY.sub(to_file, text))


def stage_notebook(source: Path, target: Path, root: Path) -> None:
    """Copy a notebook: figures numbered, its provenance complete, papermill's own cell hidden."""
    import nbformat
    from papermill.execute import remove_error_markers

    notebook = remove_error_markers(nbformat.read(source, as_version=4))
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.metadata.tags = [*tags, "remove-input"]
    number = re.match(r"\d+", target.stem)
    number_figures(notebook, int(number[0]) if number else 0, root)
    foot = provenance(notebook, target.name, root)
    notebook.cells.append(nbformat.v4.new_markdown_cell(foot, id="provenance"))
    write_if_changed(nbformat.writes(notebook), target)


def provenance(notebook: nbformat.NotebookNode, name: str, root: Path) -> str:
    """What `notebook.footer` cannot know: the seconds, the command, and the code behind a page."""
    run = notebook.metadata.get("papermill", {})
    if run.get("duration"):
        profile = run["parameters"].get("profile", "smoke")
        profile, file = as_html(str(profile)), as_html(name)
        alone = f"papermill --cwd notebooks notebooks/{file} build/{file} -p profile {profile}"
        again = f"Again: <code>make reproduce PROFILE={profile}</code>, or this page alone"
        programs = f"with the environment's programs: <code>{alone}</code>"
        how = f"It took {run['duration']:.0f} seconds. {again}, {programs}."
    else:
        how = "Shown as committed, so without figures and measurements:"
        how += " <code>make reproduce</code> makes them."
    addresses = {path: source_link(path, root) for path in _sources(notebook, name, root)}
    texts = [(as_html(address), as_html(Path(path).name)) for path, address in addresses.items()]
    links = ", ".join(f'<a href="{address}">{text}</a>' for address, text in texts)
    return f'<p class="provenance">{how} Made by {links}.</p>'


def _sources(notebook: nbformat.NotebookNode, name: str, root: Path) -> list[str]:
    """The notebook, then the package's modules that it imports, as paths in the checkout."""
    from IPython.core.inputtransformer2 import TransformerManager  # makes Python of magic commands

    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    code = "\n".join(TransformerManager().transform_cell(cell) for cell in cells)
    names: list[str] = []
    for node in ast.walk(ast.parse(code)):
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
