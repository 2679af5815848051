"""Files of the web in a cache of our own.

A file has the SHA-256 of its whole URL as its name, so that two URLs never share one, and it is
there whole or not at all. No other program reads this cache, and nothing is unpacked in it.
"""

import base64
import hashlib
import http.client
import io
import os
import re
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    Request,
    build_opener,
)

from tresnet_lite.checkpoints.tensors import PAGE
from tresnet_lite.checkpoints.urls import without_secrets

LARGEST = 8 << 30  # bytes of a download
SILENCE, LONGEST = 30, 6 * 3600  # seconds without a byte, and in all


def user_cache() -> Path:
    """The user's folder for what was downloaded or built.

    Raises:
        ValueError: the user has no home, as in some containers.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(root or Path.home() / ".cache", "tresnet_lite")
    except RuntimeError as error:
        advice = "set HOME or XDG_CACHE_HOME to a folder of your own"
        raise ValueError(f"there is no home folder to keep downloads in: {advice}") from error


def cache() -> Path:
    """The folder of the downloaded files."""
    return user_cache() / "weights"


def fetch(url: str) -> Path:
    """The file behind a URL, from the cache or downloaded into it.

    With ``#sha256=…`` at its end, the file must have that digest, a cached one too.

    Raises:
        ConnectionError: it cannot be fetched, or not whole.
        ValueError: it is not a URL, or what is behind it is a web page, too large or not what the
            digest says.
    """
    parts, digest = _parse(url)
    name = hashlib.sha256(parts.geturl().encode()).hexdigest()
    path = cache() / (name + (".safetensors" if parts.path.endswith(".safetensors") else ".pth"))
    if path.is_file() and digest in (None, _sha256(path)):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A name that nobody can foresee, and a new file: no planted link is followed.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    except OSError as error:
        raise _no_cache(error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            _download(parts, file, must_say_length=digest is None)
        if digest not in (None, _sha256(temporary)):
            shown = without_secrets(parts.geturl())
            raise ValueError(f"{shown} has the SHA-256 {_sha256(temporary)}, not {digest}")
        try:
            os.replace(temporary, path)
        except OSError as error:  # a folder is there
            raise _no_cache(error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def _no_cache(error: OSError) -> ConnectionError:
    advice = "set XDG_CACHE_HOME to a folder of your own"
    return ConnectionError(f"nothing can be kept in {cache()} ({error.strerror}): {advice}")


def _parse(url: str) -> tuple[SplitResult, str | None]:
    """A URL's parts without the fragment, and the digest that this asks for."""
    shown = without_secrets(url)
    if not re.match("https?://", url, re.IGNORECASE):
        raise ValueError(f"{shown}: weights come by http:// and https:// alone, as text, no Path")
    if not re.fullmatch(r"[!-~]+", url):
        raise ValueError(f"{shown} is not a URL: write spaces and other letters as %20 …")
    try:
        parts = urlsplit(url)
        well_formed = bool(parts.hostname) and parts.port != 0  # the port's text is checked here
    except ValueError:
        well_formed = False
    if not well_formed:
        raise ValueError(
            f"{shown} is not a URL: write @, : and / in a password as %40, %3A and %2F"
        )
    digest = re.fullmatch(r"(?:sha256=([0-9a-fA-F]{64}))?", parts.fragment)
    if digest is None:
        raise ValueError(f"{shown}: after # only sha256= and 64 hexadecimal digits may stand")
    return parts._replace(fragment=""), digest[1] and digest[1].lower()


def _sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


class _Timed(io.RawIOBase):
    """A stream until a moment: a server's headers may be endless, and not only what they announce.

    Args:
        end: the moment by `time.monotonic`.
    """

    def __init__(self, stream: Any, end: float) -> None:
        self.stream, self.end = stream, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if time.monotonic() > self.end:
            raise URLError(f"it took longer than {LONGEST / 3600:g} hours")
        return int(self.stream.readinto(buffer))

    def close(self) -> None:
        self.stream.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, *arguments: Any, end: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.fp: Any = io.BufferedReader(_Timed(self.fp.detach(), end))


