"""The paper's Tables 1, 3, 4 and 5 beside what was measured: records → data frames.

A run is what one device measured in one way. Each table has the printed lines once for each run
that has records of its suite, or once without measurements. Its columns:

    run                         device, date, commit and how it ran; or why nothing was attempted
    label, side                 device, date and commit alone; the pixels that stood for 224
    network, resolution         as printed
    phase                       "training", "inference" (images per second) or "largest batch"
    paper, paper_ratio          quoted; NaN where the paper prints nothing
    measured, q1, q3, batch     median, quartiles, and the batch that was timed
    ratio, ratio_low, ratio_high   to the network that the table compares with, and its interval
    processes                   that timed both
    repeats                     the record of each process
    source                      "measured" or "counted"; or why a number is missing
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from tresnet_lite.bench.comparisons import EFFICIENTNETS, side
from tresnet_lite.bench.suites import GIB
from tresnet_lite.findings.ratios import ratio_of
from tresnet_lite.paper import MODELS, paper_table
from tresnet_lite.records import Failure, Record, latest
from tresnet_lite.records.records import INFERENCE_FIRST, PHASES
from tresnet_lite.records.selection import standing

LARGEST_BATCH = "largest batch"
PRINTED = {"training": "training_img_s", "inference": "inference_img_s", LARGEST_BATCH: "max_batch"}
PAPER_SIDE = 224  # pixels; the EfficientNets and Table 5 have their own


@dataclass(frozen=True)
class Line:
    """One printed number, and what it stands beside.

    Attributes:
        model: as in the records.
        base: network and resolution of the line, of the same phase, that ratios are to.
    """

    network: str
    model: str
    phase: str
    paper: float
    base: tuple[str, int]
    resolution: int = PAPER_SIDE

    @property
    def key(self) -> tuple[str, int, str]:
        return (self.network, self.resolution, self.phase)

    @property
    def base_key(self) -> tuple[str, int, str]:
        return (*self.base, self.phase)


@dataclass(frozen=True)
class Run:
    """A device and a way of running; `side` is what stands for the paper's 224 pixels."""

    device: str
    side: int
    dtype: str
    memory_format: str
    compile: str
    memory_budget: int | None

    @classmethod
    def of(cls, record: Record) -> Run:
        c = record.conditions
        ran = (c.resolution, c.dtype, c.memory_format, c.compile, c.memory_budget)
        return cls(record.provenance.device, *ran)

    def __str__(self) -> str:
        capped = f"{self.memory_budget / GIB:g} GiB of memory" if self.memory_budget else ""
        layout = self.memory_format.replace("_", " ")
        small = "too small an image to conclude from" if self.side < PAPER_SIDE else ""
        ran = (f"{self.side} px", self.dtype, layout, self.compile, capped, small)
        return ", ".join(filter(None, ran))


def table1(records: Iterable[Record], failures: Iterable[Failure] = ()) -> pd.DataFrame:
    """ResNet50 and its successors: training and inference, as ratios to ResNet50."""
    return beside(records, _lines(1, PHASES), suite="table1", case="networks", failures=failures)


def table3(records: Iterable[Record], failures: Iterable[Failure] = ()) -> pd.DataFrame:
    """The family: training, inference and the largest batch, as ratios to ResNet50."""
    lines = _lines(3, (*PHASES, LARGEST_BATCH))
    return beside(records, lines, suite="table3", case="networks", failures=failures)


def table4(records: Iterable[Record], failures: Iterable[Failure] = ()) -> pd.DataFrame:
    """The ablation: a rung for each refinement, as ratios to the first, whose training is ours."""
    printed = paper_table(4).set_index("refinement")
    base, lines = (printed.index[0], PAPER_SIDE), []
    for phase in INFERENCE_FIRST:
        for rung, row in printed.iterrows():
            lines.append(Line(rung, rung, phase, row.get(PRINTED[phase], float("nan")), base))
    return beside(records, lines, suite="table4", case="ladder", failures=failures)


def table5(records: Iterable[Record], failures: Iterable[Failure] = ()) -> pd.DataFrame:
    """Two resolutions, as ratios to the network at 224 px: Table 3 prints speeds, Table 5 none."""
    speeds = paper_table(3).set_index("model")
    lines = []
    for row in paper_table(5).to_dict("records"):
        name, side = row["model"], row["resolution"]
        for phase, column in PRINTED.items():
            printed = float(speeds.at[name, column]) if side == PAPER_SIDE else float("nan")
            lines.append(Line(name, MODELS[name], phase, printed, (name, PAPER_SIDE), side))
    return beside(records, lines, suite="table5", case="networks", failures=failures)


def _lines(number: int, phases: Iterable[str]) -> list[Line]:
    """The printed lines of Table 1 or 3, phase by phase, each network at its own resolution."""
    base, lines = ("ResNet50", PAPER_SIDE), []
    for phase in phases:
        for row in paper_table(number).to_dict("records"):
            name, printed = row["model"], float(row[PRINTED[phase]])
            side = EFFICIENTNETS.get(MODELS[name], PAPER_SIDE)
            lines.append(Line(name, MODELS[name], phase, printed, base, side))
    return lines


