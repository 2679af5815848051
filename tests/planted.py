"""Records of no real device, planted to see what tables, figures and claims make of them."""

import dataclasses

from helpers import PROVENANCE

from tresnet_lite.claims.ledger import load_claims
from tresnet_lite.claims.verdict import Verdict
from tresnet_lite.records import Conditions, Record, Spread


def speed(
    suite,
    model,
    phase,
    median,
    *,
    case="networks",
    device="Imaginary GPU",
    spread=0.0,
    metric="throughput",
    **ran,
):
    conditions = Conditions(**{"batch": 32, "resolution": 224, "dtype": "float16"} | ran)
    value = Spread(median, median * (1 - spread), median * (1 + spread), 9)
    here = dataclasses.replace(PROVENANCE, device=device)
    return Record(suite, case, model, phase, metric, value, conditions, here)


def one(frame, **where):
    """The one line whose cells are as `where` says."""
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def verdict(records: list[Record], claim: str) -> Verdict:
    """The one verdict on a claim."""
    (found,) = next(c for c in load_claims() if c.id == claim).verdicts(records)
    return found
