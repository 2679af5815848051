"""Show the built book, and build it again when a source changes: ``python -m
tresnet_lite.book.serve``.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tresnet_lite.book.freshness import content_digest, source_files
from tresnet_lite.profiles import PROFILES

EVERY = 1.0  # seconds between two looks at the sources
FOLDERS = ("book", "notebooks", "build/executed", "build/records")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files without a line in the terminal for each, never from the browser's memory: they
    change.
    """

    def log_message(self, *_: object) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


def state(root: Path) -> str:
    """A digest of what the book is made from."""
    files = [path for path in source_files(root, *FOLDERS) if path.suffix != ".lock"]
    return content_digest(root, [*files, root / "_config.yml", root / "_toc.yml"])


def watch(
    root: Path, build: Callable[[], object], *, stop: threading.Event, every: float = EVERY
) -> None:
    """Call `build` now, and again whenever the sources have changed, until `stop` is set."""
    built = None
    while not stop.is_set():
        try:
            now = state(root)
        except FileNotFoundError:  # an editor is just replacing a file
            now = built
        if now != built:
            built = now
            build()
        stop.wait(every)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--profile", choices=PROFILES, help="whose executed chapters to show; default: the device's"
    )
    parser.add_argument(
        "--root", type=Path, default=Path.cwd(), help="the checkout; default: this folder"
    )
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    if not (root / "_toc.yml").exists():
        parser.error(f"{root} holds no _toc.yml: run this in the checkout, or name it with --root")

    # In a process of its own: it sees edits of the package too, and its failure ends nothing here.
    command = [sys.executable, "-m", "tresnet_lite.book", "--book-only", "--root", str(root)]
    command += ["--profile", options.profile] if options.profile else []
    html = root / "build" / "_build" / "html"
    handler = functools.partial(Quiet, directory=html)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), handler)
    except OSError as error:
        parser.error(
            f"port {options.port}: {error.strerror}. Name another one: make serve PORT=8001"
        )
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(
            f"serving http://localhost:{server.server_port}, building when a source changes; Ctrl-C"
            " ends",
            flush=True,
        )
        try:
            watch(root, functools.partial(_build, command), stop=threading.Event())
        except KeyboardInterrupt:
            print()
    return 0


def _build(command: list[str]) -> None:
    start = time.monotonic()
    if subprocess.run(command).returncode == 0:
        print(f"built in {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