def beside(
    records: Iterable[Record],
    lines: Sequence[Line],
    *,
    suite: str,
    case: str,
    failures: Iterable[Failure] = (),
) -> pd.DataFrame:
    """The lines beside the records of a suite's case for each run; the columns are the module's."""
    repeated = standing(r for r in records if (r.suite, r.case) == (suite, case))
    records = latest(r for repeats in repeated.values() for r in repeats)
    failures = [f for f in failures if (f.suite, f.case) == (suite, case)]
    processes = {key: len(repeats) for key, repeats in repeated.items()}
    rows = []
    for run in _runs(records, lines):
        measured = {line.key: _record(records, run, line, processes) for line in lines}
        newest = max(filter(None, measured.values()), key=lambda r: r.provenance.date)
        words = f"{newest.label}; {_described(run, lines)}"
        of_run = {"run": words, "label": newest.label, "side": run.side}
        for line in lines:
            row = {"source": _why_not(failures, run, line), **of_run, **_quoted(line, lines)}
            both = (measured[line.key], measured.get(line.base_key))
            rows.append(row | _measured(*both, repeated))
    if not rows:
        absent = f"not attempted: no records; `python -m tresnet_lite.bench run {suite}` makes them"
        rows = [{"run": absent, "source": "not attempted"} | _quoted(line, lines) for line in lines]
    return pd.DataFrame(rows).reindex(columns=TABLE_COLUMNS)


TABLE_COLUMNS = ["run", "label", "side", "network", "resolution", "phase", "paper", "paper_ratio"]
TABLE_COLUMNS += ["measured", "q1", "q3", "batch", "ratio", "ratio_low", "ratio_high"]
TABLE_COLUMNS += ["processes", "repeats", "source"]


def _described(run: Run, lines: Sequence[Line]) -> str:
    """A run in words, with the resolutions of all of its lines: "224 to 600 px, float16, …"."""
    sides = sorted({side(line.resolution, run.side) for line in lines})
    if len(sides) == 1:
        return str(run)
    return str(run).replace(f"{run.side} px", f"{sides[0]} to {sides[-1]} px", 1)


def _runs(records: Sequence[Record], lines: Sequence[Line]) -> list[Run]:
    """The runs that records belong to, the smallest images first."""
    models, sides = {line.model for line in lines}, {line.resolution for line in lines}
    speeds = [r for r in records if r.metric == "throughput" and r.model in models]
    runs: list[Run] = []
    for record in sorted(speeds, key=lambda r: r.conditions.resolution):
        run = Run.of(record)
        # A 448 px image may be the larger one of a run at 224 px, and is then no run of its own.
        same = (other for other in runs if replace(run, side=other.side) == other)
        if not any(run.side in {side(s, other.side) for s in sides} for other in same):
            runs.append(run)
    return runs


def _record(
    records: Sequence[Record], run: Run, line: Line, processes: Mapping[tuple, int]
) -> Record | None:
    """The run's record for a line.

    Of several batches the one that most processes timed counts, then the largest.
    """
    speed = line.phase != LARGEST_BATCH
    what = ("throughput", line.phase) if speed else ("largest_batch", "training")
    wanted = replace(run, side=side(line.resolution, run.side))
    same = [r for r in records if r.model == line.model and (r.metric, r.phase) == what]
    matching = [r for r in same if Run.of(r) == wanted]
    if not speed and not matching:
        # Speeds at a fixed batch have no budget of memory, also where the largest batch was
        # searched within one.
        matching = [
            r for r in same if replace(Run.of(r), memory_budget=run.memory_budget) == wanted
        ]
    return max(matching, key=lambda r: (processes[r.key], r.conditions.batch), default=None)


def _quoted(line: Line, lines: Sequence[Line]) -> dict[str, object]:
    base = {other.key: other.paper for other in lines}.get(line.base_key, float("nan"))
    cells = {name: getattr(line, name) for name in ("network", "resolution", "phase", "paper")}
    return {**cells, "paper_ratio": line.paper / base}


def _measured(
    record: Record | None, base: Record | None, repeated: Mapping[tuple, list[Record]]
) -> dict[str, object]:
    if record is None:
        return {}
    v = record.value
    numbers = {"measured": v.median, "q1": v.q1, "q3": v.q3, "batch": record.conditions.batch}
    numbers["source"] = "counted" if record.counted else "measured"
    numbers["repeats"] = repeated[record.key]
    if base is not None and record.counted:
        numbers["ratio"] = v.median / base.value.median
    elif base is not None:
        ratio = ratio_of(repeated[record.key], repeated[base.key])
        numbers |= {"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high}
        numbers["processes"] = ratio.processes
    return numbers


def _why_not(failures: Sequence[Failure], run: Run, line: Line) -> str:
    """Why a run may have no record for a line: its last failure, or that nothing was tried."""
    pixels = f" {side(line.resolution, run.side)} px,"
    phase = "training" if line.phase == LARGEST_BATCH else line.phase
    for f in reversed(failures):
        here = f.provenance.device == run.device and f.model == line.model and pixels in f.point
        if here and f.phase in ("", phase):
            return f"failed: {f.error}, {f.message}"
    return "not attempted"
