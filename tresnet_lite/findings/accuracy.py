"""The accuracies of Tables 3 and 5 beside those measured with the published weights.

The records are those of `python -m tresnet_lite.evaluate` on ImageNet's validation images (suite
"accuracy").
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tresnet_lite.evaluate import accuracy
from tresnet_lite.paper import paper_table
from tresnet_lite.paper.published import accuracies
from tresnet_lite.records import Record, latest

ACCURACY_COLUMNS = ["network", "resolution", "protocol", "paper_top1", "timm_top1", "measured_top1"]
ACCURACY_COLUMNS += ["low", "high", "interval", "top5", "source"]
EVALUATE_COMMAND = "python -m tresnet_lite.evaluate --table {table} --data IMAGENET"


def beside_paper(records: Iterable[Record], table: int) -> pd.DataFrame:
    """The accuracies that Table 3 or 5 prints, beside measured ones; Table 5 also cropped at 448.

    Columns: network, resolution, protocol, paper_top1 (NaN for the crop at 448), timm_top1 (what
    timm found with the same weights, cropped), measured_top1, low and high (95 %), interval (both,
    as text), top5, source.
    """
    records, rows = latest(records), []
    timms = accuracies().set_index(["model", "resolution"])["top1"].to_dict()
    for line in paper_table(table).to_dict("records"):
        name, size = line["model"], line.get("resolution", 224)
        model = accuracy.our_name(name)
        for protocol in ("squash", "crop") if size >= accuracy.SQUASHED else ("crop",):
            row = {"network": name, "resolution": size, "protocol": protocol}
            row["paper_top1"] = line["top1"] if protocol == accuracy.protocol_of(size) else None
            row["timm_top1"] = timms.get((model, size)) if protocol == "crop" else None
            devices = accuracy_records(records, model, size, protocol)
            missing = {"source": "not attempted: " + why_not(model)}
            rows += [row | _numbers(metrics) for metrics in devices.values()] or [row | missing]
    return pd.DataFrame(rows).reindex(columns=ACCURACY_COLUMNS)


def accuracy_records(
    records: Iterable[Record], model: str, size: int, protocol: str | None = None
) -> dict[str, dict[str, Record]]:
    """Device → metric → the last record of the paper's weights, at any batch and precision.

    Args:
        protocol: how images were brought to size; None as the authors did.
    """
    case = f"{accuracy.IMAGENET}, {protocol or accuracy.protocol_of(size)}"
    wanted = (accuracy.SUITE, case, accuracy.weights_of(model, size), size)
    devices: dict[str, dict[str, Record]] = {}
    for r in records:
        if (r.suite, r.case, r.model, r.conditions.resolution) == wanted:
            devices.setdefault(r.provenance.device, {})[r.metric] = r
    return {device: metrics for device, metrics in devices.items() if "top1" in metrics}


def _numbers(metrics: dict[str, Record]) -> dict[str, object]:
    top1 = metrics["top1"]
    low, high = accuracy.of_record(top1).interval()
    numbers = {"measured_top1": top1.value.median, "low": low, "high": high, "source": top1.label}
    numbers["interval"] = f"{low:.2f} to {high:.2f}"
    if "top5" in metrics:
        numbers["top5"] = metrics["top5"].value.median
    return numbers


def why_not(model: str, table: int | None = None) -> str:
    """Why there is no measured accuracy, and the command that makes a table's records."""
    if model == "resnet50":
        return "the authors' ResNet50 is not published"
    return "no records" + (f"; {EVALUATE_COMMAND.format(table=table)} makes them" if table else "")
