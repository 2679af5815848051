"""The line that a record is written as: JSON, the version of its fields, a digest of all of them.

The digest lets a reader refuse a line that was edited by hand. It does not guard against forgery:
anyone who can read records can write one.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tresnet_lite.records.version1 import upgrade

VERSION = 2
LONGEST = 20_000  # characters of a line


def encode(fields: dict[str, Any]) -> str:
    """One line, without its newline, that holds the fields in today's version."""
    content = {"version": VERSION} | fields
    return json.dumps(content | {"digest": digest(content)}, ensure_ascii=False, allow_nan=False)


def decode(line: str) -> dict[str, Any]:
    """The fields of a line, in today's version, once its digest fits.

    Lines of version 1 name no version. Their digest is checked on the fields as they were written;
    then they are upgraded.

    Raises:
        ValueError: no JSON object, no provenance, a newer version, or a digest that does not fit.
    """
    if len(line) > LONGEST:
        raise ValueError(f"a line of {len(line):,} characters: at most {LONGEST:,} are allowed")
    try:
        fields = json.loads(line, object_pairs_hook=_once)
        its_digest = digest(fields) if isinstance(fields, dict) else ""
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("not a record: it is nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    if not fields.get("provenance"):
        raise ValueError("no provenance: where and with what was this measured?")
    version = fields.get("version", 1)
    if type(version) is not int or version < 1:
        raise ValueError(f"version is {version!r}: it must be a whole number, 1 or more")
    if version > VERSION:
        known = f"this package, which reads up to {VERSION}"
        raise ValueError(f"version {version} is newer than {known}: update tresnet_lite")
    if fields.pop("digest", None) != its_digest:
        raise ValueError("the digest does not fit: was the line changed after it was measured?")
    fields.pop("version", None)
    return upgrade(fields) if version == 1 else fields


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, whose names stand in it once: of two, a reader of the line sees the first."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands in the line twice")
    return fields


def digest(fields: dict[str, Any]) -> str:
    """The digest of a line's fields, "digest" itself apart, in whatever order they stand."""
    content = {name: value for name, value in fields.items() if name != "digest"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
