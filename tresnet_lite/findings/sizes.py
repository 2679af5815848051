"""Counted sizes beside the paper's."""

from __future__ import annotations

import pandas as pd
import torch
from torch import nn

from tresnet_lite.counting import count_macs, count_parameters
from tresnet_lite.model import create_model
from tresnet_lite.paper import NAMES, paper_table, paper_value


def counts(network: nn.Module, side: int = 224) -> dict[str, float]:
    """A network's parameters_m (millions) and macs (billions per image of `side` pixels)."""
    macs = count_macs(network, (3, side, side)) / 1e9
    return {"parameters_m": count_parameters(network) / 1e6, "macs": macs}


def model_sizes() -> pd.DataFrame:
    """Ours by name, `create_model`'s ResNet50 first: `counts`, and what the paper prints.

    Columns: model, parameters_m, macs, without_classifier (millions), paper_parameters, paper_macs.
    """
    rows = []
    for name, printed in NAMES.items():
        with torch.device("meta"):
            full, headless = create_model(name), create_model(name, num_classes=0)
        row = {"model": printed, **counts(full)}
        row["without_classifier"] = count_parameters(headless) / 1e6
        row["paper_parameters"] = _printed(2, "params_m", printed, layer="#Params.")
        row["paper_macs"] = _printed(1, "flops_g", printed)
        rows.append(row)
    return pd.DataFrame(rows)


def _printed(table: int, column: str, model: str, **where: str) -> float:
    """A cell of the paper, NaN where the table leaves the model out."""
    if model not in set(paper_table(table)["model"]):
        return float("nan")
    return float(paper_value(table, column, model=model, **where))
