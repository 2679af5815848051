"""What `make test` runs: the tests, then the notebooks against their committed outputs; only what
changed.

A pass is remembered under build/tests, for each torch and Python, by the content it was made from,
so an unchanged tree answers at once.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from tresnet_lite.book.freshness import content_digest, read_json, source_files, write_json

ROOT = Path(__file__).resolve().parent.parent
PASSES = ROOT / "build" / "tests" / f"torch-{torch.__version__}-python-{platform.python_version()}"
SETTINGS = ROOT / "tests" / "nbval_sanitize.cfg"
WORKERS = 2  # processes at once, each with one thread of torch


def nbval_command(notebook: Path) -> list[str]:
    """Strict comparison: every executed output counts, unless its cell is tagged
    ``nbval-ignore-output``.
    """
    options = ["-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    return [
        sys.executable,
        "-m",
        "pytest",
        *options,
        "--nbval-sanitize-with",
        str(SETTINGS),
        str(notebook),
    ]


def passes(name: str, command: list[str], key: str, force: bool, *, quiet: bool) -> bool:
    """Run ``command`` unless it has passed with this key. A quiet one shows its output only when it
    fails.
    """
    stamp = PASSES / f"{name}.json"
    if not force and read_json(stamp).get("key") == key:
        print(f"{name}: nothing changed since the last passing run", flush=True)
        return True
    stamp.unlink(missing_ok=True)
    start = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    # of this checkout, and not of another one that shares the environment
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(path)
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=quiet, text=True)
    passed = result.returncode == 0
    output = f"{result.stdout}{result.stderr}\n" if quiet and not passed else ""
    verdict = "passed" if passed else "FAILED"
    print(f"{output}{name}: {verdict} in {time.monotonic() - start:.0f} s", flush=True)
    if passed:
        write_json(stamp, {"key": key})
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--force", action="store_true", help="run everything, changed or not")
    force = parser.parse_args().force

    package = source_files(ROOT, "tresnet_lite", "data")
    top = sorted(path for path in ROOT.iterdir() if path.is_file())
    sources = (
        package + source_files(ROOT, "tests", "notebooks", "book", "binder", ".github", ".ci") + top
    )
    suite = [sys.executable, "-m", "pytest", "-n", str(WORKERS), "tests"]
    passed = [passes("tests", suite, content_digest(ROOT, sources), force, quiet=False)]

    def compare(notebook: Path) -> bool:
        key = content_digest(ROOT, [*package, SETTINGS, notebook])
        return passes(notebook.stem, nbval_command(notebook), key, force, quiet=True)

    with ThreadPoolExecutor(WORKERS) as pool:
        passed += pool.map(compare, sorted((ROOT / "notebooks").glob("[!.]*.ipynb")))
    if not all(passed):
        print("make test: FAILED", file=sys.stderr)
        return 1
    print("make test: all passed (make test FORCE=1 runs everything again)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
