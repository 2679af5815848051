"""Where records lie: the committed ones, and this machine's, a file for each profile.

Whoever reads records or adds some asks here. A user who wants them elsewhere names a file in the
environment variable `TRESNET_LITE_RECORDS`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tresnet_lite.checkout import DATA, ROOT
from tresnet_lite.profiles import Profile
from tresnet_lite.records.files import RecordError, append, failures, load
from tresnet_lite.records.records import Failure, Record
from tresnet_lite.records.selection import latest

COMMITTED = DATA / "measured"
VARIABLE = "TRESNET_LITE_RECORDS"


@dataclass(frozen=True)
class Measured:
    """Records and failures: the committed ones, of other machines perhaps, then this machine's."""

    records: Sequence[Record]
    failures: Sequence[Failure]


def named_file() -> Path | None:
    """The file that the user's environment names for this machine's records.

    A relative name is seen from the checkout, so that it is one file for all of its programs.

    Raises:
        RecordError: it names a folder.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    file = ROOT / Path(name).expanduser()
    if file.is_dir():
        raise RecordError(f"${VARIABLE} names a folder, {name}: name a file in it")
    return file


def machine_file(profile: str, root: Path = ROOT) -> Path:
    """This machine's records of a profile: the file that the user names, else one under build/."""
    return named_file() or root / "build" / "records" / f"{profile}.jsonl"


def committed() -> list[Record]:
    """The records under `data/measured`, the latest of each case."""
    return latest(load(COMMITTED))


def standing(own: Path | None = None) -> list[Record]:
    """The committed records and those of the file `own`, if it exists, the latest of each case."""
    return latest(load(*_paths(own)))


def measured(own: Path, suite: str | None = None) -> Measured:
    """Every record and every failure, or those of one suite, the committed ones first."""
    paths = _paths(own)
    return Measured(
        [record for record in load(*paths) if suite in (None, record.suite)],
        [failure for failure in failures(*paths) if suite in (None, failure.suite)],
    )


def keep(records: Iterable[Record], profile: Profile) -> None:
    """Append a run's records to this machine's file of its profile."""
    append(machine_file(profile.name), *records)


def _paths(own: Path | None) -> list[Path]:
    return [COMMITTED, *([own] if own and own.exists() else [])]
