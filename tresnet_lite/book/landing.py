"""The result in one figure and five numbers: what the landing page shows."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import nan

import pandas as pd

from tresnet_lite.book.chapters import chapter
from tresnet_lite.book.figures import numbered_figure
from tresnet_lite.claims.ledger import ledger
from tresnet_lite.claims.verdict import (
    BY_COUNTING,
    DIFFERS,
    INCONCLUSIVE,
    NOT_ATTEMPTED,
    REPRODUCED,
)
from tresnet_lite.counting.kept import kept_per_image
from tresnet_lite.findings.ratios import Ratio, ratios
from tresnet_lite.findings.sizes import model_sizes
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import paper_value
from tresnet_lite.records import Record
from tresnet_lite.records.records import INFERENCE_FIRST
from tresnet_lite.records.text import printable
from tresnet_lite.show import plots
from tresnet_lite.show.text import as_html

MODEL, BASE = "tresnet_m", "resnet50"
NOTHING = f"not attempted: no records of Table 3's networks at {PAPER_SIDE} px"


@dataclass(frozen=True)
class Number:
    """What it is, ours, where that comes from, the paper's, and the page about it."""

    what: str
    ours: str
    source: str
    paper: str
    page: str


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


def printed(column: str) -> float:
    """TResNet-M's figure over ResNet50's, in a column of the paper's Table 3 (V100)."""
    ours, base = (paper_value(3, column, model=name) for name in ("TResNet-M", "ResNet50"))
    return ours / base


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


def landing_figure(records: Iterable[Record]) -> str:
    """TResNet-M against ResNet50 on every device that was measured, beside the paper's V100."""
    what = "Speed of TResNet-M relative to timm's ResNet50, at 224 pixels."
    drawing = plots.ratios(speeds(records), base="ResNet50", description=what)
    return numbered_figure(drawing.html, "0.1")


def landing_numbers(records: Iterable[Record]) -> str:
    """The five numbers, as HTML."""
    records = list(records)
    speeds_of_phases = (_speed(records, phase) for phase in INFERENCE_FIRST)
    numbers = [*speeds_of_phases, _kept(), _parameters(), _claims(records)]
    return '<dl class="numbers">\n' + "\n".join(map(_card, numbers)) + "\n</dl>"


def _card(number: Number) -> str:
    texts = (number.what, number.ours, number.source, number.paper)
    what, ours, source, paper = map(as_html, texts)
    return (
        f'<div><dt><a href="{number.page}">{what}</a></dt><dd class="ours">{ours}</dd>'
        f"<dd>{paper}</dd><dd><small>{source}</small></dd></div>"
    )


def _speed(records: list[Record], phase: str) -> Number:
    runs, what = measured(records, phase), f"TResNet-M's {phase} speed, timm's ResNet50 = 1"
    paper, page = f"paper {printed(f'{phase}_img_s'):.2f}", chapter(11).page
    if not runs:
        return Number(what, "–", NOTHING, paper, page)
    return Number(what, f"{runs[0].value:.2f}", runs[0].record.label, paper, page)


def _kept() -> Number:
    """What an image keeps for backward: the ground of the paper's larger batch."""
    ours = kept_per_image(MODEL, "bfloat16", norm="iabn", memory="paper")
    base = kept_per_image(BASE, "bfloat16", norm="bn", memory="paper")
    ratio = f"{sum(base.values()) / sum(ours.values()):.2f}"
    what = "Memory that our ResNet50 keeps for training, TResNet-M = 1"
    paper = f"paper {printed('max_batch'):.2f}, from its largest batches"
    return Number(what, ratio, BY_COUNTING, paper, chapter(3).page)


def _parameters() -> Number:
    row = model_sizes().set_index("model").loc["TResNet-M"]
    paper = f"paper {row['paper_parameters']:.1f} M"
    paper += f"; ours with the classifier {row['parameters_m']:.1f} M"
    what, ours = "TResNet-M's parameters without classifier", f"{row['without_classifier']:.1f} M"
    return Number(what, ours, BY_COUNTING, paper, "discrepancies.html")


def _claims(records: list[Record]) -> Number:
    rows = ledger(records)
    counts = Counter(rows["verdict"])
    ours = f"{counts[REPRODUCED]} of {counts[REPRODUCED] + counts[DIFFERS]}"
    open_ = counts[INCONCLUSIVE] + counts[NOT_ATTEMPTED]
    rest = f"{rows['id'].nunique()} claims; {open_} verdicts inconclusive or not attempted"
    what, source = "Verdicts that reproduce the paper", "computed from counting and records"
    return Number(what, ours, source, rest, "claims.html")
