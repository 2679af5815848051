"""Pages of the book that are rendered, not written: the claims page, and the explorer with its file of numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from tresnet_lite import explorer
from tresnet_lite.claims import DIFFERS, NOT_ATTEMPTED, REPRODUCED
from tresnet_lite.report import claims

if TYPE_CHECKING:
    import pandas as pd

COUNTED = "by counting, or why not"
MARKS = {REPRODUCED: "✔", DIFFERS: "✘", NOT_ATTEMPTED: "–"}

CLAIMS_INTRODUCTION = """\
# The claims, judged

What the paper asserts, each claim in a sentence of ours, and what we found. A verdict is computed, by counting on the
model or from records, never typed: ✔ **reproduced**, ✘ **differs**, – **not attempted**, each with the reason. A claim
about speed is judged on every device that has records at the paper's image size, and a CPU can only tell what holds
on that CPU: the paper speaks of GPUs. `python -m tresnet_lite.report claims` prints the same ledger.
"""


def claims_page(ledger: pd.DataFrame | None = None) -> str:
    """The claims page in MyST Markdown: a table for each section of the paper, a column for each device.

    Args:
        ledger: as `tresnet_lite.claims.ledger` gives it; None judges all the records there are.
    """
    ledger = claims() if ledger is None else ledger
    ledger = ledger.assign(column=[_column(row) for row in ledger.itertuples()])
    counts = Counter(ledger["verdict"])
    summed = ", ".join(f"{MARKS[word]} {word} {counts[word]}" for word in MARKS)
    parts = [CLAIMS_INTRODUCTION, f"{ledger['id'].nunique()} claims, {len(ledger)} verdicts: {summed}."]
    for section in sorted(ledger["section"].unique(), key=_place):
        parts += [f"## {section}", _section_table(ledger[ledger["section"] == section])]
    return "\n\n".join(parts) + "\n"


def _column(row: object) -> str:
    """Where a verdict stands: under the device that was measured, or in the column that every table has."""
    measured = re.fullmatch(r"measured \((.*), [^,]*, [^,]*\)", row.label)
    return measured[1] if measured else COUNTED


def _place(section: str) -> tuple[bool, str]:
    """The abstract first, then sections in their order, then tables and figures alone."""
    return (not re.match("Abstract|§", section), section)


def _section_table(rows: pd.DataFrame) -> str:
    columns = [COUNTED, *sorted(set(rows["column"]) - {COUNTED})]
    lines = [["claim", "paper", *columns], ["---"] * (2 + len(columns))]
    for name, verdicts in rows.groupby("id", sort=False):
        first = verdicts.iloc[0]
        cells = {v.column: _verdict(v) for v in verdicts.itertuples()}
        lines.append([f"{first.sentence} `{name}`", first.paper or "–", *(cells.get(c, "") for c in columns)])
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def _verdict(row: object) -> str:
    ours = f" {row.ours}" if row.ours else ""
    source = f", {row.label}" if row.label else ""
    return f"{MARKS[row.verdict]} **{row.verdict}**{ours}: {row.why}{source}"


PAGES: dict[str, Callable[[], str]] = {
    "book/claims.md": claims_page,
    "book/explorer.md": explorer.explorer_page,
    explorer.DATA_FILE: explorer.speeds_file,
}
