"""Counted sizes beside the paper's."""

from __future__ import annotations

import pandas as pd
import torch

from tresnet_lite.counting import count_macs, count_parameters
from tresnet_lite.model import create_model
from tresnet_lite.paper import NAMES, paper_table, paper_value


def model_sizes() -> pd.DataFrame:
    """Parameters (millions), multiply-accumulates (thousand millions, 224 px): counted, and the
    paper's.
    """

    rows = []
    for name, printed in NAMES.items():
        with torch.device("meta"):
            full, headless = create_model(name), create_model(name, num_classes=0)
        rows.append(
            {
                "model": printed,
                "parameters_m": count_parameters(full) / 1e6,
                "without_classifier": count_parameters(headless) / 1e6,
                "paper_parameters": _printed(2, "params_m", printed, layer="#Params."),
                "macs": count_macs(full) / 1e9,
                "paper_macs": _printed(1, "flops_g", printed),
            }
        )
    return pd.DataFrame(rows)


def _printed(table: int, column: str, model: str, **where: str) -> float:
    """A cell of the paper, NaN where the table leaves the model out."""
    if model not in set(paper_table(table)["model"]):
        return float("nan")
    return float(paper_value(table, column, model=model, **where))
