"""The accuracies of Tables 3 and 5 beside those measured with the published weights, and checks of
claims about them.

The records are those of `python -m tresnet_lite.evaluate` on ImageNet's validation images (suite
"accuracy").
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tresnet_lite.evaluate.accuracy import (
    IMAGENET,
    SQUASHED,
    SUITE,
    of_record,
    our_name,
    protocol_of,
    weights_of,
)
from tresnet_lite.paper import paper_table
from tresnet_lite.records import Record, latest

COMMAND = "python -m tresnet_lite.evaluate --table {table} --data IMAGENET"


def beside_paper(records: Iterable[Record], table: int) -> pd.DataFrame:
    """The accuracies that Table 3 or 5 prints, beside measured ones; for Table 5 also the crop at
    448.

    Columns: network, resolution, protocol, paper_top1 (NaN for the crop at 448), measured_top1, low
    and high (95 %), top5, source.
    """

    records = latest(records)
    rows = []
    for printed in paper_table(table).to_dict("records"):
        size = printed.get("resolution", 224)
        for protocol in dict.fromkeys((protocol_of(size), *(["crop"] if size >= SQUASHED else []))):
            paper = printed["top1"] if protocol == protocol_of(size) else None
            row = {
                "network": printed["model"],
                "resolution": size,
                "protocol": protocol,
                "paper_top1": paper,
            }
            found = accuracy_records(records, our_name(printed["model"]), size, protocol)
            missing = {"source": "not attempted: " + why_not(our_name(printed["model"]))}
            rows += [row | _numbers(of_device) for of_device in found.values()] or [row | missing]
    columns = [
        "network",
        "resolution",
        "protocol",
        "paper_top1",
        "measured_top1",
        "low",
        "high",
        "top5",
        "source",
    ]
    return pd.DataFrame(rows).reindex(columns=columns)


def accuracy_records(
    records: Iterable[Record], model: str, size: int, protocol: str
) -> dict[str, dict[str, Record]]:
    """Device → metric → the last record of the paper's weights, whatever the batch and the
    precision.
    """
    found: dict[str, dict[str, Record]] = {}
    case = f"{IMAGENET}, {protocol}"
    for r in records:
        if (r.suite, r.case, r.model) == (
            SUITE,
            case,
            weights_of(model, size),
        ) and r.conditions.resolution == size:
            found.setdefault(r.provenance.device, {})[r.metric] = r
    return {device: of_device for device, of_device in found.items() if "top1" in of_device}


def _numbers(found: dict[str, Record]) -> dict[str, object]:
    top1 = found["top1"]
    low, high = of_record(top1).interval()
    numbers = {"measured_top1": top1.value.median, "low": low, "high": high, "source": top1.label}
    return numbers | ({"top5": found["top5"].value.median} if "top5" in found else {})


def why_not(model: str, table: int | None = None) -> str:
    """What stands in the way of a measured accuracy, and the command that makes the records of a
    table.
    """
    if model == "resnet50":
        return "the authors' ResNet50 is not published"
    return "no records" + (f"; {COMMAND.format(table=table)} makes them" if table else "")
