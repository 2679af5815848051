"""Execute the notebooks whose outputs are missing or out of date."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from tresnet_lite.book.device import try_gpu
from tresnet_lite.book.freshness import content_digest, read_json, source_files, write_json
from tresnet_lite.book.kernel import own_kernel
from tresnet_lite.book.project import Project
from tresnet_lite.profiles import PROFILES
from tresnet_lite.records.files import replacing
from tresnet_lite.records.text import for_terminal, say


@dataclass(frozen=True)
class NotebookFailure:
    """One notebook that stopped: where, and with what."""

    notebook: str
    where: str
    error: str

    def __str__(self) -> str:
        return f"{self.notebook}: {self.where}: {self.error}"


def notebook_conditions(profile: str) -> tuple[str, ...]:
    """What, besides files, a notebook's outputs depend on."""
    on_gpu = PROFILES[profile].device == "cuda" and torch.cuda.is_available()
    device = try_gpu()[0] if on_gpu else "cpu"
    return (profile, device, torch.__version__, platform.python_version())


def notebook_key(project: Project, notebook: Path, profile: str) -> str:
    """Digest of what a notebook's outputs follow from: cells, package, data and conditions.

    Stored outputs do not count, so renewing them does not execute the notebook again.
    """
    import nbformat

    cells = nbformat.read(notebook, as_version=4).cells
    text = repr([(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in cells])
    files = source_files(project.root, "tresnet_lite", "data", "notebooks")
    shared = [path for path in files if path.suffix != ".ipynb"]
    return content_digest(project.root, shared, notebook.name, text, *notebook_conditions(profile))


def execute(
    notebook: Path, output: Path, profile: str, *, bar: bool = False
) -> NotebookFailure | None:
    """Execute a notebook with papermill into `output`, which appears in one step, failed or not."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    failure = None
    with replacing(output) as new, own_kernel():
        try:
            papermill.execute_notebook(
                str(notebook),
                str(new),
                parameters={"profile": profile},
                kernel_name="python3",
                cwd=str(notebook.parent),
                # that two local processes talk by TCP is not worth a warning
                extra_arguments=["--IPKernelApp.log_level=ERROR"],
                request_save_on_cell_execute=False,  # it is saved at the end, whatever happens
                progress_bar=bar and {"leave": False, "position": 1, "desc": notebook.stem},
            )
        except PapermillExecutionError as error:
            first_line = error.source.strip().partition("\n")[0]
            cell = f"cell [{error.exec_count}], `{first_line}`"
            failure = NotebookFailure(notebook.name, cell, f"{error.ename}: {error.evalue}")
        except Exception as error:  # a kernel that dies or never starts: the others still run
            message = f"{type(error).__name__}: {error}"
            failure = NotebookFailure(notebook.name, "outside its cells", message)
    return failure


def stale_notebooks(project: Project, profile: str) -> Iterator[tuple[Path, str]]:
    """Yield, with its key, each notebook whose executed copy is missing, failed or out of date."""
    for notebook in project.notebooks():
        output = project.executed(notebook, profile)
        key = notebook_key(project, notebook, profile)
        if not output.exists() or read_json(output.with_suffix(".json")).get("key") != key:
            yield notebook, key


def execute_all(project: Project, profile: str) -> list[NotebookFailure]:
    """Execute what changed, in order; a bar with the time left in a terminal, lines in a log."""
    stale = list(stale_notebooks(project, profile))
    unchanged = len(project.notebooks()) - len(stale)
    say(f"{unchanged} notebooks unchanged, {len(stale)} to execute")
    terminal = sys.stdout.isatty()
    look = {"desc": "notebooks", "unit": "notebook", "file": sys.stdout, "disable": not terminal}
    failures = []
    with tqdm(total=len(stale), **look) as bar:
        for notebook, key in stale:
            output, start = project.executed(notebook, profile), time.monotonic()
            stamp = output.with_suffix(".json")
            stamp.unlink(missing_ok=True)  # only a success is ever called fresh
            failure = execute(notebook, output, profile, bar=terminal)
            seconds = time.monotonic() - start
            if failure is None:
                write_json(stamp, {"key": key, "seconds": round(seconds, 1)})
            else:
                failures.append(failure)
            end = f"FAILED in {failure}" if failure else "done"
            bar.update()
            line = for_terminal(f"  {notebook.stem}: {seconds:.0f} s, {end}")
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()
    return failures
