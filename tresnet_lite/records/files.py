"""Files of records: lines are appended, never changed, and every line is checked when it is read.

What is not a record is refused with its place and the reason, and so is a line that a crash cut
short, until `repair` removes it.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from tresnet_lite.records.lines import VERSION
from tresnet_lite.records.records import Failure, Record, from_json
from tresnet_lite.records.text import LONGEST_MESSAGE

LARGEST = 64 << 20  # bytes of a file that is read
# How a file of records begins: in version 1, which named none, and today.
BEGINNINGS = ('{"suite": "', f'{{"version": {VERSION}, "suite": "')


class RecordError(ValueError):
    """A line that is not a record; the message names file, line and reason."""


def append(path: str | os.PathLike[str], *records: Record | Failure) -> None:
    """Append records, as `append_lines` does.

    Raises:
        RecordError: the file ends in a half-written line, which `repair` removes; or it is no file
            of records, and stays as it is.
    """
    refuse_foreign(Path(path), BEGINNINGS)
    append_lines(path, (record.to_json() for record in records))


def append_lines(path: str | os.PathLike[str], lines: Iterable[str]) -> None:
    """Append lines by a single write that is on disk when this returns; writers take turns.

    A process killed in the middle of that write leaves whole lines and a half-written one, which is
    refused.

    Raises:
        RecordError: the file ends in a half-written line; `repair` it first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        # A file grows page by page: another process's write would look like a half-written line.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            raise RecordError(f"{path} ends in a half-written line; repair() removes it")
        content = "".join(line + "\n" for line in lines).encode()
        if os.write(descriptor, content) != len(content):
            raise OSError(f"{path}: only a part could be written; is the disk full?")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(*paths: str | os.PathLike[str]) -> list[Record | Failure]:
    """All lines of JSON-lines files, or of every `*.jsonl` in a folder, in the order written.

    Raises:
        RecordError: a line that is not a record, or is cut short; nothing is skipped silently.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        files += sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    return [line for file in files for line in _read_file(file)]


def load(*paths: str | os.PathLike[str]) -> list[Record]:
    """The records that `read` gives, without the failures. Raises RecordError as `read` does."""
    return [line for line in read(*paths) if isinstance(line, Record)]


def failures(*paths: str | os.PathLike[str]) -> list[Failure]:
    """What could not be measured, and was not measured since: its point's last line failed."""
    return unmade(read(*paths))


def unmade(lines: Sequence[Record | Failure]) -> list[Failure]:
    """The failures among lines that no later line of their point on their device made good."""
    last = {(line.point, line.provenance.device): line for line in lines}
    failed = {key for key, line in last.items() if isinstance(line, Failure)}
    return [x for x in lines if isinstance(x, Failure) and (x.point, x.provenance.device) in failed]


def refuse_foreign(path: Path, beginnings: Sequence[str]) -> None:
    """Refuse to change a file that does not begin as one of ours does.

    Raises:
        RecordError: it begins with something else, or is no file. A part of a beginning is ours.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise RecordError(f"{path} is no file")
    with path.open("rb") as file:
        head = file.read(max(map(len, beginnings)))
    ours = (beginning.encode() for beginning in beginnings)
    if not any(head.startswith(begin) or begin.startswith(head) for begin in ours):
        raise RecordError(f"{path} is none of our files, so it stays as it is: name another one")


def repair(path: str | os.PathLike[str], beginnings: Sequence[str] = BEGINNINGS) -> str:
    """Remove a half-written last line, which a killed run may leave; return it, "" for none.

    Raises:
        RecordError: the file does not begin as one of ours does, and stays as it is.
    """
    path = Path(path)
    refuse_foreign(path, beginnings)
    if path.read_bytes()[-1:] in (b"", b"\n"):
        return ""
    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # what another process is just writing is not cut short
        whole, newline, rest = file.read().rpartition(b"\n")
        if rest:
            file.truncate(len(whole + newline))
    return rest.decode(errors="replace")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `path` in one step, when the block ends.

    Nothing is replaced when the block fails or writes nothing. The new file is made in a new folder
    beside `path` that no other user can enter, so that nobody can plant a link in its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        new = Path(folder, path.name)
        yield new
        if new.exists():
            with new.open("rb") as file:
                os.fsync(file.fileno())  # else a power cut could leave the name without the content
            os.replace(new, path)


@contextmanager
def exclusive(lock: Path, busy: Exception, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file, at most until this process ends.

    Args:
        wait: until another process lets go of it, however long that takes.

    Raises:
        Exception: `busy` if another process holds it; another error of its type if the file cannot
            be locked, such as a link or a file of another user.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    if lock.is_file() and not lock.is_symlink() and lock.stat().st_size:  # ours are empty
        raise type(busy)(f"{lock} is no lock of ours, as it holds something: name another place")
    held = FileLock(lock)
    try:
        # A process that a killed one was just starting lets go of the lock a moment later.
        held.acquire(timeout=-1 if wait else 2)
    except Timeout as error:
        raise busy from error
    except OSError as error:
        advice = "it may be a link, or belong to another user; use a folder of your own"
        raise type(busy)(f"{lock} cannot be locked ({error.strerror}): {advice}") from error
    try:
        yield
    finally:
        held.release()


def _read_file(path: Path) -> Iterator[Record | Failure]:
    if path.exists() and not path.is_file():
        raise RecordError(f"{path} is not a file")  # reading a pipe would never end, nor /dev/zero
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise RecordError(f"{path} is larger than {LARGEST >> 20} MiB: no campaign writes so much")
    *lines, rest = content.split(b"\n")
    if rest:
        raise RecordError(f"{path}:{len(lines) + 1}: a half-written line; repair() removes it")
    for number, line in enumerate(lines, 1):
        try:
            record = from_json(line.decode())
            _refuse_future(record)
        except (ValueError, TypeError) as error:
            raise RecordError(f"{path}:{number}: {str(error)[:LONGEST_MESSAGE]}") from error
        yield record


def _refuse_future(record: Record | Failure) -> None:
    """A later record supersedes an earlier one, so none may be later than all that will be made."""
    p = record.provenance
    if p.moment > datetime.now(timezone.utc) + timedelta(days=1):
        what = "is this machine's clock right? If so, measure again with the right date"
        raise ValueError(f"date is {p.date}, in the future: {what}, and leave the line out")
