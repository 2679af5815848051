"""Execute the notebooks that changed and build the book: ``python -m tresnet_lite.book``.

Everything it makes lies under ``build/``:

    build/executed/<profile>/   the executed notebooks, each beside a .json of what it was made from
    build/records/              the records that the notebooks measured, one file a profile
    build/stage/                the book's sources as Jupyter Book reads them
    build/_build/html/          the book
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from tresnet_lite.book.explorer import assets
from tresnet_lite.book.freshness import (
    content_digest,
    copy_if_changed,
    read_json,
    source_files,
    write_json,
)
from tresnet_lite.book.staging import stage_notebook, stage_page
from tresnet_lite.claims.ledger import ledger, ledger_lines
from tresnet_lite.profiles import PROFILES
from tresnet_lite.records import RecordError, store
from tresnet_lite.records.provenance import run_id

# The profiler writes what it misses on a CPU (a GPU, the origin of older memory) past every
# notebook to the terminal.
QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR", "KINETO_LOG_LEVEL": "5"}


@dataclass(frozen=True)
class Project:
    """Where things lie in a checkout."""

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

    def notebooks(self) -> list[Path]:
        return sorted((self.root / "notebooks").glob("[!.]*.ipynb"))

    def executed(self, notebook: Path, profile: str) -> Path:
        return self.build / "executed" / profile / notebook.name

    def records(self, profile: str) -> Path:
        """What this machine measured under a profile."""
        return store.machine_file(profile, self.root)


@dataclass(frozen=True)
class Failure:
    """One notebook that stopped: where, and with what."""

    notebook: str
    where: str
    error: str

    def __str__(self) -> str:
        return f"{self.notebook}: {self.where}: {self.error}"


def choose_profile(requested: str | None = None) -> tuple[str, str]:
    """Return the profile and the reason for it. A GPU counts only when this torch can compute on
    it.
    """
    if requested is not None:
        return requested, "asked for"
    if not torch.cuda.is_available():
        return "cpu", "no CUDA device is visible"
    name, error = try_gpu()
    return (
        ("cpu", f"torch {torch.__version__} cannot use {name}: {error}") if error else ("gpu", name)
    )


TRIAL = """
import torch
print(torch.cuda.get_device_name(), flush=True)
try:
    torch.ones(1, device="cuda").add_(1).item()
except RuntimeError as error:
    print(str(error).splitlines()[0])
"""


@cache
def try_gpu() -> tuple[str, str]:
    """The GPU's name, and what went wrong when it computed something, if anything did.

    Tried in a process of its own: this one would hold memory of the GPU until it ends, and the
    largest batches that the notebooks look for would come out smaller.
    """
    result = subprocess.run([sys.executable, "-c", TRIAL], capture_output=True, text=True)
    name, _, error = result.stdout.strip().partition("\n")
    if result.returncode:
        error = (result.stderr.strip().splitlines() or ["it gave no reason"])[-1]
    return name or "the GPU", error


def conditions(profile: str) -> tuple[str, ...]:
    """What, beside files, a notebook's outputs depend on."""
    device = try_gpu()[0] if profile == "gpu" and torch.cuda.is_available() else "cpu"
    return (profile, device, torch.__version__, platform.python_version())


