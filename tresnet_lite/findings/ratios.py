"""How many times as fast one model is as another, and how well that is known.

A ratio is taken within a process, which times both models in turn; its interval is over processes:
Student's, for the mean of the ratios' logarithms. The quartiles of one process say nothing about
the next, so a ratio that fewer than three processes know gets a wide interval, by what processes
were seen to differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from statistics import fmean

import pandas as pd

from tresnet_lite.findings.statistics import interval
from tresnet_lite.records import Record
from tresnet_lite.records.records import MIN_REPEATS
from tresnet_lite.records.selection import PROCESS, standing, together

# About how far apart two processes' ratios were seen: on two cores, and on an H200 by a third too,
# where the host was as busy as the device. (Our Inplace-ABN in training, which judges nothing
# there, differed more.)
SLACK = 1.35


@dataclass(frozen=True)
class Ratio:
    """Two models' records, of all processes together, and the ratio of the first to the second.

    `low` and `high` are the ends of the interval, `processes` those that timed both models.
    """

    record: Record
    base: Record
    value: float
    low: float
    high: float
    processes: int

    @property
    def other_layer(self) -> bool:
        """Was, on a GPU, our own Inplace-ABN timed against BatchNorm?"""
        norms = {self.record.conditions.norm, self.base.conditions.norm}
        return self.record.provenance.cuda is not None and norms == {"native", "bn"}

    @property
    def text(self) -> str:
        """The ratio with its interval: "1.042× (1.039–1.045)"."""
        return f"{self.value:.3f}× ({self.low:.3f}–{self.high:.3f})"

    @property
    def method(self) -> str:
        """How the interval came about."""
        if self.processes >= MIN_REPEATS:
            return f"{self.processes} processes"
        few = "one process" if self.processes == 1 else "different processes"
        few = f"{self.processes} processes" if self.processes > 1 else few
        return f"{few}, so a factor of {SLACK:g} is allowed for"


def ratio_of(records: list[Record], bases: list[Record]) -> Ratio:
    """The ratio of two models' values; each list holds the records of the processes that stand."""
    both = _in_processes(records, bases)
    processes, both = len(both), both or [(records[-1], bases[-1])]
    logs = _logs(both)
    mean = fmean(logs)
    ends = (mean - math.log(SLACK), mean + math.log(SLACK))
    if processes >= MIN_REPEATS:  # a network beside itself has no spread
        ends = interval(logs) if len(set(logs)) > 1 else (mean, mean)
    record, base = (together(list(side)) for side in zip(*both, strict=True))
    return Ratio(record, base, *map(math.exp, (mean, *ends)), processes)


def _in_processes(records: list[Record], bases: list[Record]) -> list[tuple[Record, Record]]:
    """Pairs that one process timed."""
    # Records of version 1 name no process.
    timed = {_place(record): record for record in bases if record.provenance.process}
    return [(record, timed[_place(record)]) for record in records if _place(record) in timed]


def _logs(pairs: Iterable[tuple[Record, Record]]) -> list[float]:
    return [math.log(record.value.median / base.value.median) for record, base in pairs]


def _place(record: Record) -> tuple[str, str]:
    """The process, and the point, which tells a process's comparisons apart."""
    return record.provenance.process, record.point


def ratios(records: Iterable[Record], model: str, base: str, **where: str) -> list[Ratio]:
    """Throughputs of two models that may be compared: a ratio for each device and way of running.

    `where` narrows the records by suite, case or phase. Both models saw images of one size, in one
    dtype, memory format, compile mode, memory budget and width. They may differ in norm and in
    batch. Of several pairs of one way the one that most processes timed counts, then the one with
    the largest batches.
    """
    ways: dict[tuple[object, ...], tuple[list[list[Record]], list[list[Record]]]] = {}
    for repeats in standing(records).values():
        r, c = repeats[-1], repeats[-1].conditions
        if r.metric != "throughput" or any(getattr(r, name) != x for name, x in where.items()):
            continue
        ran = (c.resolution, c.dtype, c.memory_format, c.compile, c.memory_budget, c.width)
        of_model, of_base = ways.setdefault((r.provenance.device, r.phase, *ran), ([], []))
        if r.model == model:
            of_model.append(repeats)
        if r.model == base:
            of_base.append(repeats)
    return [
        max((ratio_of(a, b) for a, b in product(*sides)), key=_best_known)
        for sides in ways.values()
        if all(sides)
    ]


def _best_known(ratio: Ratio) -> tuple[int, int, int]:
    return ratio.processes, ratio.record.conditions.batch, ratio.base.conditions.batch


def deviations(records: Iterable[Record]) -> pd.DataFrame:
    """How far each process's ratio lies from that of all, for networks that processes compared.

    Ratios are to the first network of the same comparison. Columns: device, phase, case, model,
    processes, percent.
    """
    repeated = {key: repeats for key, repeats in standing(records).items() if _compared(repeats)}
    bases: dict[tuple[object, ...], list[Record]] = {}
    rows = []
    for repeats in repeated.values():
        r = repeats[-1]
        where = (r.provenance.device, r.suite, r.case, r.phase, r.conditions.batch)
        base = bases.setdefault(where, repeats)  # in the order that they were recorded
        if base is repeats:
            continue
        logs = _logs(_in_processes(repeats, base))
        if not logs:  # no process timed both
            continue
        mean = fmean(logs)
        line = {"device": where[0], "phase": r.phase, "case": f"{r.suite}, {r.case}"}
        line |= {"model": r.model, "processes": len(logs)}
        rows += [{**line, "percent": 100 * (log - mean)} for log in logs]
    columns = ["device", "phase", "case", "model", "processes", "percent"]
    return pd.DataFrame(rows, columns=columns)


def _compared(repeats: list[Record]) -> bool:
    return repeats[-1].metric == "throughput" and len(repeats) > 1 and PROCESS in repeats[-1].point
