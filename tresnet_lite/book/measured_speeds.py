"""TResNet-M against ResNet50 on each device that was measured: the landing page's last part."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from datetime import datetime
from math import nan

import pandas as pd

from tresnet_lite.book.figures import numbered_figure
from tresnet_lite.book.landing import BASE, MODEL, part_of, printed, share_held
from tresnet_lite.claims.ledger import ledger
from tresnet_lite.claims.verdict import FAILS_HERE, HOLDS_HERE
from tresnet_lite.findings.ratios import Ratio, ratios
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.records import Record
from tresnet_lite.records.records import INFERENCE_FIRST
from tresnet_lite.records.text import printable
from tresnet_lite.show import plots

NOTHING = f"No network of Table 3 was measured at {PAPER_SIDE} px yet: `make reproduce` does that."
WHAT = f"Speed of TResNet-M relative to timm's ResNet50, at {PAPER_SIDE} pixels, as measured."


def landing_measured(records: Iterable[Record]) -> str:
    """TResNet-M against ResNet50 on every device that was measured, and what CPUs say."""
    records = list(records)
    lines = speeds(records)
    if not (lines["ratio"] > 0).any():
        return NOTHING
    figure = numbered_figure(plots.ratios(lines, base="ResNet50", description=WHAT).html, "0.3")
    return f"{figure}\n\n{_on_cpus(records)}"


def _on_cpus(records: list[Record]) -> str:
    """What CPUs say of claims about speed, in a sentence; nothing where none does."""
    held, judged = share_held(ledger(records), HOLDS_HERE, FAILS_HERE)
    what = "A CPU judges only itself, because the paper speaks of GPUs"
    return f"{what}: {part_of(held, judged)} verdicts on speed hold there." if judged else ""


def best_first(record: Record) -> tuple:
    """A key to sort by: GPUs before CPUs, plain ways of running before special ones, then age."""
    c, p = record.conditions, record.provenance
    special = (c.compile != "eager", c.memory_format != "channels_first")
    return (p.cuda is None, *special, -datetime.fromisoformat(p.date).timestamp())


def measured(records: Iterable[Record], phase: str) -> list[Ratio]:
    """TResNet-M over ResNet50 of each run at the paper's size, the best device first."""
    runs = ratios(records, MODEL, BASE, suite="table3", case="networks", phase=phase)
    of_size = [ratio for ratio in runs if ratio.record.conditions.resolution == PAPER_SIDE]
    return sorted(of_size, key=lambda ratio: best_first(ratio.record))


def speeds(records: Iterable[Record]) -> pd.DataFrame:
    """TResNet-M's speed over ResNet50's: a row for each phase and run, or one without measurement.

    Columns as `plots.ratios` reads them.
    """
    rows, records = [], list(records)
    for phase in INFERENCE_FIRST:
        lines = [_line(ratio) for ratio in measured(records, phase)]
        lines = lines or [("not measured yet", nan, nan, nan)]
        rows += [(phase, printed(f"{phase}_img_s"), *line) for line in lines]
    columns = ["phase", "paper_ratio", "name", "ratio", "ratio_low", "ratio_high"]
    return pd.DataFrame(rows, columns=columns)


def _line(ratio: Ratio) -> tuple[str, float, float, float]:
    """How a device ran, then the ratio and the ends of its interval."""
    c = ratio.record.conditions
    layout = c.memory_format.replace("_", " ")
    run = printable(f"{ratio.record.provenance.device}, {c.dtype}, {layout}, {c.compile}")
    name = "\n".join(textwrap.wrap(run.replace("(R)", "").replace("(TM)", ""), 20))
    return name, ratio.value, ratio.low, ratio.high
