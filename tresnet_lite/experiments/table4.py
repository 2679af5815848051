"""Table 4 counted: sizes of the ladder's rungs, all ours, and the steps between them."""

from __future__ import annotations

import math

import pandas as pd
import torch

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.counting.kept import kept_mb
from tresnet_lite.counting.traffic import least_seconds, operations_of
from tresnet_lite.findings.ratios import ratio_of
from tresnet_lite.findings.sizes import counts
from tresnet_lite.model import TResNet
from tresnet_lite.paper import paper_table
from tresnet_lite.paper.published import peak


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


# What PyTorch runs → the column of its time; all else is `REST`.
KINDS = {
    "convolution": "convolution_time",
    "native_batch_norm": "norm_time",
    "relu": "activation_time",
    "leaky_relu": "activation_time",
}
REST = "rest_time"


def rung_times(batch: int = 32) -> pd.DataFrame:
    """The least time that a V100 takes for each rung, operation by operation, beside the printed.

    By its data sheet, in float16, at 224 px (see `least_seconds`). Inplace-ABN's activation is
    taken as free, as the published layer applies it in the norm's kernel.

    Columns: refinement, then µs per image: those of `KINDS` and `REST`, least_time (their sum),
    printed_time (1 over the printed speed), and the changes of these two from the rung before,
    least_step and printed_step.
    """
    printed = paper_table(4).set_index("refinement")["inference_img_s"]
    rows = []
    for refinement, config in ablation_ladder().items():
        with torch.device("meta"):  # nothing is computed
            network = TResNet(config).half()
            operations = operations_of(network, torch.zeros(batch, 3, 224, 224).half())
        times = dict.fromkeys([*KINDS.values(), REST], 0.0)
        for operation in operations:
            if not (config.norm == "iabn" and operation.name == "leaky_relu"):
                kind = KINDS.get(operation.name, REST)
                times[kind] += least_seconds([operation], *peak()) / batch * 1e6
        ends = {"least_time": sum(times.values()), "printed_time": 1e6 / printed[refinement]}
        rows.append({"refinement": refinement, **times, **ends})
    table = pd.DataFrame(rows)
    changes = table[["least_time", "printed_time"]].diff()
    return table.assign(least_step=changes["least_time"], printed_step=changes["printed_time"])


def steps(table: pd.DataFrame) -> pd.DataFrame:
    """Lines of `tables.table4` with each rung's change of speed, relative to the rung before.

    Added columns: paper_step; step and its interval (as text) from the processes that timed both.
    """
    phases = table.groupby(["run", "phase"], sort=False)
    before = phases["repeats"].shift()
    rows = []
    for now, then in zip(table["repeats"], before, strict=True):
        row = {"step": math.nan, "interval": "–"}
        if isinstance(now, list) and isinstance(then, list):
            ratio = ratio_of(now, then)
            interval = f"{ratio.low - 1:+.1%} to {ratio.high - 1:+.1%}"
            row = {"step": ratio.value - 1, "interval": interval}
        rows.append(row)
    measured = pd.DataFrame(rows, index=table.index)
    return table.assign(paper_step=phases["paper"].pct_change(fill_method=None)).join(measured)


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
