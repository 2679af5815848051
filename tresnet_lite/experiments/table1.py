"""Table 1 counted: parameters and multiply-accumulates of ResNet50 and its successors.

All but TResNet-M are timm's, as the campaigns time them: ResNet50 too.
"""

from __future__ import annotations

from functools import cache

import pandas as pd
import torch

from tresnet_lite.bench.comparisons import EFFICIENTNETS
from tresnet_lite.counting.networks import build
from tresnet_lite.findings.sizes import counts
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import MODELS, paper_table


@cache
def network_sizes() -> pd.DataFrame:
    """`counts` of each network at its own resolution, beside what the paper prints.

    Columns: network, model, resolution, parameters_m, macs, paper_macs, top1.
    """
    rows = []
    for printed in paper_table(1).to_dict("records"):
        model = MODELS[printed["model"]]
        side = EFFICIENTNETS.get(model, PAPER_SIDE)
        with torch.device("meta"):
            network = build(model)
        row = {"network": printed["model"], "model": model, "resolution": side}
        row |= counts(network, side)
        rows.append({**row, "paper_macs": printed["flops_g"], "top1": printed["top1"]})
    return pd.DataFrame(rows)


def macs_and_time(table: pd.DataFrame) -> pd.DataFrame:
    """Lines of `tables.table1` with MACs and time per image; ResNet50 = 1.

    Added columns: macs_ratio (counted), paper_time, time.
    """
    counted = network_sizes().set_index("network")["macs"]
    macs = table["network"].map(counted / counted["ResNet50"])
    return table.assign(
        macs_ratio=macs,
        paper_time=1 / table["paper_ratio"],
        time=1 / table["ratio"],
    )
