"""Show the book, built again when a source changes: ``python -m tresnet_lite.book.serve``."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tresnet_lite.book.freshness import content_digest, source_files
from tresnet_lite.book.project import parse
from tresnet_lite.records.text import Parser, say

EVERY = 1.0  # seconds between two looks at the sources
FOLDERS = ("book", "notebooks", "build/executed", "build/records")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files without a line in the terminal for each, and never from the browser's memory."""

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
    before = None
    while not stop.is_set():
        try:
            now = state(root)
        except FileNotFoundError:  # an editor is just replacing a file
            now = before
        if now != before:
            before = now
            build()
        stop.wait(every)


def main(arguments: list[str] | None = None) -> int:
    prog, description = "python -m tresnet_lite.book.serve", __doc__.splitlines()[0]
    parser = Parser(prog=prog, description=description)
    parser.add_argument("--port", type=int, default=8000)
    profiles = "whose executed chapters to show; default: the device's"
    options, project = parse(parser, arguments, profiles)

    # In a process of its own: it sees edits of the package too, and its failure ends nothing here.
    command = [sys.executable, "-m", "tresnet_lite.book", "--book-only"]
    command += ["--root", str(project.root)]
    command += ["--profile", options.profile] if options.profile else []
    handler = functools.partial(Quiet, directory=project.index.parent)
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), handler)
    except OSError as error:
        another = "Name another one: make serve PORT=8001"
        parser.error(f"port {options.port}: {error.strerror}. {another}")
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://localhost:{server.server_port}"
        say(f"serving {address}, building when a source changes; Ctrl-C ends")
        try:
            watch(project.root, functools.partial(_build, command), stop=threading.Event())
        except KeyboardInterrupt:
            say("")
    return 0


def _build(command: list[str]) -> None:
    start = time.monotonic()
    if subprocess.run(command).returncode == 0:
        say(f"built in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
