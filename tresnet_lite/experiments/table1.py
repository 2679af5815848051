"""Table 1 counted: parameters and multiply-accumulates of ResNet50 and its successors."""

from __future__ import annotations

from functools import cache

import pandas as pd
import torch

from tresnet_lite.bench.suites import EFFICIENTNETS
from tresnet_lite.counting import count_macs, count_parameters
from tresnet_lite.counting.networks import build
from tresnet_lite.findings.tables import MODELS, PAPER_SIDE
from tresnet_lite.paper import paper_table


@cache
def sizes() -> pd.DataFrame:
    """Counted for each network at its own resolution: parameters (millions), MACs (thousand
    millions); and quoted.

    Columns: network, model, resolution, parameters_m, macs, paper_macs, top1.
    """

    rows = []
    for printed in paper_table(1).to_dict("records"):
        model = MODELS[printed["model"]]
        side = EFFICIENTNETS.get(model, PAPER_SIDE)
        with torch.device("meta"):
            network = build(model)
        row = {"network": printed["model"], "model": model, "resolution": side}
        row |= {
            "parameters_m": count_parameters(network) / 1e6,
            "macs": count_macs(network, (3, side, side)) / 1e9,
        }
        rows.append(row | {"paper_macs": printed["flops_g"], "top1": printed["top1"]})
    return pd.DataFrame(rows)


def per_mac(table: pd.DataFrame) -> pd.DataFrame:
    """Lines of `tables.table1` with what an image takes, ResNet50 = 1: MACs and time; and speed for
    each MAC.

    Added columns: macs_ratio (counted), paper_time, time, paper_per_mac, per_mac.
    """
    counted = sizes().set_index("network")["macs"]
    macs = table["network"].map(counted / counted["ResNet50"])
    added = {"macs_ratio": macs, "paper_time": 1 / table["paper_ratio"], "time": 1 / table["ratio"]}
    return table.assign(
        **added, paper_per_mac=macs * table["paper_ratio"], per_mac=macs * table["ratio"]
    )
