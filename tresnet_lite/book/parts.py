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
from tresnet_lite.book.landing import landing_figure, landing_numbers
from tresnet_lite.book.network_map import linked_map
from tresnet_lite.claims.ledger import ledger
from tresnet_lite.claims.verdict import DIFFERS, NOT_ATTEMPTED, REPRODUCED
from tresnet_lite.findings.landscape import landscape
from tresnet_lite.records import Record, store

NO_DEVICE = "by counting, or why not"  # the column of verdicts without a device
MARKS = {REPRODUCED: "✔", DIFFERS: "✘", NOT_ATTEMPTED: "–"}


def claims_tables(rows: pd.DataFrame) -> str:
    """The claims in MyST Markdown: a table for each section of the paper, a column for each device.

    Args:
        rows: as `claims.ledger.ledger` gives them.
    """
    rows = rows.assign(column=[_column(row) for row in rows.itertuples()])
    counts = Counter(rows["verdict"])
    sums = ", ".join(f"{mark} {word} {counts[word]}" for word, mark in MARKS.items())
    parts = [f"{rows['id'].nunique()} claims, {len(rows)} verdicts: {sums}.", _devices(rows)]
    for section in sorted(rows["section"].unique(), key=_place):
        parts += [f"## {section}", _section_table(rows[rows["section"] == section])]
    return "\n\n".join(filter(None, parts)) + "\n"


def _devices(rows: pd.DataFrame) -> str:
    """The devices that judged something, and where their records lie."""
    committed = {r.provenance.device for r in store.committed()}
    link = f"[in the repository]({source_link('data/measured')})"
    here = "of this machine, not committed"
    devices = sorted(set(rows["column"]) - {NO_DEVICE})
    return "\n".join(f"- {d}: records {link if d in committed else here}" for d in devices)


def _column(row: object) -> str:
    """Where a verdict stands: under the device that was measured, or in every table's column."""
    measured = re.fullmatch(r"measured \((.*), [^,]*, [^,]*\)", row.label)
    return measured[1] if measured else NO_DEVICE


def _place(section: str) -> tuple[bool, str]:
    """The abstract first, then sections in their order, then tables and figures alone."""
    return (not re.match("Abstract|§", section), section)


def _section_table(rows: pd.DataFrame) -> str:
    columns = [NO_DEVICE, *sorted(set(rows["column"]) - {NO_DEVICE})]
    lines = [["claim", "paper", *columns], ["---"] * (2 + len(columns))]
    for _, verdicts in rows.groupby("id", sort=False):
        first = verdicts.iloc[0]
        cells = {v.column: _verdict(v) for v in verdicts.itertuples()}
        lines.append([_claim(first), first.paper or "–", *(cells.get(c, "") for c in columns)])
    escaped = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _claim(row: object) -> str:
    """The sentence, and the id: an anchor here, and a link to the chapter that judges it."""
    chapter, name = judging(row.id), f"<code>{row.id}</code>"
    if chapter:
        name = f'<a href="{chapter.page}">{name}</a>'
    return f'{row.sentence} <span id="{row.id}">{name}</span>'


def _verdict(row: object) -> str:
    ours = f" {row.ours}" if row.ours else ""
    source = f", {row.label}" if row.label else ""
    return f"{MARKS[row.verdict]} **{row.verdict}**{ours}: {row.why}{source}"


PARTS: dict[str, Callable[[Sequence[Record]], str]] = {
    "claims": lambda records: claims_tables(ledger(records)),
    "explorer": lambda records: explorer(landscape(records)),
    "landing_figure": landing_figure,
    "landing_numbers": landing_numbers,
    "network_map": linked_map,
}
