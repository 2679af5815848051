"""What most chapters do: time networks that differ in one thing, and set them beside the paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from tresnet_lite.experiments.campaigns import measure_points
from tresnet_lite.findings.ratios import ratio_of, ratios
from tresnet_lite.paper import paper_table, paper_value
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Record, latest
from tresnet_lite.records.records import INFERENCE_FIRST
from tresnet_lite.records.selection import standing


@dataclass(frozen=True)
class Experiment:
    """A comparison of `bench.comparisons`, as a chapter shows it.

    Attributes:
        suite, case: what the records are filed under; together the comparison's name.
        labels: name in the records → what a reader calls it.
        base: the network that ratios are to.
        printed: name → where the paper prints its speeds: "table", and the cells of its row.
    """

    suite: str
    case: str
    labels: Mapping[str, str]
    base: str
    printed: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.suite}/{self.case}"

    def measure(self, profile: Profile) -> list[Record]:
        """Images per second of the networks, and peaks of memory, from each process.

        What this machine's file has already is not measured again.

        Raises:
            CampaignError: the device cannot be used, or another campaign is at work.
            RuntimeError: the comparison failed; the message says why.
        """
        return measure_points(profile, self.name)

    def speeds(self, records: Iterable[Record]) -> pd.DataFrame:
        """Speeds of one run beside the paper's.

        Columns: those of `speed_ratios`, then name, paper and paper_ratio (NaN: not printed).
        """
        table = speed_ratios(records, suite=self.suite, case=self.case, base=self.base)
        lines = list(zip(table["model"], table["phase"], strict=True))
        return table.assign(
            name=table["model"].map(self.labels),
            paper=[self.paper_speed(model, phase) for model, phase in lines],
            paper_ratio=[self.paper_ratio(model, phase) for model, phase in lines],
        )

    def every_run(self, records: Sequence[Record]) -> pd.DataFrame:
        """Speeds of all runs on record, devices and ways of running, beside the paper's.

        A network that was not measured has one line, whose label says so. Columns: model, phase,
        paper, paper_ratio, measured, ratio (to the base of the same run), label.
        """
        rows = []
        for phase in INFERENCE_FIRST:
            for model in self.labels:
                row = {"model": model, "phase": phase, "paper": self.paper_speed(model, phase)}
                row["paper_ratio"] = self.paper_ratio(model, phase)
                case = {"suite": self.suite, "case": self.case, "phase": phase}
                measured = ratios(records, model, self.base, **case)
                for ratio in measured:
                    speed = {"measured": ratio.record.value.median, "label": ratio.record.label}
                    rows.append({**row, **speed, "ratio": ratio.value})
                if not measured:
                    rows.append({**row, "label": "not attempted (no records)"})
        columns = ["model", "phase", "paper", "paper_ratio", "measured", "ratio", "label"]
        return pd.DataFrame(rows, columns=columns)

    def paper_speed(self, model: str, phase: str) -> float:
        """The paper's images per second, NaN where it prints none (Table 4 has no training)."""
        cell, column = self.printed.get(model), f"{phase}_img_s"
        if cell is None or column not in paper_table(cell["table"]):
            return float("nan")
        return float(paper_value(column=column, **cell))

    def paper_ratio(self, model: str, phase: str) -> float:
        """The paper's speed over that of the base, NaN where it does not print both."""
        return self.paper_speed(model, phase) / self.paper_speed(self.base, phase)

    def peaks(self, records: Iterable[Record]) -> pd.DataFrame:
        """Peak memory of a training step in one run.

        Columns: model, name, peak (MB per step), peak_per_image (MB), ratio (to the base).
        """
        case = (self.suite, self.case, "peak_memory")
        measured = {r.model: r for r in latest(records) if (r.suite, r.case, r.metric) == case}
        rows = []
        for model, record in measured.items():
            peak = record.value.median / 1e6
            row = {"model": model, "name": self.labels[model], "peak": peak}
            row["peak_per_image"] = peak / record.conditions.batch
            row["ratio"] = record.value.median / measured[self.base].value.median
            rows.append(row)
        return pd.DataFrame(rows)


def speed_ratios(records: Iterable[Record], *, suite: str, case: str, base: str) -> pd.DataFrame:
    """Images per second of one run's case, and their ratio to the model `base` in the same phase.

    Columns: model, phase, measured, q1, q3, quartiles (a pair), ratio, ratio_low, ratio_high (its
    interval), interval (a pair), processes, label.
    """
    wanted = (suite, case, "throughput")
    repeated = {
        (repeats[-1].phase, repeats[-1].model): repeats
        for repeats in standing(records).values()
        if (repeats[-1].suite, repeats[-1].case, repeats[-1].metric) == wanted
    }
    rows = []
    for (phase, model), repeats in repeated.items():
        ratio = ratio_of(repeats, repeated[phase, base])
        v, ends = ratio.record.value, (ratio.low, ratio.high)
        row = {"model": model, "phase": phase, "measured": v.median, "q1": v.q1, "q3": v.q3}
        row |= {"quartiles": (v.q1, v.q3), "ratio": ratio.value, "ratio_low": ratio.low}
        row |= {"ratio_high": ratio.high, "interval": ends, "processes": ratio.processes}
        rows.append(row | {"label": ratio.record.label})
    order = {phase: place for place, phase in enumerate(INFERENCE_FIRST)}
    rows.sort(key=lambda row: order[row["phase"]])
    columns = ["model", "phase", "measured", "q1", "q3", "quartiles", "ratio", "ratio_low"]
    columns += ["ratio_high", "interval", "processes", "label"]
    return pd.DataFrame(rows, columns=columns)


def by_phase(speeds: pd.DataFrame) -> pd.DataFrame:
    """`speed_ratios` with a line for each model, its phases beside each other.

    Index: model. Columns for each phase: its name (images per second), …_ratio, …_low and …_high
    (of the ratio), …_quartiles, …_interval; NaN where a model was not timed in a phase.
    """
    endings = {"measured": "", "ratio": "_ratio", "ratio_low": "_low", "ratio_high": "_high"}
    endings |= {"quartiles": "_quartiles", "interval": "_interval"}
    wide = speeds.set_index(["model", "phase"])[list(endings)].unstack("phase")
    wide.columns = [f"{phase}{endings[column]}" for column, phase in wide.columns]
    return wide
