"""The result in one figure and five numbers: what the landing page shows."""

from __future__ import annotations

import html
import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from tresnet_lite.book.chapters import chapter
from tresnet_lite.book.figures import figure
from tresnet_lite.claims.ledger import ledger
from tresnet_lite.claims.verdict import COUNTED, DIFFERS, NOT_ATTEMPTED, REPRODUCED
from tresnet_lite.counting.kept import kept_per_image
from tresnet_lite.findings.sizes import model_sizes
from tresnet_lite.paper import paper_value
from tresnet_lite.records import Record, pair
from tresnet_lite.records.records import PHASES
from tresnet_lite.show import plots

MODEL, BASE = "tresnet_m", "resnet50"
SIDE = 224  # pixels: the paper's
NOTHING = f"not attempted: no records of Table 3's networks at {SIDE} px"


@dataclass(frozen=True)
class Number:
    """One number: what it is, what we found, where that comes from, the paper's, and the page about
    it.
    """

    what: str
    ours: str
    source: str
    paper: str
    page: str


def best_first(record: Record) -> tuple:
    """A key to sort by: a GPU before a CPU, plain ways of running before special ones, the latest
    first.
    """
    c, p = record.conditions, record.provenance
    plain = (c.compile == "eager", c.memory_format == "channels_first")
    return (
        p.cuda is None,
        *(not way for way in plain),
        -datetime.fromisoformat(p.date).timestamp(),
    )


def pairs(records: Iterable[Record], phase: str) -> list[tuple[Record, Record]]:
    """TResNet-M and ResNet50 of one run each, at the paper's size, the best device first."""
    found = pair(records, MODEL, BASE, suite="table3", case="networks", phase=phase)
    return sorted(
        (p for p in found if p[0].conditions.resolution == SIDE), key=lambda p: best_first(p[0])
    )


def printed(phase: str) -> float:
    """The paper's speed of TResNet-M over ResNet50's (Table 3, V100)."""
    of, to = (paper_value(3, f"{phase}_img_s", model=name) for name in ("TResNet-M", "ResNet50"))
    return of / to


def speeds(records: Iterable[Record]) -> pd.DataFrame:
    """TResNet-M's speed over ResNet50's: a row for each phase and run, or one without measurement.

    Columns as `plots.ratios` reads them.
    """

    rows, records = [], list(records)
    for phase in reversed(PHASES):
        found = [_ratio(a, b) for a, b in pairs(records, phase)] or [{"name": "not measured yet"}]
        rows += [{"phase": phase, "paper_ratio": printed(phase)} | columns for columns in found]
    return pd.DataFrame(rows).reindex(
        columns=["name", "phase", "ratio", "ratio_q1", "ratio_q3", "paper_ratio"]
    )


def _ratio(a: Record, b: Record) -> dict[str, object]:
    unit, c = b.value.median, a.conditions
    ran = f"{a.provenance.device}, {c.dtype}, {c.memory_format.replace('_', ' ')}, {c.compile}"
    name = "\n".join(textwrap.wrap(ran.replace("(R)", "").replace("(TM)", ""), 20))
    return {
        "name": name,
        "ratio": a.value.median / unit,
        "ratio_q1": a.value.q1 / unit,
        "ratio_q3": a.value.q3 / unit,
    }


def landing_figure(records: Iterable[Record]) -> str:
    """TResNet-M against ResNet50 on every device that was measured, beside the paper's V100."""

    what = "Speed of TResNet-M relative to ResNet50, at 224 pixels."
    return figure(plots.ratios(speeds(records), base="ResNet50", description=what).html, "0.1")


def landing_numbers(records: Iterable[Record]) -> str:
    """The five numbers, as HTML."""
    records = list(records)
    numbers = [
        *(_speed(records, phase) for phase in reversed(PHASES)),
        _kept(),
        _parameters(),
        _claims(records),
    ]
    return '<dl class="numbers">\n' + "\n".join(map(_card, numbers)) + "\n</dl>"


def _card(number: Number) -> str:
    what, ours, source, paper = map(
        html.escape, (number.what, number.ours, number.source, number.paper)
    )
    return (
        f'<div><dt><a href="{number.page}">{what}</a></dt><dd class="ours">{ours}</dd>'
        f"<dd>{paper}</dd><dd><small>{source}</small></dd></div>"
    )


def _speed(records: list[Record], phase: str) -> Number:
    found, what = pairs(records, phase), f"TResNet-M's {phase} speed, ResNet50 = 1"
    paper, page = f"paper {printed(phase):.2f}", chapter(11).page
    if not found:
        return Number(what, "–", NOTHING, paper, page)
    a, b = found[0]
    return Number(what, f"{a.value.median / b.value.median:.2f}", a.label, paper, page)


def _kept() -> Number:
    """What an image keeps for backward: the ground of the paper's larger batch."""
    ours, theirs = (
        sum(kept_per_image(name, "bfloat16", **options).values()) for name, options in _KEPT
    )
    of, to = (paper_value(3, "max_batch", model=name) for name in ("TResNet-M", "ResNet50"))
    what = "Memory that ResNet50 keeps for training, TResNet-M = 1"
    return Number(
        what,
        f"{theirs / ours:.2f}",
        COUNTED,
        f"paper {of / to:.2f}, from its largest batches",
        chapter(3).page,
    )


_KEPT = ((MODEL, {"norm": "iabn", "memory": "paper"}), (BASE, {"norm": "bn", "memory": "paper"}))


def _parameters() -> Number:
    row = model_sizes().set_index("model").loc["TResNet-M"]
    full = f"{row['parameters_m']:.1f} M"
    told = f"paper {row['paper_parameters']:.1f} M; ours with the classifier {full}"
    what = "TResNet-M's parameters without classifier"
    return Number(what, f"{row['without_classifier']:.1f} M", COUNTED, told, "discrepancies.html")


def _claims(records: list[Record]) -> Number:
    rows = ledger(records)
    counts = Counter(rows["verdict"])
    ours = f"{counts[REPRODUCED]} of {counts[REPRODUCED] + counts[DIFFERS]}"
    told = f"{rows['id'].nunique()} claims; {counts[NOT_ATTEMPTED]} verdicts not attempted"
    return Number(
        "Verdicts that reproduce the paper",
        ours,
        "computed from counting and records",
        told,
        "claims.html",
    )
