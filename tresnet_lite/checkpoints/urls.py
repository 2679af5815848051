"""What may be kept of a URL: not the user, the password or the query, which are secrets."""

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://|https?:/)\S*", re.IGNORECASE)  # a Path has one slash
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(:\d*)?", re.IGNORECASE)
_SHA256 = re.compile(r"#sha256=[0-9a-f]{64}$", re.IGNORECASE)


def is_url(source: str) -> bool:
    """Is it a URL of any kind, and no path or hub name?"""
    return _URL.match(source) is not None


def without_secrets(text: str) -> str:
    """A text whose URLs have lost user, password, query and fragment, but for ``#sha256=…``.

    A URL ends at white space; what stands in a path before an @ may be a password, and goes too.
    """
    return _URL.sub(lambda url: _public(url[0]), text)


def _public(url: str) -> str:
    scheme, rest = re.split("://?", url, maxsplit=1)
    place = re.split(r"[?#]|\w+://", rest)[0].rpartition("@")[2]  # a second URL goes with a query
    if not _HOST.fullmatch(place.partition("/")[0]):  # perhaps "user:password"
        return f"{scheme}://…"
    digest = _SHA256.search(rest)
    return f"{scheme}://{place}{digest[0] if digest else ''}"


def public_command(arguments: Iterable[str]) -> str:
    """A command line without secrets; an argument with a URL in it is one word, spaces and all."""
    return " ".join(
        without_secrets(re.sub(r"\s", "+", argument)) if "://" in argument else argument
        for argument in arguments
    )


def file_name(source: str | Path) -> str:
    """The last name of a path or of a URL's path, such as "last.pt"."""
    text = str(source)
    return Path(urlsplit(without_secrets(text)).path if is_url(text) else text).name
