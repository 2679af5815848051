"""Table 5 counted: what four times the pixels cost."""

from __future__ import annotations

from functools import cache

import pandas as pd
import torch

from tresnet_lite.counting import count_macs
from tresnet_lite.counting.kept import bytes_per_image
from tresnet_lite.findings.tables import MODELS, PAPER_SIDE
from tresnet_lite.model import create_model
from tresnet_lite.paper import paper_table


@cache
def sizes() -> pd.DataFrame:
    """Counted for one image at either resolution: MACs (thousand millions), and MB kept for
    backward, half precision.

    Columns: network, resolution, top1 (quoted), macs, kept, and macs_ratio and kept_ratio to 224
    px.
    """

    rows = []
    for printed in paper_table(5).to_dict("records"):
        side = printed["resolution"]
        with torch.device("meta"):
            network = create_model(MODELS[printed["model"]])
        macs = count_macs(network, (3, side, side)) / 1e9
        images = {"device": "meta", "dtype": torch.bfloat16}
        kept = bytes_per_image(
            network.bfloat16().train(), lambda n, s=side, im=images: torch.empty(n, 3, s, s, **im)
        )
        row = {
            "network": printed["model"],
            "resolution": side,
            "top1": printed["top1"],
            "macs": macs,
        }
        rows.append(row | {"kept": sum(kept.values()) / 1e6})
    frame = pd.DataFrame(rows)
    small = frame[frame["resolution"] == PAPER_SIDE].set_index("network")
    ratios = {f"{c}_ratio": frame[c] / frame["network"].map(small[c]) for c in ("macs", "kept")}
    return frame.assign(**ratios)
