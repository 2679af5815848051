"""Is a result still up to date? Judged by the content it was made from, never by file times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from tresnet_lite.records.files import replacing

CACHES = {"__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".ruff_cache"}


def source_files(root: Path, *folders: str) -> list[Path]:
    """The files under ``folders`` of ``root``, in a fixed order, without caches."""
    paths = (path for folder in folders for path in (root / folder).rglob("*"))
    return sorted(path for path in paths if path.is_file() and not CACHES & set(path.parts))


def content_digest(root: Path, files: Iterable[Path], *conditions: str) -> str:
    """A hexadecimal digest of the names and contents of ``files``, and of ``conditions``."""
    total = hashlib.sha256()
    for part in conditions:
        total.update(hashlib.sha256(part.encode()).digest())
    for path in files:
        name = path.relative_to(root) if path.is_relative_to(root) else path
        total.update(hashlib.sha256(name.as_posix().encode()).digest())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def read_json(path: Path) -> dict:
    """The dictionary in ``path``; empty where there is none, or only a half-written one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def write_json(path: Path, content: dict) -> None:
    """Write ``content`` to ``path`` in one step."""
    write_if_changed(json.dumps(content, indent=1, sort_keys=True) + "\n", path)


def write_if_changed(content: str | bytes, target: Path) -> None:
    """Write a file in one step, leaving an equal one untouched: tools that look at times rest."""
    content = content.encode() if isinstance(content, str) else content
    if target.exists() and target.read_bytes() == content:
        return
    with replacing(target) as new:
        new.write_bytes(content)