def notebook_key(project: Project, notebook: Path, profile: str) -> str:
    """Digest of all that decides the notebook's outputs: its cells, the package, the data, the
    conditions.

    Stored outputs do not count, so renewing them does not execute the notebook again.
    """
    import nbformat

    cells = nbformat.read(notebook, as_version=4).cells
    text = repr([(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in cells])
    files = source_files(project.root, "tresnet_lite", "data", "notebooks")
    shared = [path for path in files if path.suffix != ".ipynb"]
    return content_digest(project.root, shared, notebook.name, text, *conditions(profile))


def execute(notebook: Path, output: Path, profile: str, *, bar: bool = False) -> Failure | None:
    """Execute ``notebook`` with papermill into ``output``, which appears in one step, failed or
    not.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".partial-{output.name}")
    partial.unlink(missing_ok=True)
    failure = None
    try:
        papermill.execute_notebook(
            str(notebook),
            str(partial),
            parameters={"profile": profile},
            kernel_name="python3",
            cwd=str(notebook.parent),
            # TCP between two processes here is no news
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
            request_save_on_cell_execute=False,  # it is saved at the end, whatever happens
            progress_bar={"leave": False, "position": 1, "desc": notebook.stem} if bar else False,
        )
    except PapermillExecutionError as error:
        first_line = error.source.strip().partition("\n")[0]
        cell = f"cell [{error.exec_count}], `{first_line}`"
        failure = Failure(notebook.name, cell, f"{error.ename}: {error.evalue}")
    except Exception as error:  # a kernel that dies or never starts: the other notebooks still run
        failure = Failure(notebook.name, "outside its cells", f"{type(error).__name__}: {error}")
    if partial.exists():
        os.replace(partial, output)
    return failure


def stale_notebooks(project: Project, profile: str) -> Iterator[tuple[Path, str]]:
    """Yield, with its key, each notebook whose executed copy is missing, failed or out of date."""
    for notebook in project.notebooks():
        output = project.executed(notebook, profile)
        key = notebook_key(project, notebook, profile)
        if not output.exists() or read_json(output.with_suffix(".json")).get("key") != key:
            yield notebook, key


def execute_all(project: Project, profile: str) -> list[Failure]:
    """Execute what changed, in order; a bar with the time left in a terminal, lines in a log."""
    from tqdm import tqdm

    stale = list(stale_notebooks(project, profile))
    print(
        f"{len(project.notebooks()) - len(stale)} notebooks unchanged, {len(stale)} to execute",
        flush=True,
    )
    terminal = sys.stdout.isatty()
    failures = []
    settings = {
        "desc": "notebooks",
        "unit": "notebook",
        "disable": not terminal,
        "file": sys.stdout,
    }
    with tqdm(total=len(stale), **settings) as bar:
        for notebook, key in stale:
            output, start = project.executed(notebook, profile), time.monotonic()
            # only a success is ever called fresh
            output.with_suffix(".json").unlink(missing_ok=True)
            failure = execute(notebook, output, profile, bar=terminal)
            seconds = time.monotonic() - start
            if failure is None:
                write_json(output.with_suffix(".json"), {"key": key, "seconds": round(seconds, 1)})
            else:
                failures.append(failure)
            verdict = f"FAILED in {failure}" if failure else "done"
            bar.update()
            tqdm.write(f"  {notebook.stem}: {seconds:.0f} s, {verdict}", file=sys.stdout)
            sys.stdout.flush()
    return failures


def stage(project: Project, profile: str) -> None:
    """Lay out the book's sources; a notebook that was never executed is shown as committed."""
    records = store.standing(project.records(profile))
    files = [
        project.root / "_config.yml",
        project.root / "_toc.yml",
        *source_files(project.root, "book"),
    ]
    staged = {path.relative_to(project.root): path for path in files}
    for notebook in project.notebooks():
        executed = project.executed(notebook, profile)
        staged[notebook.relative_to(project.root)] = executed if executed.exists() else notebook
    staged |= assets(project.build, records)
    for relative, source in staged.items():
        target = project.stage / relative
        if relative.suffix == ".ipynb":
            stage_notebook(source, target, project.root)
        elif relative.suffix == ".md":
            stage_page(source, target, project.root, records)
        else:
            copy_if_changed(source, target)
    for path in source_files(project.stage, "."):
        if path.relative_to(project.stage) not in staged:
            path.unlink()


def book_key(project: Project, profile: str) -> str:
    """Digest of all that the book is made from: its pages link to lines of the tests, too."""
    files = source_files(project.root, "book", "data", "notebooks", "tests", "tresnet_lite")
    executed = (project.executed(notebook, profile) for notebook in project.notebooks())
    made = [*executed, project.records(profile)]
    files += [project.root / "_config.yml", project.root / "_toc.yml", *filter(Path.exists, made)]
    versions = (
        importlib.metadata.version(name) for name in ("jupyter-book", "matplotlib", "pandas")
    )
    return content_digest(project.root, files, torch.__version__, *versions)


def build_book(project: Project, profile: str) -> bool:
    """Build the book, warnings being errors, unless nothing changed. True when it stands."""
    stamp = project.build / "book.json"
    key = book_key(project, profile)
    if project.index.exists() and read_json(stamp).get("key") == key:
        print("book: unchanged")
        return True

    print("book: building", flush=True)
    stamp.unlink(missing_ok=True)
    stage(project, profile)
    # A whole build: Sphinx would keep the old side bar on unchanged pages, and the pages that are
    # gone. It is made beside the old book, which can be read until then, and stays when the new one
    # fails.
    beside = project.build / "next"
    shutil.rmtree(beside, ignore_errors=True)
    jupyter_book = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    options = ["--path-output", str(beside), "-W", "-n", "--keep-going"]
    command = [*jupyter_book, "build", str(project.stage), *options]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    (project.build / "book.log").write_text(result.stdout, encoding="utf-8")
    if result.returncode == 0:
        shutil.rmtree(project.build / "_build", ignore_errors=True)
        os.replace(beside / "_build", project.build / "_build")
        write_json(stamp, {"key": key})
        return True
    told = [
        line for line in result.stdout.splitlines() if re.search(r"WARNING|ERROR|CRITICAL", line)
    ]
    print("\n".join(told or result.stdout.splitlines()[-20:]), file=sys.stderr)
    print("book: FAILED, see build/book.log", file=sys.stderr)
    return False


def print_claims(project: Project, profile: str) -> None:
    """The verdict on each claim, from the records that there are now; judged again only where
    something changed.
    """
    records = project.records(profile)
    files = source_files(project.root, "tresnet_lite", "data") + [records] * records.exists()
    stamp, key = (
        project.build / "claims.json",
        content_digest(project.root, files, torch.__version__),
    )
    kept = read_json(stamp)
    if kept.get("key") != key:
        try:
            kept = {"key": key, "lines": ledger_lines(ledger(store.standing(records)))}
        except (RecordError, FileNotFoundError) as error:
            print(f"claims: not judged ({error})", file=sys.stderr)
            return
        write_json(stamp, kept)
    print("claims:", *kept["lines"], sep="\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=PROFILES, help="default: chosen from the device")
    parser.add_argument(
        "--book-only", action="store_true", help="build from what is there, execute nothing"
    )
    parser.add_argument(
        "--root", type=Path, default=Path.cwd(), help="the checkout; default: this folder"
    )
    options = parser.parse_args(arguments)

    project = Project(options.root.resolve())
    if not (project.root / "_toc.yml").exists():
        parser.error(
            f"{project.root} holds no _toc.yml: run this in the checkout, or name it with --root"
        )
    profile, reason = choose_profile(options.profile)
    print(f"profile: {profile} ({reason})")
    for name, level in QUIET.items():
        os.environ.setdefault(name, level)
    run_id()  # which the notebooks' processes inherit

    try:
        failures = [] if options.book_only else execute_all(project, profile)
    except KeyboardInterrupt:
        print(
            "interrupted: what was executed and measured is kept, the same command goes on",
            file=sys.stderr,
        )
        return 130
    built = build_book(project, profile)
    if not options.book_only:
        print_claims(project, profile)
    for failure in failures:
        print(f"FAILED {failure}", file=sys.stderr)
    if project.index.exists():
        print(f"book: {project.index.as_uri()}")
    return 0 if built and not failures else 1


if __name__ == "__main__":
    sys.exit(main())
