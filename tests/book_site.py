"""The book, built once for all tests that look at it, and a browser without a network to look
with.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# not the book's sources
OURS = {
    "build",
    ".git",
    ".cache",
    ".hypothesis",
    ".pytest_cache",
    ".ruff_cache",
}


def build_once(factory: pytest.TempPathFactory) -> Path:
    """The HTML of the book of committed notebooks, built by the first of the tests' processes that
    asks.
    """
    folder = factory.getbasetemp()
    checkout = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "book-checkout"
    html = checkout / "build" / "_build" / "html"
    with FileLock(f"{checkout}.lock"):
        if not html.exists():
            link_checkout(checkout)
            command = [
                sys.executable,
                "-m",
                "tresnet_lite.book",
                "--root",
                str(checkout),
                "--book-only",
            ]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            result = subprocess.run(
                [*command, "--profile", "smoke"],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
            )
            assert result.returncode == 0, result.stdout + result.stderr
    return html


def link_checkout(folder: Path) -> None:
    """Make a folder a checkout of the same sources, in which nothing is built yet."""
    folder.mkdir(exist_ok=True)
    for entry in ROOT.iterdir():
        if entry.name not in OURS and not entry.name.startswith(".venv"):
            (folder / entry.name).symlink_to(entry)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a local server of a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=folder)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def chromium() -> str:
    """The system's Chromium; without one the test is skipped, but fails where CI promises one."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        why = f"no {', '.join(BROWSERS)} on the PATH: install one to drive the book in a browser"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    return found


class Watched:
    """A page of the browser that reaches `base` alone, and notes all that goes wrong.

    Attributes:
        faults: console errors, failed requests, and attempts to reach anything else.
        loaded: address → bytes of what was loaded.
    """

    def __init__(self, context: object, base: str) -> None:
        self.base, self.faults, self.loaded = base, [], {}
        self.page = context.new_page()
        self.page.route("**/*", self._request)
        self.page.on(
            "console",
            lambda m: self.faults.append(f"console: {m.text}") if m.type == "error" else None,
        )
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("response", self._response)

    def _request(self, route: object) -> None:
        if route.request.url.startswith((self.base, "data:", "blob:")):
            route.continue_()
        else:
            self.faults.append(f"reached out to {route.request.url}")
            route.abort()

    def _response(self, response: object) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status}: {response.url}")
        self.loaded[response.url] = int(response.headers.get("content-length", 0))

    def open(self, name: str) -> object:
        """Open a page of the book and wait until its scripts are done."""
        self.page.goto(f"{self.base}/{name}", wait_until="load")
        self.page.wait_for_function("document.readyState === 'complete'")
        if self.page.locator("script[src*=mathjax]").count():
            self.page.wait_for_function(
                "window.MathJax && MathJax.startup && MathJax.startup.promise !== undefined"
            )
            self.page.evaluate("MathJax.startup.promise")
        return self.page
