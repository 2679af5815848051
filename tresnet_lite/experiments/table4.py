"""Table 4 counted: sizes of the ladder's rungs, and the steps between them."""

from __future__ import annotations

import pandas as pd
import torch

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.counting import count_macs, count_parameters
from tresnet_lite.counting.kept import bytes_per_image
from tresnet_lite.model import TResNet
from tresnet_lite.paper import paper_table


def sizes() -> pd.DataFrame:
    """Counted for each rung: parameters (millions), MACs (thousand millions), and what training
    keeps an image.

    Columns: refinement, parameters_m, macs, kept (MB at 224 px in half precision).
    """

    rows = []
    for refinement, config in ablation_ladder().items():
        with torch.device("meta"):
            network = TResNet(config)
        row = {"refinement": refinement, "parameters_m": count_parameters(network) / 1e6}
        row["macs"] = count_macs(network) / 1e9
        images = {"device": "meta", "dtype": torch.bfloat16}
        kept = bytes_per_image(
            network.bfloat16().train(), lambda n, im=images: torch.empty(n, 3, 224, 224, **im)
        )
        rows.append(row | {"kept": sum(kept.values()) / 1e6})
    return pd.DataFrame(rows)


def steps(table: pd.DataFrame) -> pd.DataFrame:
    """Lines of `tables.table4` with what each rung changes: paper_step and step, relative to the
    rung before.
    """
    changes = table.groupby(["run", "phase"], sort=False)[["paper", "measured"]].pct_change(
        fill_method=None
    )
    return table.assign(paper_step=changes["paper"], step=changes["measured"])


def accuracies() -> dict[str, float]:
    """Top-1 accuracy of each rung, per cent, as printed."""
    return paper_table(4).set_index("refinement")["top1"].to_dict()


def speeds(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """A run's lines of `tables.table4` as panels of `waterfall`: the paper's inference, then what
    was measured.
    """
    panels = {}
    for column, whose in (("paper_ratio", "paper"), ("ratio", "measured")):
        for phase, lines in table.groupby("phase", sort=False):
            found = lines.dropna(subset=column)
            if len(found) > 1:
                panels[f"{whose}, {phase}"] = dict(
                    zip(found["network"], found[column], strict=True)
                )
    return panels
