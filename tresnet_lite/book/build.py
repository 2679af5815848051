"""Build the book with Jupyter Book, unless nothing that it is made from has changed."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys

import torch

from tresnet_lite.book.freshness import content_digest, read_json, source_files, write_json
from tresnet_lite.book.project import Project
from tresnet_lite.book.staging import stage
from tresnet_lite.records.text import say

JUPYTER_BOOK = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
TOOLS = ("jupyter-book", "matplotlib", "pandas")  # whose version the pages follow from


def book_key(project: Project, profile: str) -> str:
    """Digest of all that the book is made from: its pages link to lines of the tests, too."""
    files = source_files(project.root, "book", "data", "notebooks", "tests", "tresnet_lite")
    executed = (project.executed(notebook, profile) for notebook in project.notebooks())
    optional = [path for path in (*executed, project.records(profile)) if path.exists()]
    versions = (importlib.metadata.version(name) for name in TOOLS)
    files += project.settings + optional
    return content_digest(project.root, files, torch.__version__, *versions)


def build_book(project: Project, profile: str) -> bool:
    """Build the book, warnings being errors, unless nothing changed. True when it stands."""
    stamp = project.build / "book.json"
    key = book_key(project, profile)
    if project.index.exists() and read_json(stamp).get("key") == key:
        say("book: unchanged")
        return True

    say("book: building")
    stamp.unlink(missing_ok=True)
    stage(project, profile)
    # A whole build: Sphinx would keep the old side bar on unchanged pages, and the pages that are
    # gone. It is made beside the old book, which can be read until then, and stays when the new one
    # fails.
    beside = project.build / "next"
    shutil.rmtree(beside, ignore_errors=True)
    options = ["--path-output", str(beside), "-W", "-n", "--keep-going"]
    command = [*JUPYTER_BOOK, str(project.stage), *options]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    (project.build / "book.log").write_text(result.stdout, encoding="utf-8")
    if result.returncode == 0:
        shutil.rmtree(project.build / "_build", ignore_errors=True)
        os.replace(beside / "_build", project.build / "_build")
        write_json(stamp, {"key": key})
        return True
    lines = result.stdout.splitlines()
    faults = [line for line in lines if re.search("WARNING|ERROR|CRITICAL", line)]
    say(*(faults or lines[-20:]), file=sys.stderr)
    say("book: FAILED, see build/book.log", file=sys.stderr)
    return False
