"""What most chapters do: time networks that differ in one thing, and set them beside the paper."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from torch import Tensor, nn

from tresnet_lite.bench.compare import compare, training_peaks
from tresnet_lite.paper import paper_table, paper_value
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Record, pair
from tresnet_lite.records.records import INFERENCE_FIRST


@dataclass(frozen=True)
class Experiment:
    """Networks, or parts of them, that are timed against each other.

    Attributes:
        suite, case: what the records are filed under.
        labels: name in the records → what a reader calls it.
        base: the network that ratios are to.
        build: channels of the first stage (`Profile.width`) → name → network.
        timed: phase → the networks timed in it; None: all, in inference and in training.
        with_peaks: also take the peak memory of a step of each network timed in training.
        printed: name → where the paper prints its speeds: "table", and the cells of its row.
        loss, inputs: as `compare` takes them, where networks take no images or give no classes;
            `inputs` makes them from the profile and the phase.
    """

    suite: str
    case: str
    labels: Mapping[str, str]
    base: str
    build: Callable[[int], Mapping[str, nn.Module]]
    timed: Mapping[str, Collection[str]] | None = None
    with_peaks: bool = False
    printed: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    loss: Callable[[Tensor], Tensor] | None = None
    inputs: Callable[[Profile, str], Tensor] | None = None

    def measure(self, profile: Profile) -> list[Record]:
        """Images per second of the networks, phase by phase, then the peaks of memory."""
        networks = self.build(profile.width)
        case = {"suite": self.suite, "case": self.case}
        records = []
        for phase in INFERENCE_FIRST:
            timed = {name: networks[name] for name in self._timed_in(phase)}
            if timed:
                inputs = self.inputs(profile, phase) if self.inputs else None
                options = {"phase": phase, "loss": self.loss, "inputs": inputs}
                records += compare(timed, profile, **case, **options)
        if self.with_peaks:
            trained = {name: networks[name] for name in self._timed_in("training")}
            records += training_peaks(trained, profile, **case)
        return records

    def _timed_in(self, phase: str) -> Collection[str]:
        return self.labels if self.timed is None else self.timed.get(phase, ())

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
                pairs = pair(records, model, self.base, **case)
                for record, base in pairs:
                    speed, label = record.value.median, record.label
                    ratio = speed / base.value.median
                    rows.append({**row, "measured": speed, "ratio": ratio, "label": label})
                if not pairs:
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
        measured = {r.model: r for r in records if (r.suite, r.case, r.metric) == case}
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

    Columns: model, phase, measured, q1, q3, ratio, ratio_q1, ratio_q3, label, quartiles
    (of measured, a pair).
    """
    timed = [r for r in records if (r.suite, r.case, r.metric) == (suite, case, "throughput")]
    bases = {r.phase: r.value.median for r in timed if r.model == base}
    rows = []
    for r in timed:
        v, unit = r.value, bases[r.phase]
        row = {"model": r.model, "phase": r.phase, "measured": v.median, "q1": v.q1, "q3": v.q3}
        row |= {"ratio": v.median / unit, "ratio_q1": v.q1 / unit, "ratio_q3": v.q3 / unit}
        row |= {"label": r.label, "quartiles": (v.q1, v.q3)}
        rows.append(row)
    return pd.DataFrame(rows)


def by_phase(speeds: pd.DataFrame) -> pd.DataFrame:
    """`speed_ratios` with a line for each model, its phases beside each other.

    Index: model. Columns for each phase: its name (images per second), …_ratio, …_q1 and …_q3 (of
    the ratio), …_quartiles; NaN where a model was not timed in a phase.
    """
    endings = {"measured": "", "ratio": "_ratio", "ratio_q1": "_q1", "ratio_q3": "_q3"}
    endings["quartiles"] = "_quartiles"
    wide = speeds.set_index(["model", "phase"])[list(endings)].unstack("phase")
    wide.columns = [f"{phase}{endings[column]}" for column, phase in wide.columns]
    return wide
