"""Records: one JSON line for one measurement, appended and never changed.

A line carries a digest of its own content, so that one edited by hand is refused when it is read; a
line cut short by a crash is refused too, until `repair` takes it out. A later record of the same
case supersedes an earlier one. What could not be measured is a line too, a `Failure` with its
reason.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tresnet_lite.records.provenance import Provenance

UNITS = {  # metric → unit
    "throughput": "img/s",
    "time": "s",
    "peak_memory": "B",
    "saved_memory": "B",
    "largest_batch": "img",
    "top1": "%",
    "top5": "%",
    "bandwidth": "B/s",
    "arithmetic": "FLOP/s",
    "shift_change": "1",  # of features, when the image moves; 1 is as far as another photograph
    "shift_ratio": "1",
}
TIMED = ("throughput", "time", "bandwidth", "arithmetic")
SHARES = ("top1", "top5")  # which may be 0
PHASES = ("inference", "training")


class RecordError(ValueError):
    """A line that is no record; the message names file, line and reason."""


@dataclass(frozen=True)
class Conditions:
    """What a measurement depends on besides the model and the device.

    `memory_budget` is in bytes: what training was allowed where that is less than the device has.
    On a CPU it stands in for a GPU's memory, and a largest batch under it is counted (case
    "counted"), not tried. `width` is in channels of the first stage, where a TResNet was made
    thinner than TResNet-M: no claim is judged by it.
    """

    batch: int
    resolution: int
    dtype: str = "float32"  # a half dtype means autocast
    memory_format: str = "channels_first"  # or "channels_last"
    compile: str = "eager"  # or the mode given to torch.compile
    norm: str = "bn"  # nn.BatchNorm2d, or the backend of InPlaceABN
    memory: str | None = (
        None  # what training keeps (`TResNetConfig.memory`), where the network has the choice
    )
    memory_budget: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        _check_count("batch", self.batch)
        _check_count("resolution", self.resolution)
        if self.memory is not None:
            _check_name("memory", self.memory)
        for name in ("memory_budget", "width"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name))
        for name in ("dtype", "memory_format", "compile", "norm"):
            _check_name(name, getattr(self, name))
        if self.memory_format not in ("channels_first", "channels_last"):
            raise ValueError(
                f"memory_format is {self.memory_format!r}: channels_first or channels_last"
            )


@dataclass(frozen=True)
class Record:
    """One measurement.

    Args:
        suite: the group of measurements it belongs to, for example "stem" or "table1".
        case: which of the suite's experiments, in words of the suite.
        model: name of what was measured.
        phase: "inference" or "training".
        metric: a key of `UNITS`.
        value: median and quartiles, in the metric's unit.
        conditions, provenance: what it depends on, and where it comes from.
        point: the id of the campaign's point that measured it, which may have given other records
            too.

    Raises:
        ValueError: a field that cannot be right; the message says which and why.
    """

    suite: str
    case: str
    model: str
    phase: str
    metric: str
    value: Spread
    conditions: Conditions
    provenance: Provenance
    point: str = ""

    def __post_init__(self) -> None:
        for name in ("suite", "case", "model"):
            _check_name(name, getattr(self, name))
        if self.phase not in PHASES:
            raise ValueError(f"phase is {self.phase!r}: one of {', '.join(PHASES)}")
        if self.metric not in UNITS:
            raise ValueError(f"metric is {self.metric!r}: one of {', '.join(UNITS)}")
        _check_spread(self.value, may_be_zero=self.metric in SHARES)
        if self.metric in TIMED and self.value.repeats < MIN_REPEATS:
            raise ValueError(
                f"a {self.metric} needs at least {MIN_REPEATS} repeats, not {self.value.repeats}"
            )

    @property
    def unit(self) -> str:
        return UNITS[self.metric]

    @property
    def label(self) -> str:
        """Where the number comes from: "measured (device, date, commit)"."""
        return f"measured ({self.provenance.source})"

    @property
    def key(self) -> tuple:
        """What makes two records the same case, so that the later one supersedes the earlier."""
        case = (self.suite, self.case, self.model, self.phase, self.metric)
        return (*case, self.conditions, self.provenance.device)

    def to_json(self) -> str:
        """The record as one line, without its newline."""
        return _line(dataclasses.asdict(self) | {"unit": self.unit})

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record that a line holds.

        Raises:
            ValueError: no JSON, a field missing, unknown or wrong, or a content that the digest
                does not fit.
        """
        fields = _fields(line)
        unit = fields.get("unit")
        fields.pop("unit", None)
        for name, kind in (
            ("value", Spread),
            ("conditions", Conditions),
            ("provenance", Provenance),
        ):
            fields[name] = _build(kind, fields.get(name), name)
        record = _build(cls, fields, "record")
        if unit != record.unit:
            raise ValueError(f"unit is {unit!r}: {record.metric} is in {record.unit}")
        return record


