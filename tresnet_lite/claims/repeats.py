"""Do two runs on one device judge alike? Verdicts on claims about speed, run beside run."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pandas as pd

from tresnet_lite.claims.ledger import ledger
from tresnet_lite.claims.verdict import INCONCLUSIVE, NOT_ATTEMPTED
from tresnet_lite.records import Record

COLUMNS = ["device", "first", "second", "claims", "judged", "alike", "moved", "flipped", "which"]


def repeats(records: Iterable[Record]) -> pd.DataFrame:
    """How the verdicts of each run on a device compare with those of the run before it.

    Only claims that both runs timed count. Columns: device, first and second (the days on which the
    runs began), claims, judged (a verdict in the second run), alike, moved (to or from
    "inconclusive"), flipped, which (the ids of these two).
    """
    of_run: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda record: record.provenance.moment):
        if record.provenance.run:
            key = (record.provenance.device, record.provenance.run)
            of_run.setdefault(key, []).append(record)
    rows = []
    for device in dict.fromkeys(device for device, _ in of_run):
        runs = [own for (of, _), own in of_run.items() if of == device]
        timed = [(own[0].provenance.date[:10], _verdicts(own)) for own in runs]
        known = [(day, verdicts) for day, verdicts in timed if len(verdicts)]
        for (first, before), (second, after) in pairwise(known):
            rows.append({"device": device, "first": first, "second": second})
            rows[-1] |= _beside(before, after)
    return pd.DataFrame(rows, columns=COLUMNS)


def _verdicts(records: list[Record]) -> pd.Series:
    """Claim about speed → its verdict, of those that were timed."""
    rows = ledger(records)
    timed = (rows["kind"] == "speed") & (rows["device"] != "") & (rows["verdict"] != NOT_ATTEMPTED)
    return rows[timed].set_index("id")["verdict"]


def _beside(before: pd.Series, after: pd.Series) -> dict[str, object]:
    both = pd.DataFrame({"before": before, "after": after}).dropna()
    other = both[both["before"] != both["after"]]
    moved = (other == INCONCLUSIVE).any(axis=1)
    counts = {"claims": len(both), "judged": int((both["after"] != INCONCLUSIVE).sum())}
    counts |= {"alike": len(both) - len(other), "moved": int(moved.sum())}
    return {**counts, "flipped": int((~moved).sum()), "which": ", ".join(other.index)}
