"""Records: one JSON line a measurement, with its provenance, in files that the store knows.

records      the line: what was measured, or why not; read, checked, appended
provenance   the device, the versions and the commit that a number belongs to
store        where records lie: the committed ones and this machine's
"""

from tresnet_lite.records.provenance import Provenance, collect
from tresnet_lite.records.records import (
    Conditions,
    Failure,
    Record,
    RecordError,
    Spread,
    append,
    failures,
    latest,
    load,
    pair,
    repair,
)

__all__ = [
    "Conditions",
    "Failure",
    "Provenance",
    "Record",
    "RecordError",
    "Spread",
    "append",
    "collect",
    "failures",
    "latest",
    "load",
    "pair",
    "repair",
]
