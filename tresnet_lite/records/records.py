"""What a record is: one measurement, what it depends on, and where it comes from.

What could not be measured is a line too, a `Failure` with its reason.
"""

from __future__ import annotations

import dataclasses
import reprlib
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tresnet_lite.records.lines import decode, encode
from tresnet_lite.records.provenance import Provenance
from tresnet_lite.records.text import check_fields

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
PHASES = ("training", "inference")
INFERENCE_FIRST = PHASES[::-1]  # the order in which chapters time and show them
LAYOUTS = ("channels_first", "channels_last")
MIN_REPEATS = 3  # fewer blocks have no quartiles worth the name


@dataclass(frozen=True)
class Spread:
    """A measured quantity: its median and quartiles over `repeats` independent repeats."""

    median: float
    q1: float
    q3: float
    repeats: int

    @classmethod
    def over(cls, values: Iterable[float]) -> Spread:
        """The spread of repeated measurements; a single one has none."""
        values = list(values)
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, q1, q3, len(values))


@dataclass(frozen=True)
class Conditions:
    """What a measurement depends on besides the model and the device.

    `memory` is what training keeps (`TResNetConfig.memory`), where the network has the choice.
    `memory_budget` is in bytes: what training was allowed where that is less than the device has;
    on a CPU it stands in for a GPU's memory. `width` is in channels of the first stage, where a
    TResNet was made thinner than TResNet-M: no claim is judged by it.
    """

    batch: int
    resolution: int
    dtype: str = "float32"  # a half dtype means autocast
    memory_format: str = "channels_first"  # one of `LAYOUTS`
    compile: str = "eager"  # or the mode given to torch.compile
    norm: str = "bn"  # nn.BatchNorm2d, or the backend of InPlaceABN
    memory: str | None = None
    memory_budget: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("batch", "resolution"):
            _check_count(name, getattr(self, name))
        for name in ("memory_budget", "width"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name))
        for name in ("dtype", "memory_format", "compile", "norm"):
            _check_name(name, getattr(self, name))
        if self.memory is not None:
            _check_name("memory", self.memory)
        if self.memory_format not in LAYOUTS:
            raise ValueError(f"memory_format is {self.memory_format!r}: {' or '.join(LAYOUTS)}")


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
        part: which part of the case, where it has several: "layer1" of case "stages".
        seed: of the training, where its result depends on one.
        counted: the value follows from counting under these conditions; it was not tried.

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
    part: str = ""
    seed: int | None = None
    counted: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("suite", "case", "model"):
            _check_name(name, getattr(self, name))
        _check_seed(self.seed)
        if self.phase not in PHASES:
            raise ValueError(f"phase is {self.phase!r}: one of {', '.join(PHASES)}")
        if self.metric not in UNITS:
            raise ValueError(f"metric is {self.metric!r}: one of {', '.join(UNITS)}")
        _check_spread(self.value, may_be_zero=self.metric in SHARES)
        if self.metric in TIMED and self.value.repeats < MIN_REPEATS:
            few = f"not {self.value.repeats}"
            raise ValueError(f"a {self.metric} needs at least {MIN_REPEATS} repeats, {few}")

    @property
    def unit(self) -> str:
        return UNITS[self.metric]

    @property
    def label(self) -> str:
        """Where the number comes from: "measured (device, date, commit)", or "counted (…)"."""
        return f"{'counted' if self.counted else 'measured'} ({self.provenance.source})"

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two records the same case, so that the later one supersedes the earlier."""
        case = (self.suite, self.case, self.part, self.seed, self.counted)
        return (*case, self.model, self.phase, self.metric, self.conditions, self.provenance.device)

    def to_json(self) -> str:
        """The record as one line, without its newline."""
        return encode(dataclasses.asdict(self) | {"unit": self.unit})

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record that a line holds.

        Raises:
            ValueError: what `decode` refuses, or a field missing, unknown or wrong.
        """
        return _record(decode(line))


@dataclass(frozen=True)
class Failure:
    """What a campaign tried to measure and could not.

    Args:
        suite, case, model, phase, part, seed: as a record's; `phase` may be "" where the point
            failed before any.
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
    part: str = ""
    seed: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("suite", "case", "model", "error", "message", "point"):
            _check_name(name, getattr(self, name))
        _check_seed(self.seed)
        if self.phase not in ("", *PHASES):
            raise ValueError(f"phase is {self.phase!r}: one of {', '.join(PHASES)}, or empty")

    def to_json(self) -> str:
        """The failure as one line, without its newline."""
        return encode(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Failure:
        """The failure that a line holds. Raises ValueError as `Record.from_json` does."""
        return _failure(decode(line))


def from_json(line: str) -> Record | Failure:
    """What a line holds. Raises ValueError as `Record.from_json` does."""
    fields = decode(line)
    return _failure(fields) if "error" in fields else _record(fields)


def _record(fields: dict[str, Any]) -> Record:
    unit = fields.pop("unit", None)
    nested = {"value": Spread, "conditions": Conditions, "provenance": Provenance}
    record = _build("record", Record, fields, **nested)
    if unit != record.unit:
        raise ValueError(f"unit is {unit!r}: {record.metric} is in {record.unit}")
    return record


def _failure(fields: dict[str, Any]) -> Failure:
    return _build("failure", Failure, fields, provenance=Provenance)


def _build(name: str, kind: type, fields: object, **nested: type) -> Any:
    """A dataclass's instance from JSON, and those `nested` in it; an error names what is wrong."""
    if not isinstance(fields, dict):
        raise ValueError(f"{name} is missing or no object")
    fields = fields | {key: _build(key, inner, fields.get(key)) for key, inner in nested.items()}
    known = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(fields) - set(known))
    needed = {n for n, f in known.items() if f.default is dataclasses.MISSING}
    missing = sorted(needed - set(fields))
    if unknown or missing:
        raise ValueError(f"{name}: missing fields {missing}, unknown fields {unknown}")
    return kind(**fields)


def _check_name(field: str, value: str) -> None:
    if not value:
        raise ValueError(f"{field} is {value!r}: it must be a name")


def _check_count(field: str, value: object) -> None:
    if type(value) is not int or not 1 <= value < 1 << 53:
        raise ValueError(f"{field} is {reprlib.repr(value)}: it must be a whole number, 1 or more")


def _check_seed(seed: int | None) -> None:
    if seed is not None and seed < 0:
        raise ValueError(f"seed is {seed!r}: it must be a whole number, 0 or more, or none")


def _check_spread(value: Spread, *, may_be_zero: bool) -> None:
    numbers = (value.q1, value.median, value.q3)
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers)
    if not (numeric and all(abs(v) < 1e30 for v in numbers)):  # of NaN, nothing is true
        raise ValueError(f"median and quartiles must be finite numbers, not {numbers}")
    positive = value.q1 > 0 or (may_be_zero and value.q1 == 0)
    if not (positive and value.q1 <= value.median <= value.q3):
        raise ValueError(f"quartiles {numbers} are not in order, or not positive")
    _check_count("repeats", value.repeats)