class _Web(HTTPSHandler, HTTPHandler):
    """Opens addresses of the web, whose answers may together take `LONGEST`."""

    def __init__(self) -> None:
        super().__init__()
        self.end = time.monotonic() + LONGEST

    def http_open(self, req: Request) -> Any:
        return self.do_open(partial(self._connected, http.client.HTTPConnection), req)

    def https_open(self, req: Request) -> Any:
        return self.do_open(partial(self._connected, http.client.HTTPSConnection), req)

    def _connected(self, kind: Any, host: str, **options: Any) -> Any:
        connection = kind(host, **options)
        connection.response_class = partial(_Answer, end=self.end)
        return connection


class _Redirects(HTTPRedirectHandler):
    """Follows a redirect to the web alone, and never from an encrypted address to another one."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if not re.match("https?://" if req.type == "http" else "https://", newurl, re.IGNORECASE):
            raise URLError(f"it redirects to {without_secrets(newurl)!r}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(parts: SplitResult, file: IO[bytes], must_say_length: bool) -> None:
    """Write what is behind a URL to a file; the errors are those of `fetch`."""
    shown = without_secrets(parts.geturl())
    if parts.scheme.lower() == "http":
        warnings.warn(
            f"{shown} is not encrypted: others can read and change it on its way"
            " (#sha256=… at its end checks it)",
            stacklevel=6,
        )
    try:
        with _open(_request(parts)) as answer:
            _copy(answer, file, shown, must_say_length)
    except HTTPError as error:
        raise _unreachable(shown, f"the server answers {error.code}") from None
    except (OSError, http.client.HTTPException) as error:  # whose texts may hold the whole URL
        reason = error.reason if isinstance(error, URLError) else type(error).__name__
        raise _unreachable(shown, str(reason)) from None


def _open(request: Request) -> Any:
    try:
        return build_opener(_Redirects, _Web).open(request, timeout=SILENCE)
    except ValueError:  # of the names of hosts, for example
        raise URLError("it is not an address, or redirects to something that is not") from None


def _unreachable(shown: str, reason: str) -> ConnectionError:
    advice = "With a network it is downloaded and cached; without one, copy the file and give its"
    return ConnectionError(f"{shown} cannot be fetched from here ({reason}). {advice} path.")


def _request(parts: SplitResult) -> Request:
    """The request; user and password are for the named server, and not for where it redirects."""
    host = parts.netloc.rpartition("@")[2]
    request = Request(parts._replace(netloc=host).geturl())
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        basic = base64.b64encode(pair.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {basic}")
    return request


def _copy(answer: Any, file: IO[bytes], shown: str, must_say_length: bool) -> None:
    total, done = answer.length, 0
    if total is None and not answer.chunked and must_say_length:
        why = "the server does not say how long the file is, so a part would look whole"
        raise URLError(f"{why}: give its digest too, #sha256=…")
    if answer.headers.get_content_type() == "text/html":
        raise _page(shown)
    while part := answer.read1(1 << 20):
        if not done and PAGE.match(part):
            raise _page(shown)
        done += len(part)
        if max(done, total or 0) > LARGEST:
            raise ValueError(f"{shown} is larger than {LARGEST / 2**30:g} GiB: no weights are")
        file.write(part)
        _progress(shown, done, total)
    if total is not None and done != total:
        raise URLError(f"the transfer was cut: {done:,} of {total:,} bytes came")


def _page(shown: str) -> ValueError:
    return ValueError(f"{shown} is a web page, not weights: give the address of the file itself")


def _progress(shown: str, done: int, total: int | None) -> None:
    """A line that counts, in a terminal; nothing in a log."""
    if sys.stderr.isatty():
        whole = f" of {total / 1e6:,.0f}" if total else ""
        end = "\n" if done == total else ""
        print(f"\r{shown}: {done / 1e6:,.0f}{whole} MB", end=end, file=sys.stderr, flush=True)
