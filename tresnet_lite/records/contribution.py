"""Is a file of records fit to be committed, and what must it be called?"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

from tresnet_lite.records import store
from tresnet_lite.records.files import RecordError, read
from tresnet_lite.records.provenance import PACKAGE
from tresnet_lite.records.records import from_json

NAME = re.compile("[0-9a-f]{40}")  # of a commit


def check_contribution(file: Path, package: Path | None = None) -> Path:
    """Where a file belongs among the committed ones, once it is fit to be there.

    Args:
        package: lies in the checkout whose history must know the records' commits; default: here.

    Raises:
        RecordError: what is wrong with the file or one of its lines, and what to do about it.
    """
    lines = read(file)
    if not lines:
        raise RecordError(f"{file} holds no records")
    known: dict[str, bool] = {}
    for number, line in enumerate(lines, 1):
        p = line.provenance
        if p.dirty or not NAME.fullmatch(p.commit):
            problem = "measure in a checkout without changes"
            raise RecordError(f"{file}:{number}: commit {p.commit}, dirty {p.dirty}: {problem}")
        if p.commit not in known:
            known[p.commit] = _knows(package or PACKAGE, p.commit)
        if not known[p.commit]:
            problem = "fetch it, or measure at a public commit"
            raise RecordError(f"{file}:{number}: no {p.commit} in this history: {problem}")
    # Of one machine's names ("AMD EPYC, 1 thread" and "AMD EPYC, 2 threads") the commonest.
    (device, _), *_ = Counter(line.provenance.device for line in lines).most_common(1)
    place = store.COMMITTED / store.file_name(device)
    if file.resolve().parent == store.COMMITTED.resolve() and file.name != place.name:
        move = f"git mv {shlex.quote(file.name)} {place.name}"
        raise RecordError(f"{file} must be named after its device: {move}")
    others = [path for path in sorted(store.COMMITTED.glob("*.jsonl")) if path.name != place.name]
    store.read_apart([*others, file])
    _refuse_replaced(file, place)
    return place


def _refuse_replaced(file: Path, place: Path) -> None:
    """Refuse to lose a committed line, and new lines that claim the run of a committed one.

    So another machine with the same device, or the same one on another day, adds a run of its own.
    """
    here = _lines_of(place.read_bytes()) if place.exists() else []
    versions = [*_committed_versions(place), here]  # the earliest first
    if file.resolve() != place.resolve():
        mine = _lines_of(file.read_bytes())
        if again := set(mine) & set(here):
            raise RecordError(f"{file}: {len(again)} of its lines are in {place.name}: remove them")
        versions.append([*here, *mine])
    if lost := {line for lines in versions for line in lines} - set(versions[-1]):
        back = f"`git checkout HEAD -- {place.name}` brings them back; then append yours"
        raise RecordError(f"{place}: {len(lost)} committed lines are gone or changed: {back}")
    runs: dict[str, str] = {}  # of each line so far
    for lines in versions:
        new = {line: from_json(line).provenance.run for line in lines if line not in runs}
        if both := set(new.values()) & set(runs.values()):
            what = f"new lines claim run {min(both)!r}, which {place.name} already has"
            raise RecordError(f"{file}: {what}: measure in a run of your own")
        runs |= new


def _lines_of(text: bytes) -> list[str]:
    return text.decode(errors="replace").rstrip("\n").split("\n") if text else []


def _committed_versions(file: Path) -> list[list[str]]:
    """The lines of a file after each commit that changed it, the earliest first."""

    def git(*arguments: str) -> bytes:
        command = ["git", "-C", str(file.parent), *arguments]
        return subprocess.run(command, capture_output=True, check=False).stdout

    kind = ("--first-parent", "--reverse", "--diff-filter=AM", "--format=%H")
    commits = git("log", *kind, "--", file.name).decode().split()
    return [_lines_of(git("show", f"{commit}:./{file.name}")) for commit in commits]


def _knows(package: Path, commit: str) -> bool:
    """Whether a checkout's history has a commit; a shallow history, or none, cannot tell."""

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    whole = git("rev-parse", "--is-shallow-repository").stdout.strip() == "false"
    return not whole or git("cat-file", "-e", f"{commit}^{{commit}}").returncode == 0


def next_steps(file: Path, place: Path) -> str:
    """What to type for the pull request with a file that is fit to be committed."""
    name, branch = f"data/measured/{place.name}", f"records-{place.stem}"
    commands = ["make test", f"git switch -c {branch}", f"git add {name}"]
    commands += [f"git commit -m 'Records: {place.stem}'", f"git push -u origin {branch}"]
    lines = ["The file is fit to be committed. Then open a pull request:"]
    if file.resolve() != place.resolve():
        commands.insert(0, f"cat {shlex.quote(str(file))} >> {name}")
        if place.exists():
            first = f"{place.name} already has records of this device; yours are appended to it."
            rest = "Tables show the latest record of a case; the earlier ones stay in the file."
            lines.insert(0, f"{first} {rest}")
    return "\n".join([*lines, *commands])
