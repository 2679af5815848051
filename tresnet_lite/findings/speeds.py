"""Measured speeds beside the paper's."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tresnet_lite.paper import paper_table, paper_value
from tresnet_lite.records import Record, pair


def model_speeds(records: Iterable[Record], *, suite: str, case: str, base: str) -> pd.DataFrame:
    """Images a second of one run's case, and their ratio to the model `base` in the same phase.

    Columns: model, phase, measured, q1, q3, ratio, ratio_q1, ratio_q3, label.
    """

    chosen = [r for r in records if (r.suite, r.case, r.metric) == (suite, case, "throughput")]
    bases = {r.phase: r.value.median for r in chosen if r.model == base}
    rows = []
    for r in chosen:
        v, unit = r.value, bases[r.phase]
        row = {"model": r.model, "phase": r.phase, "measured": v.median, "q1": v.q1, "q3": v.q3}
        row |= {"ratio": v.median / unit, "ratio_q1": v.q1 / unit, "ratio_q3": v.q3 / unit}
        rows.append(row | {"label": r.label})
    return pd.DataFrame(rows)


# Suite "stem", case "resnet50": ResNet50 with each of three stems → where the paper prints its
# speed. For ResNet50-D that is the whole network; the paper puts its loss in training speed down to
# the stem (§2.1).
STEMS = {
    "conv7x7": {"table": 1, "model": "ResNet50"},
    "resnet_d": {"table": 1, "model": "ResNet50-D"},
    "space_to_depth": {"table": 4, "refinement": "+ Stem → SpaceToDepth"},
}


def stem_table(measured: Iterable[Record]) -> pd.DataFrame:
    """Speeds of ResNet50 with each of three stems: the paper's, measured ones, and both as ratios
    to 7×7.

    One row for each stem, phase and way of running that was measured, or one without measurement.
    Speeds in images a second; a speed that the paper does not print is NaN.
    """

    rows = []
    for phase in ("inference", "training"):
        base = _paper_speed("conv7x7", phase)
        for stem in STEMS:
            printed = _paper_speed(stem, phase)
            quoted = {"stem": stem, "phase": phase, "paper": printed, "paper_ratio": printed / base}
            pairs = pair(measured, stem, "conv7x7", suite="stem", case="resnet50", phase=phase)
            found = [_measured_columns(a, a.value.median / b.value.median) for a, b in pairs]
            rows += [
                quoted | columns for columns in found or [{"label": "not attempted (no records)"}]
            ]
    return pd.DataFrame(rows).reindex(columns=["stem", "phase", "paper", "paper_ratio", *_MEASURED])


_MEASURED = [
    "measured",
    "q1",
    "q3",
    "ratio",
    "batch",
    "resolution",
    "dtype",
    "memory_format",
    "device",
    "label",
]


def _measured_columns(record: Record, ratio: float) -> dict[str, object]:
    v, c = record.value, record.conditions
    numbers = {"measured": v.median, "q1": v.q1, "q3": v.q3, "ratio": ratio}
    ran = {
        "batch": c.batch,
        "resolution": c.resolution,
        "dtype": c.dtype,
        "memory_format": c.memory_format,
    }
    return numbers | ran | {"device": record.provenance.device, "label": record.label}


def _paper_speed(stem: str, phase: str) -> float:
    """The paper's speed of ResNet50 with a stem, NaN where it prints none (Table 4 has no
    training).
    """
    column = f"{phase}_img_s"
    if column not in paper_table(STEMS[stem]["table"]):
        return float("nan")
    return float(paper_value(column=column, **STEMS[stem]))
