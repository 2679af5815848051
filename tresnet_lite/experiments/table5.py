"""Table 5 counted: what four times the pixels cost."""

from __future__ import annotations

import math
from functools import cache

import pandas as pd
import torch

from tresnet_lite.counting import count_macs
from tresnet_lite.counting.kept import kept_mb
from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.model import create_model
from tresnet_lite.paper import MODELS, paper_table


@cache
def resolution_costs() -> pd.DataFrame:
    """What one image takes at either resolution, counted, in half precision.

    Columns: network, resolution, top1 (quoted), macs (billions), kept (MB for backward), and
    macs_ratio and kept_ratio to 224 px.
    """
    rows = []
    for printed in paper_table(5).to_dict("records"):
        shape = (3, printed["resolution"], printed["resolution"])
        with torch.device("meta"):
            network = create_model(MODELS[printed["model"]])
        row = {"network": printed["model"], "resolution": printed["resolution"]}
        row |= {"top1": printed["top1"], "macs": count_macs(network, shape) / 1e9}
        rows.append({**row, "kept": kept_mb(network.bfloat16(), shape)})
    table = pd.DataFrame(rows)
    small = table[table["resolution"] == PAPER_SIDE].set_index("network")
    for column in ("macs", "kept"):
        table[f"{column}_ratio"] = table[column] / table["network"].map(small[column])
    return table


@cache
def counted_batches() -> pd.DataFrame:
    """The paper's largest batch at 224 px, and what the same memory would hold at 448, counted.

    With Inplace-ABN as published, in half precision. Weights, gradients and the optimiser take the
    same at both sizes, so the memory that is left for maps is the same.

    Columns: network, max_batch (the paper's at 224 px), kept (MB per image at 448 px),
    largest_batch (at 448 px).
    """
    printed = paper_table(3).set_index("model")["max_batch"]
    rows = []
    for name in dict.fromkeys(paper_table(5)["model"]):
        with torch.device("meta"):
            network = create_model(MODELS[name], norm="iabn", memory="paper").bfloat16()
        small, large = (kept_mb(network, (3, side, side)) for side in (PAPER_SIDE, 2 * PAPER_SIDE))
        largest = math.floor(printed[name] * small / large)
        row = {"network": name, "max_batch": printed[name], "kept": large}
        rows.append({**row, "largest_batch": largest})
    return pd.DataFrame(rows)
