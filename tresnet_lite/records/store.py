"""Where records lie: the committed ones, and this machine's, a file for each profile.

Whoever reads records or adds some asks here. A user who wants them elsewhere names a file in the
environment variable `TRESNET_LITE_RECORDS`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tresnet_lite.checkout import DATA, ROOT
from tresnet_lite.profiles import Profile
from tresnet_lite.records import selection
from tresnet_lite.records.files import RecordError, append, read, unmade
from tresnet_lite.records.records import Failure, Record

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
    """The records under `data/measured` that stand."""
    return standing()


def every_record() -> list[Record]:
    """The committed records, those too that later ones have superseded."""
    return [line for line in _lines(None) if isinstance(line, Record)]


def standing(own: Path | None = None) -> list[Record]:
    """The committed records and those of the file `own`, if it exists, those that stand.

    Of each case the last that each point gave: every process of a comparison, of which
    `selection.latest` makes one record. Nothing committed supersedes what another committed file
    holds, as no device is in two of them. What this machine measured joins the device that it ran
    on: of both, the later record stands.
    """
    lines = (line for line in _lines(own) if isinstance(line, Record))
    return [record for repeats in selection.standing(lines).values() for record in repeats]


def measured(own: Path, suite: str | None = None) -> Measured:
    """Every record and every failure, or those of one suite, the committed ones first."""
    lines = _lines(own)
    records = [line for line in lines if isinstance(line, Record)]
    return Measured(
        [record for record in records if suite in (None, record.suite)],
        [failure for failure in unmade(lines) if suite in (None, failure.suite)],
    )


def keep(records: Iterable[Record], profile: Profile) -> None:
    """Append a run's records to this machine's file of its profile; a campaign's are there."""
    append(machine_file(profile.name), *(record for record in records if not record.point))


def file_name(device: str) -> str:
    """What the committed file of a device is called: "AMD EPYC, 2 threads" in amd-epyc-2-threads.

    Raises:
        RecordError: the name holds no letter or digit of ASCII.
    """
    words = re.findall("[a-z0-9]+", device.lower())
    if not words:
        raise RecordError(f"the device's name, {device!r}, has no letters to name a file by")
    return "-".join(words) + ".jsonl"


def read_apart(files: Iterable[Path]) -> list[Record | Failure]:
    """The lines of several machines' files, whose records cannot supersede one another's.

    Raises:
        RecordError: a line that is no record, a device that is in two of the files, or a rehearsal.
    """
    lines: list[Record | Failure] = []
    owners: dict[str, Path] = {}
    for file in files:
        of_file = read(file)
        if any(line.provenance.rehearsed for line in of_file):
            raise RecordError(f"{file}: of a rehearsal, which measures nothing: remove it")
        for device in {line.provenance.device for line in of_file}:
            owner = owners.setdefault(file_name(device), file)
            if owner != file:
                why = "only a file's own later records may take the place of its records"
                what = f"append the lines to {owner.name}, even from another machine"
                raise RecordError(f"{file}: {device} is in {owner.name} too, and {why}: {what}")
        lines += of_file
    return lines


def _lines(own: Path | None) -> list[Record | Failure]:
    lines = read_apart(sorted(COMMITTED.glob("*.jsonl")))
    return lines + (read(own) if own and own.exists() and own.parent != COMMITTED else [])
