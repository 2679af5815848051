"""Parts of the book's pages that are made from records: tables, numbers and drawings.

A page of `book/` asks for one with a line `<!-- render NAME -->`, NAME a key of `PARTS`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import pandas as pd

from tresnet_lite.book.chapters import judging, source_link
from tresnet_lite.book.explorer import explorer
from tresnet_lite.book.figures import numbered_figure
from tresnet_lite.book.landing import landing_figure, landing_numbers
from tresnet_lite.book.network_map import linked_map
from tresnet_lite.claims.ledger import ledger
from tresnet_lite.claims.verdict import (
    DIFFERS,
    FAILS_HERE,
    HOLDS_HERE,
    INCONCLUSIVE,
    NOT_ATTEMPTED,
    REPRODUCED,
)
from tresnet_lite.findings.landscape import landscape
from tresnet_lite.findings.ratios import deviations
from tresnet_lite.records import Record, store
from tresnet_lite.show.processes import processes
from tresnet_lite.show.text import as_html, as_markdown

NO_DEVICE = "by counting, or why not"  # the column of verdicts without a device
MARKS = {
    REPRODUCED: "✔",
    DIFFERS: "✘",
    HOLDS_HERE: "(✔)",
    FAILS_HERE: "(✘)",
    INCONCLUSIVE: "≈",
    NOT_ATTEMPTED: "–",
}


def claims_tables(rows: pd.DataFrame) -> str:
    """The claims in MyST Markdown: a table for each section of the paper, a column for each device.

    Args:
        rows: as `claims.ledger.ledger` gives them.
    """
    rows = rows.assign(column=rows["device"].replace("", NO_DEVICE))
    counts = Counter(rows["verdict"])
    sums = ", ".join(f"{mark} {word} {counts[word]}" for word, mark in MARKS.items())
    parts = [f"{rows['id'].nunique()} claims, {len(rows)} verdicts: {sums}.", _devices(rows)]
    for section in sorted(rows["section"].unique(), key=_place):
        parts += [f"## {as_markdown(section)}", _section_table(rows[rows["section"] == section])]
    return "\n\n".join(filter(None, parts)) + "\n"


def _devices(rows: pd.DataFrame) -> str:
    """The devices that judged something, and where their records lie."""
    committed = {r.provenance.device for r in store.committed()}
    link = f"[in the repository]({source_link('data/measured')})"
    here = "of this machine, not committed"
    devices = sorted(set(rows["column"]) - {NO_DEVICE})
    places = {device: link if device in committed else here for device in devices}
    return "\n".join(f"- {as_markdown(d)}: records {place}" for d, place in places.items())


def _place(section: str) -> tuple[bool, str]:
    """The abstract first, then sections in their order, then tables and figures alone."""
    return (not re.match("Abstract|§", section), section)


def _section_table(rows: pd.DataFrame) -> str:
    columns = [NO_DEVICE, *sorted(set(rows["column"]) - {NO_DEVICE})]
    titles = [as_markdown(column) for column in columns]
    lines = [["claim", "paper", *titles], ["---"] * (2 + len(columns))]
    for _, verdicts in rows.groupby("id", sort=False):
        first = verdicts.iloc[0]
        cells = {v.column: _verdict(v) for v in verdicts.itertuples()}
        paper = as_markdown(first.paper or "–")
        lines.append([_claim(first), paper, *(cells.get(c, "") for c in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _claim(row: object) -> str:
    """The sentence, and the id: an anchor here, and a link to the chapter that judges it."""
    chapter, claim = judging(row.id), as_html(row.id)
    name = f"<code>{claim}</code>"
    if chapter:
        name = f'<a href="{chapter.page}">{name}</a>'
    return f'{as_markdown(row.sentence)} <span id="{claim}">{name}</span>'


def _verdict(row: object) -> str:
    ours = f" {as_markdown(row.ours)}" if row.ours else ""
    source = f", {as_markdown(row.label)}" if row.label else ""
    return f"{MARKS[row.verdict]} **{row.verdict}**{ours}: {as_markdown(row.why)}{source}"


def process_spread(records: Sequence[Record]) -> str:
    """How far the ratios of the processes of one comparison lie apart: a figure and a sentence."""
    table = deviations(records)
    if table.empty:
        return "No comparison has been measured by several processes yet."
    return numbered_figure(processes(table).html, "0.2")


PARTS: dict[str, Callable[[Sequence[Record]], str]] = {
    "claims": lambda records: claims_tables(ledger(records)),
    "explorer": lambda records: explorer(landscape(records)),
    "landing_figure": landing_figure,
    "landing_numbers": landing_numbers,
    "network_map": linked_map,
    "processes": process_spread,
}
