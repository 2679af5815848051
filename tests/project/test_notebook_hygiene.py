"""What is committed as a notebook: executed, comparable, small. And nbval really compares."""

import ast
import copy
import re
import subprocess
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from helpers import write_notebook
from nbformat import v4
from references import setup_cell
from run import nbval_command

from tresnet_lite.book.chapters import address, release_tag
from tresnet_lite.checkout import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[!.]*.ipynb"))
LIMIT = 300_000  # bytes: a page of prose, code and printed tables takes a tenth of it
WIDTH = int(re.search(r"line-length = (\d+)", (ROOT / "notebooks/ruff.toml").read_text())[1])
IGNORED = "nbval-ignore-output"
MACHINE_PATH = re.compile(r"(?<![\w.:/])(/(home|root|Users|tmp|work|mnt|content)/|[A-Z]:\\\\)\w")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def code_lines(cell):
    """The cell's lines of code: of a Markdown cell, those between fences."""
    if cell.cell_type == "code":
        return cell.source.splitlines()
    blocks = re.findall(r"^```.*?\n(.*?)^```", cell.source, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def faults(notebook: nbformat.NotebookNode) -> list[str]:
    """What is wrong with a notebook as it is committed, a sentence each."""
    cells = code_cells(notebook)
    outputs = [(cell, output) for cell in cells for output in cell.outputs]
    text = nbformat.writes(notebook)
    found = {
        "the first code cell must be tagged parameters": not cells
        or "parameters" not in tags(cells[0]),
        "only one cell may be tagged parameters": sum("parameters" in tags(cell) for cell in cells)
        > 1,
        "kernelspec must be python3": notebook.metadata.get("kernelspec", {}).get("name")
        != "python3",
        "cells must have been executed in order, once": [cell.execution_count for cell in cells]
        != [*range(1, len(cells) + 1)],
        "no output may be a warning": any(output.get("name") == "stderr" for _, output in outputs),
        "no output may be an error": any(output.output_type == "error" for _, output in outputs),
        "an output that is not compared must not be stored": any(
            IGNORED in tags(cell) for cell, _ in outputs
        ),
        "at least one output must be compared": not outputs,
        "ignore outputs by tag, and skip nothing": bool(
            re.search(r"NBVAL_(IGNORE_OUTPUT|SKIP)|nbval-skip", text)
        ),
        "pictures must not be stored": any(
            k.startswith("image/") for _, o in outputs for k in o.get("data", {})
        ),
        "no path of a machine": bool(MACHINE_PATH.search(text)),
        f"at most {LIMIT} bytes": len(text.encode()) > LIMIT,
    }
    marked = [cell for cell in cells if "NBVAL_CHECK_OUTPUT" in cell.source]
    found["a cell marked for comparison must have outputs"] = any(
        not cell.outputs for cell in marked
    )
    lines = [line for cell in notebook.cells for line in code_lines(cell)]
    return [fault for fault, present in found.items() if present] + [
        f"at most {WIDTH} columns of code: {line}" for line in lines if len(line) > WIDTH
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook(path):
    assert faults(nbformat.read(path, as_version=4)) == []


def missing_names(notebook: nbformat.NotebookNode) -> list[str]:
    """Attributes of modules that code in Markdown uses and that do not exist: "blocks.networks".

    The modules are those that the notebook and the code itself import.
    """
    code = "\n".join(c.source for c in code_cells(notebook) if c.id != "setup")
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    fenced = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    if not fenced:
        return []
    imports = [
        node
        for part in (code, fenced)
        for node in ast.walk(ast.parse(part))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names: dict = {}
    exec(compile(ast.Module(imports, []), "imports", "exec"), names)
    return [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(fenced))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if isinstance(names.get(node.value.id), ModuleType)
        and not hasattr(names[node.value.id], node.attr)
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_in_text_names_what_exists(path):
    assert missing_names(nbformat.read(path, as_version=4)) == []


def test_a_name_that_went_is_found():
    cells = [v4.new_code_cell("import math"), v4.new_markdown_cell("```python\nmath.sine(1)\n```")]
    assert missing_names(v4.new_notebook(cells=cells)) == ["math.sine"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_s_title_begins_with_its_number(path):
    title = nbformat.read(path, as_version=4).cells[0].source.partition("\n")[0]
    assert title.startswith(f"# {int(path.stem[:2])}. "), title


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_set_up_cell_has_one_source(path):
    (cell,) = (cell for cell in nbformat.read(path, as_version=4).cells if cell.id == "setup")
    assert cell.source == setup_cell(), "`make references` writes it from notebooks/setup.ipy"
    assert re.findall(r'"(https?://[^"]+)"', cell.source) == [address()]
    assert f'tag = "{release_tag()}"' in cell.source and "--branch {tag}" in cell.source
    assert tags(cell) == ["hide-input", IGNORED]


@pytest.fixture
def sound(tmp_path):
    """A small notebook with nothing wrong, and its path."""
    path = tmp_path / "sound.ipynb"
    write_notebook(path, "# NBVAL_CHECK_OUTPUT\nprint(6 * 7)", "import random\nrandom.random()")
    notebook = nbformat.read(path, as_version=4)
    for number, cell in enumerate(code_cells(notebook), start=1):
        cell.execution_count = number
    checked, ignored = code_cells(notebook)[1:]
    checked.outputs = [nbformat.v4.new_output("stream", text="42\n")]
    ignored.metadata.tags = [IGNORED]
    nbformat.write(notebook, path)
    return path, notebook


def store(cell, **data):
    cell.outputs = [nbformat.v4.new_output("display_data", data=data)]


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (
            lambda cells: cells[0].metadata.update(tags=[]),
            "the first code cell must be tagged parameters",
        ),
        (
            lambda cells: cells[1].metadata.update(tags=["parameters"]),
            "only one cell may be tagged",
        ),
        (lambda cells: cells[1].update(execution_count=None), "executed in order"),
        (lambda cells: cells[1].update(execution_count=7), "executed in order"),
        (lambda cells: cells[1].update(outputs=[]), "at least one output must be compared"),
        (lambda cells: cells[1].update(outputs=[]), "marked for comparison must have outputs"),
        (lambda cells: store(cells[1], **{"image/png": "aGk="}), "pictures must not be stored"),
        (lambda cells: store(cells[1], **{"text/plain": "/home/me/x"}), "no path of a machine"),
        (lambda cells: store(cells[1], **{"text/plain": "x" * LIMIT}), "at most"),
        (lambda cells: store(cells[2], **{"text/plain": "0.5"}), "not compared must not be stored"),
        (lambda cells: cells[1].update(source="# NBVAL_SKIP\n1"), "skip nothing"),
        (lambda cells: cells[2].update(source="x" * (WIDTH + 1)), "columns of code: xxx"),
        (
            lambda cells: cells[2].update(
                cell_type="markdown", source=f"```bash\n{'x' * (WIDTH + 1)}\n```"
            ),
            "columns of code: xxx",
        ),
        (lambda cells: cells[1].outputs[0].update(name="stderr"), "no output may be a warning"),
        (
            lambda cells: cells[1].update(
                outputs=[nbformat.v4.new_output("error", ename="E", evalue="")]
            ),
            "no output may be an error",
        ),
    ],
)
def test_a_fault_is_found(sound, spoil, fault):
    _, notebook = sound
    assert faults(notebook) == []
    spoilt = copy.deepcopy(notebook)
    spoil(code_cells(spoilt))
    assert any(fault in found for found in faults(spoilt))


def nbval(path: Path) -> subprocess.CompletedProcess:
    return subprocess.run(nbval_command(path), cwd=ROOT, capture_output=True, text=True)


def test_nbval_compares(sound):
    """The same command as `make test`'s passes on the stored output and fails on an altered one."""
    path, notebook = sound
    result = nbval(path)
    assert result.returncode == 0, result.stdout
    code_cells(notebook)[1].outputs[0].text = "43\n"
    nbformat.write(notebook, path)
    result = nbval(path)
    assert result.returncode == 1 and "1 failed" in result.stdout


@pytest.mark.skipif(not NOTEBOOKS, reason="no notebook is committed yet")
def test_nbval_compares_the_first_chapter():
    """Alter a stored output of the first chapter, up to there: the comparison fails in that cell
    and in no other.
    """
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    printed = [
        n
        for n, cell in enumerate(notebook.cells)
        for output in cell.get("outputs", [])
        if "text" in output
    ]
    last = printed[len(printed) // 2]
    notebook.cells = notebook.cells[: last + 1]
    next(
        output for output in notebook.cells[last].outputs if "text" in output
    ).text += "and what no run prints\n"
    altered = NOTEBOOKS[0].with_name(".altered.ipynb")  # in the notebooks' folder, as it runs there
    try:
        nbformat.write(notebook, altered)
        result = nbval(altered)
    finally:
        altered.unlink(missing_ok=True)
    assert result.returncode == 1 and "1 failed" in result.stdout
