"""Records of no real device, planted to see what tables, figures and claims make of them."""

import dataclasses
import math
import random

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


def in_processes(records, noise=0.001, processes=5, seed=0):
    """The records as processes on a GPU would give them, each speed off by its own error."""
    return [
        dataclasses.replace(
            record,
            value=_scaled(
                record.value, math.exp(random.Random(f"{seed} {k} {place}").gauss(0, noise))
            ),
            provenance=dataclasses.replace(record.provenance, process=f"{k}", cuda="13.0"),
            point=f"planted, process {k}",
        )
        for k in range(1, processes + 1)
        for place, record in enumerate(records)
    ]


def _scaled(value: Spread, log: float) -> Spread:
    factor = math.exp(log)
    return Spread(value.median * factor, value.q1 * factor, value.q3 * factor, value.repeats)


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
