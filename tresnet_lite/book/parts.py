"""Parts of the book's pages that are made from records: tables, numbers and drawings.

A page of `book/` asks for one with a line `<!-- render NAME -->`, NAME a key of `PARTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tresnet_lite.book.claims_page import claims_page
from tresnet_lite.book.design import what_changes
from tresnet_lite.book.explorer import explorer
from tresnet_lite.book.figures import numbered_figure
from tresnet_lite.book.landing import landing_figure, landing_numbers
from tresnet_lite.book.measured_speeds import landing_measured
from tresnet_lite.book.network_map import linked_map
from tresnet_lite.claims.ledger import ledger
from tresnet_lite.claims.repeats import repeats
from tresnet_lite.findings.landscape import landscape
from tresnet_lite.findings.ratios import deviations
from tresnet_lite.records import Record, store
from tresnet_lite.show.processes import processes
from tresnet_lite.show.text import as_markdown


def process_spread(records: Sequence[Record]) -> str:
    """How far the ratios of the processes of one comparison lie apart: a figure and a sentence."""
    table = deviations(records)
    if table.empty:
        return "No comparison has been measured by several processes yet."
    return numbered_figure(processes(table).html, "0.5")


def repeated_runs(records: Sequence[Record]) -> str:
    """How alike two runs on one device judge: a sentence for each pair of them."""
    lines = []
    for row in repeats(store.every_record()).itertuples():
        changed = f" ({as_markdown(row.which)})" if row.which else ""
        lines.append(
            f"- {as_markdown(row.device)}, runs of {row.first} and {row.second}: of {row.claims} "
            f"claims that both timed, the second gives {row.judged} a verdict; {row.alike} "
            f"verdicts are alike, {row.moved} moved to or from inconclusive, "
            f"{row.flipped} flipped{changed}."
        )
    return "\n".join(lines) or "No device has been measured by two whole runs yet."


PARTS: dict[str, Callable[[Sequence[Record]], str]] = {
    "claims": lambda records: claims_page(ledger(records)),
    "explorer": lambda records: explorer(landscape(records)),
    "landing_figure": landing_figure,
    "landing_measured": landing_measured,
    "landing_numbers": landing_numbers,
    "network_map": linked_map,
    "processes": process_spread,
    "repeats": repeated_runs,
    "what_changes": what_changes,
}
