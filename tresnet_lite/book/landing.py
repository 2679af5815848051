"""The result in five numbers and a figure: what the landing page shows first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from tresnet_lite.book.chapters import chapter
from tresnet_lite.book.figures import numbered_figure
from tresnet_lite.checkout import ROOT
from tresnet_lite.claims.asked import Asked, asked
from tresnet_lite.claims.ledger import ledger, load_claims
from tresnet_lite.claims.published import on_lines
from tresnet_lite.claims.verdict import (
    BY_COUNTING,
    DIFFERS,
    INCONCLUSIVE,
    NOT_ATTEMPTED,
    REPRODUCED,
)
from tresnet_lite.counting.kept import kept_per_image
from tresnet_lite.findings.evidence import speeds_by_evidence
from tresnet_lite.paper import paper_value
from tresnet_lite.predict import devices
from tresnet_lite.records import Record
from tresnet_lite.records.records import INFERENCE_FIRST
from tresnet_lite.show.evidence import accuracy_by_evidence
from tresnet_lite.show.text import as_html

MODEL, BASE = "tresnet_m", "resnet50"
ON_PREDICTION = 7  # the chapter about speeds predicted by counting
DISCREPANCIES = ROOT / "book" / "discrepancies.md"


@dataclass(frozen=True)
class Number:
    """What it is, ours, what else belongs to it, its class of evidence, and the page about it."""

    what: str
    ours: str
    beside: str
    source: str
    page: str


def numbers(records: Iterable[Record]) -> list[Number]:
    """The five numbers."""
    return [_kept(), _predicted(), _published(), _verdicts(list(records)), _discrepancies()]


def landing_numbers(records: Iterable[Record]) -> str:
    """The five numbers, as HTML."""
    return '<dl class="numbers">\n' + "\n".join(map(_card, numbers(records))) + "\n</dl>"


def _card(number: Number) -> str:
    texts = (number.what, number.ours, number.beside, number.source)
    what, ours, beside, source = map(as_html, texts)
    return (
        f'<div><dt><a href="{number.page}">{what}</a></dt><dd class="ours">{ours}</dd>'
        f"<dd>{beside}</dd><dd><small>{source}</small></dd></div>"
    )


def _kept() -> Number:
    """What an image keeps for backward: the ground of the paper's larger batch."""
    ours = kept_per_image(MODEL, "bfloat16", norm="iabn", memory="paper")
    base = kept_per_image(BASE, "bfloat16", norm="bn", memory="paper")
    ratio = f"{sum(base.values()) / sum(ours.values()):.2f}"
    what = "Memory that ResNet50 keeps per image for training, TResNet-M = 1"
    beside = f"paper {printed('max_batch'):.2f}, from its largest batches"
    return Number(what, ratio, beside, BY_COUNTING, chapter(3).page)


def printed(column: str) -> float:
    """TResNet-M's figure over ResNet50's, in a column of the paper's Table 3 (V100)."""
    ours, base = (paper_value(3, column, model=name) for name in ("TResNet-M", "ResNet50"))
    return ours / base


def _predicted() -> Number:
    """How well counting predicts the speeds that the paper prints."""
    constants = devices.read()["v100"]
    what = f"Error of the paper's {constants.speeds} speeds, predicted by counting"
    ours = f"{100 * constants.median:.1f} %"
    beside = f"median over networks that the fit did not see; rms {100 * constants.rms:.0f} %"
    source = f"predicted ({constants.device}, {len(constants.fit.free)} constants)"
    return Number(what, ours, beside, source, chapter(ON_PREDICTION).page)


def _published() -> Number:
    """Whether TResNet-M keeps up with ResNet50 on GPUs that others measured."""
    (held, lines), training = (keeps_up(phase) for phase in INFERENCE_FIRST)
    what = "Published GPU runs where TResNet-M infers about as fast as ResNet50, or faster"
    beside = f"at least {least('inference'):g} times its speed; in training {part_of(*training)}"
    return Number(what, part_of(held, lines), beside, "published (timm)", chapter(15).page)


def part_of(part: int, whole: int) -> str:
    return f"{part} of {whole}"


def least(phase: str) -> float:
    """TResNet-M's speed, ResNet50 = 1, from which its claim calls it about as fast."""
    return _asked(phase).low


def _asked(phase: str) -> Asked:
    claim = next(claim for claim in load_claims() if claim.id == f"table3-m-{phase}")
    (ratio,) = asked(claim.check)
    return ratio


def keeps_up(phase: str) -> tuple[int, int]:
    """On how many of timm's GPU runs the claim holds, and how many there are."""
    held, _ = on_lines([_asked(phase)])
    return sum(held.values()), len(held)


def _verdicts(records: list[Record]) -> Number:
    """The ledger in sums: measured on GPUs, and what no device is needed for."""
    rows = ledger(records)
    gpu = rows["device"].isin({r.provenance.device for r in records if r.provenance.cuda})
    held = [share_held(part) for part in (rows, rows[gpu], rows[~gpu])]
    whole, on_gpus, counted = (part_of(*pair) for pair in held)
    counts = Counter(rows["verdict"])
    open_ = counts[INCONCLUSIVE] + counts[NOT_ATTEMPTED]
    beside = f"measured on GPUs {on_gpus}, counted or compared {counted};"
    beside += f" {open_} inconclusive or not attempted"
    source = f"computed, {rows['id'].nunique()} claims"
    return Number("Verdicts that reproduce the paper", whole, beside, source, "claims.html")


def share_held(rows: pd.DataFrame, good: str = REPRODUCED, bad: str = DIFFERS) -> tuple[int, int]:
    """How many verdicts are in the paper's favour, and how many are on either side."""
    counts = Counter(rows["verdict"])
    return counts[good], counts[good] + counts[bad]


def _discrepancies() -> Number:
    """The rows of the table of discrepancies."""
    lines = DISCREPANCIES.read_text(encoding="utf-8").splitlines()
    heads = 2 * sum(line.startswith("|--") for line in lines)  # a heading and the line below it
    count = sum(line.startswith("|") for line in lines) - heads
    what, beside = "Places where paper, code and weights disagree", "each with a test that shows it"
    return Number(what, str(count), beside, "compared", "discrepancies.html")


def landing_figure(records: Iterable[Record] = ()) -> str:
    """Accuracy against speed on the V100 and on a newer GPU, by class of evidence."""
    return numbered_figure(accuracy_by_evidence(speeds_by_evidence()).html, "0.1")