@dataclass(frozen=True)
class Failure:
    """What a campaign tried to measure and could not.

    Args:
        suite, case, model, phase: as a record's; `phase` may be "" where the point failed before
            any.
        error: the kind in a word or two: "out of memory", "timeout", "died", or the exception's
            name.
        message: what was said.
        point: the id of the point, which names all its settings.
        provenance: where it was tried.
    """

    suite: str
    case: str
    model: str
    phase: str
    error: str
    message: str
    point: str
    provenance: Provenance

    def __post_init__(self) -> None:
        for name in ("suite", "case", "model", "error", "message", "point"):
            _check_name(name, getattr(self, name))
        if self.phase not in ("", *PHASES):
            raise ValueError(f"phase is {self.phase!r}: one of {', '.join(PHASES)}, or empty")

    def to_json(self) -> str:
        """The failure as one line, without its newline."""
        return _line(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Failure:
        """The failure that a line holds. Raises ValueError as `Record.from_json` does."""
        fields = _fields(line)
        return _build(
            cls,
            fields | {"provenance": _build(Provenance, fields["provenance"], "provenance")},
            "failure",
        )


def from_json(line: str) -> Record | Failure:
    """What a line holds. Raises ValueError as `Record.from_json` does."""
    return (Failure if "error" in _fields(line) else Record).from_json(line)


def append(path: str | os.PathLike, *records: Record | Failure) -> None:
    """Append records, all by a single write that is on disk when this returns; writers wait for
    each other.

    A process killed in the middle of that write leaves whole lines and a half-written one, which is
    refused.

    Raises:
        RecordError: the file ends in a half-written line; `repair` it first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        # A file grows page by page, so another's write that goes on would look like a half-written
        # line.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            raise RecordError(
                f"{path} ends in a half-written line: repair({str(path)!r}) removes it"
            )
        lines = "".join(record.to_json() + "\n" for record in records).encode()
        if os.write(descriptor, lines) != len(lines):
            raise OSError(
                f"{path}: only part of what was measured could be written; is the disk full?"
            )
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load(*paths: str | os.PathLike) -> list[Record]:
    """The records of JSON-lines files, or of every `*.jsonl` in a folder, in the order they were
    written.

    Every line is checked; those of failures are given by `failures` instead.

    Raises:
        RecordError: a line that is no record, or is cut short; nothing is skipped in silence.
    """
    return [line for line in read(*paths) if isinstance(line, Record)]


def failures(*paths: str | os.PathLike) -> list[Failure]:
    """What could not be measured and has not been since: the last line of its point on its device
    is a failure.
    """
    lines = read(*paths)
    last = {(line.point, line.provenance.device): line for line in lines}
    failed = {key for key, line in last.items() if isinstance(line, Failure)}
    return [x for x in lines if isinstance(x, Failure) and (x.point, x.provenance.device) in failed]


def read(*paths: str | os.PathLike) -> list[Record | Failure]:
    """All lines of the files that `load` reads, in order. Raises RecordError as `load` does."""
    files = [
        f for p in map(Path, paths) for f in (sorted(p.glob("*.jsonl")) if p.is_dir() else [p])
    ]
    return [line for file in files for line in _load_file(file)]


def _load_file(path: Path) -> Iterable[Record | Failure]:
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        raise RecordError(
            f"{path}:{len(lines) + 1}: a half-written line; repair({str(path)!r}) removes it"
        )
    for number, line in enumerate(lines, 1):
        try:
            yield from_json(line.decode())
        except (ValueError, TypeError) as error:
            raise RecordError(f"{path}:{number}: {error}") from error


def repair(path: str | os.PathLike) -> str:
    """Remove a half-written last line, which a killed run may leave, and return it ("" if there was
    none).
    """
    path = Path(path)
    whole, newline, rest = path.read_bytes().rpartition(b"\n")
    if rest:
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(whole + newline)
        os.replace(temporary, path)
    return rest.decode(errors="replace")


def latest(records: Iterable[Record]) -> list[Record]:
    """The records that stand: of each case the last measured."""
    # stable: of one second's, the last appended
    by_date = sorted(records, key=lambda r: r.provenance.date)
    return list({record.key: record for record in by_date}.values())


def pair(
    records: Iterable[Record], model: str, than: str, **where: str
) -> list[tuple[Record, Record]]:
    """Throughput records of two models that may be compared: a pair for each device and way of
    running.

    `where` narrows the records by suite, case or phase. Both models of a pair saw images of one
    size, in one dtype, memory format, compile mode, memory budget and width. They may differ in
    norm and in batch, as the paper's do (90 % of each model's largest); of several batches the
    largest counts.
    """
    best: dict[tuple, Record] = {}
    for r in latest(records):
        if r.metric != "throughput" or any(
            getattr(r, field) != value for field, value in where.items()
        ):
            continue
        c = r.conditions
        way = (c.resolution, c.dtype, c.memory_format, c.compile, c.memory_budget, c.width)
        way = (r.provenance.device, r.phase, *way)
        if (way, r.model) not in best or c.batch > best[way, r.model].conditions.batch:
            best[way, r.model] = r
    return [
        (r, best[way, than])
        for (way, name), r in best.items()
        if name == model and (way, than) in best
    ]


def _check_name(field: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field} is {value!r}: it must be a name")


def _check_count(field: str, value: object) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{field} is {value!r}: it must be a whole number, 1 or more")


def _check_spread(value: Spread, *, may_be_zero: bool) -> None:
    numbers = (value.q1, value.median, value.q3)
    if not all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)
        for v in numbers
    ):
        raise ValueError(f"median and quartiles must be finite numbers, not {numbers}")
    positive = value.q1 > 0 or (may_be_zero and value.q1 == 0)
    if not (positive and value.q1 <= value.median <= value.q3):
        raise ValueError(f"quartiles {numbers} are not in order, or not positive")
    if not isinstance(value.repeats, int) or value.repeats < 1:
        raise ValueError(f"repeats is {value.repeats!r}: it must be a whole number, 1 or more")


def _line(fields: dict) -> str:
    return json.dumps(fields | {"digest": _digest(fields)}, ensure_ascii=False, allow_nan=False)


def _fields(line: str) -> dict:
    """The content of a line without its digest, once that fits."""
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    if not fields.get("provenance"):
        raise ValueError("no provenance: where and with what was this measured?")
    if fields.pop("digest", None) != _digest(fields):
        raise ValueError(
            "the digest does not fit the content: was the line changed after it was measured?"
        )
    return fields


def _build(kind: type, fields: object, name: str):
    """An instance of a dataclass from JSON's dictionary, with the fields that do not fit named."""
    if not isinstance(fields, dict):
        raise ValueError(f"{name} is missing or no object")
    known = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(fields) - set(known))
    needed = {n for n, f in known.items() if f.default is dataclasses.MISSING}
    missing = sorted(needed - set(fields))
    if unknown or missing:
        raise ValueError(f"{name}: missing fields {missing}, unknown fields {unknown}")
    return kind(**fields)


def _digest(fields: dict) -> str:
    """Guards against a number changed by hand, not against forgery: whoever can read this can write
    one.
    """
    text = json.dumps(
        {k: v for k, v in fields.items() if k != "digest"}, sort_keys=True, ensure_ascii=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


MIN_REPEATS = 3  # fewer blocks have no quartiles worth the name


@dataclass(frozen=True)
class Spread:
    """A measured quantity: its median and quartiles over `repeats` independent repeats."""

    median: float
    q1: float
    q3: float
    repeats: int
