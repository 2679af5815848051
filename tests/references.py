"""Renew the notebooks' committed outputs, which `make test` compares: make references.

A notebook is executed as it stands, so the values of its parameters cell are the smoke profile.
Kept are the outputs that nbval compares; pictures, and the outputs of cells tagged
``nbval-ignore-output``, are dropped. The set-up cell is written from its one source,
``notebooks/setup.ipy``.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tresnet_lite.book.chapters import address, release_tag
from tresnet_lite.book.kernel import own_kernel
from tresnet_lite.records.files import replacing

ROOT = Path(__file__).resolve().parent.parent
IGNORED = "nbval-ignore-output"


def setup_cell() -> str:
    """The source of every notebook's set-up cell, with the repository's address and its tag."""
    text = (ROOT / "notebooks" / "setup.ipy").read_text(encoding="utf-8")
    return text.strip().replace("ADDRESS", address()).replace("TAG", release_tag())


def compared(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The output without pictures; its text stays, and nbval compares that."""
    for kind in [kind for kind in output.get("data", {}) if kind.startswith("image/")]:
        del output["data"][kind]
    return output


def renew(path: Path) -> None:
    """Execute the notebook at ``path`` and write it back, in one step, with what is compared."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.get("id") == "setup":
            cell.source = setup_cell()
    settings = {"kernel_name": "python3", "extra_arguments": ["--IPKernelApp.log_level=ERROR"]}
    resources = {"metadata": {"path": str(path.parent)}}
    with own_kernel():
        NotebookClient(notebook, resources=resources, **settings).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times, which would change with every run
        if cell.cell_type == "code":
            ignored = IGNORED in cell.metadata.get("tags", [])
            cell.outputs = [] if ignored else [compared(output) for output in cell.outputs]
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            # IPython's, as the set-up cell has a line for the shell
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        }
    )
    nbformat.validate(notebook)
    with replacing(path) as new:
        nbformat.write(notebook, new)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    chosen = parser.parse_args().notebooks or sorted((ROOT / "notebooks").glob("[!.]*.ipynb"))
    os.environ["OMP_NUM_THREADS"] = "1"  # as `make test` runs them
    for path in chosen:
        print(path.name, flush=True)
        renew(path.resolve())


if __name__ == "__main__":
    sys.exit(main())
