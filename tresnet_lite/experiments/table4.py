"""Table 4 counted: sizes of the ladder's rungs, all ours, and the steps between them."""

from __future__ import annotations

import pandas as pd
import torch

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.counting.kept import kept_mb
from tresnet_lite.findings.sizes import counts
from tresnet_lite.model import TResNet
from tresnet_lite.paper import paper_table


def rung_sizes() -> pd.DataFrame:
    """`counts` of each rung, and what training keeps.

    Columns: refinement, parameters_m, macs, kept (MB per image of 224 px in half precision).
    """
    rows = []
    for refinement, config in ablation_ladder().items():
        with torch.device("meta"):
            network = TResNet(config)
        row = {"refinement": refinement, **counts(network)}
        rows.append({**row, "kept": kept_mb(network.bfloat16())})
    return pd.DataFrame(rows)


def steps(table: pd.DataFrame) -> pd.DataFrame:
    """Lines of `tables.table4` with each rung's change, relative to the rung before.

    Added columns: paper_step, step.
    """
    speeds = table.groupby(["run", "phase"], sort=False)[["paper", "measured"]]
    changes = speeds.pct_change(fill_method=None)
    return table.assign(paper_step=changes["paper"], step=changes["measured"])


def rung_accuracies() -> dict[str, float]:
    """Top-1 accuracy of each rung, per cent, as printed."""
    return paper_table(4).set_index("refinement")["top1"].to_dict()


def waterfall_panels(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """A run's lines of `tables.table4` as panels of `waterfall`: the paper's, then the measured."""
    panels = {}
    for column, source in (("paper_ratio", "paper"), ("ratio", "measured")):
        for phase, lines in table.groupby("phase", sort=False):
            ratios = lines.set_index("network")[column].dropna()
            if len(ratios) > 1:
                panels[f"{source}, {phase}"] = ratios.to_dict()
    return panels
